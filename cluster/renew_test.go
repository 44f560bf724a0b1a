package cluster

import (
	"slices"
	"sync"
	"testing"
)

// What is in force is said again, as much of it as was asked for.
func TestRenew(t *testing.T) {
	c := newOne(t, "lb1")
	c.OrderAdmin(start, "admin", "mail", "s1", "drain")
	c.OrderWeight(start, "admin", "mail", "s1", 7)
	c.OrderMaxconn(start, "admin", "mail", "s1", 30)
	c.Vote(start, "mail", "s1", false)
	s := c.effects.(*simNode)
	for _, tt := range []struct {
		server string
		what   Renewal
		want   []string
	}{
		{"s1", RenewAdmin, []string{"admin mail/s1 drain"}},
		{"s1", RenewWeight, []string{"weight mail/s1 7"}},
		{"s1", RenewMaxconn, []string{"maxconn mail/s1 30"}},
		{"s1", RenewHealth, []string{"health mail/s1 false"}},
		{"s1", RenewAdmin | RenewWeight | RenewHealth, []string{"admin mail/s1 drain", "weight mail/s1 7", "health mail/s1 false"}},
		{"s2", RenewAdmin | RenewWeight | RenewHealth, nil},
	} {
		s.log = nil
		c.Renew("mail", tt.server, tt.what)
		if !slices.Equal(s.log, tt.want) {
			t.Errorf("%s, %03b: %q, want %q", tt.server, tt.what, s.log, tt.want)
		}
	}
}

// However orders and renewals meet, the last that is said is what is in force.
func TestRenewOvertakesNothing(t *testing.T) {
	c := newOne(t, "lb1")
	var all sync.WaitGroup
	for g := range 4 {
		all.Add(2)
		go orderMany(c, g, &all) // ends after its orders
		go func() {              // ends after its renewals
			defer all.Done()
			for range 100 {
				c.Renew("mail", "s1", RenewWeight)
			}
		}()
	}
	all.Wait()
	c.Renew("mail", "s1", RenewWeight) // all others have run when this has
	s := c.effects.(*simNode)
	last := ""
	for _, line := range s.log[:len(s.log)-1] {
		if len(line) > 14 && line[:14] == "weight mail/s1" {
			last = line
		}
	}
	if is := s.log[len(s.log)-1]; is != last {
		t.Errorf("said last: %q; in force: %q", last, is)
	}
}
