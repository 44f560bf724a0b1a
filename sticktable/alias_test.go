package sticktable

import (
	"testing"
	"time"
)

// What a blob told must stay when its bytes are used for something else: they
// are read in place, without a copy.
func TestMergeKeepsNothingOfTheBlob(t *testing.T) {
	from := New("users", Config{Size: 100, Expire: time.Hour}, "lb1")
	from.Replicate(start)
	from.Assign(start, "alice@example.org", "mail1", Entry{})
	from.Enter(start, "alice@example.org", "mail1")
	to := New("users", Config{Size: 100, Expire: time.Hour}, "lb2")
	to.Replicate(start)
	blob, _, ok := from.Pull(nil, from.journal.first, 1<<16)
	if n, err := to.Merge(start, "lb1", blob); n != 1 || err != nil || !ok {
		t.Fatalf("merged %d entries, %v, %v", n, err, ok)
	}
	for i := range blob {
		blob[i] = 'x'
	}
	e, ok := to.Lookup(start, "alice@example.org")
	if !ok || e.Key != "alice@example.org" || e.Server != "mail1" || e.Writer != "lb1" {
		t.Errorf("after the bytes were used again: %+v, %t", e, ok)
	}
	if slots := to.Slots("alice@example.org"); len(slots) != 1 || slots[0].Peer != "lb1" {
		t.Errorf("slots %+v", slots)
	}
}
