package main

import "testing"

// A peer that says more than is looked at keeps nobody else from being heard, and
// of each the newest message is kept.
func TestClaimMail(t *testing.T) {
	c := newClaims(nil, nil)
	c.receive("lb2", []byte("first"))
	for i := range 10_000 {
		c.receive("lb3", []byte{byte(i)})
	}
	c.receive("lb2", []byte("last"))
	if len(c.mail) != 2 || string(c.mail["lb2"]) != "last" {
		t.Errorf("mail of %d peers, of lb2 %q", len(c.mail), c.mail["lb2"])
	}
}
