package tests

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An order given at one peer holds at all, at one that comes later, and when
// each or all of them are started anew.
func TestClusterOrders(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, clustered(t))
	a, b, c := f.lbs[0], f.lbs[1], f.lbs[2]
	for _, l := range []*lb{a, b} {
		l.run()
	}
	f.met(a, b)
	a.tell("set server mail/s1 state drain")
	b.tell("set server mail/s2 weight 37")
	hold := func(lbs ...*lb) {
		t.Helper()
		for i, l := range lbs {
			within(t, patience, "the orders hold", func() bool {
				return strings.HasPrefix(l.stat("mail", "s1", "status"), "DRAIN") && strings.HasPrefix(l.ask("get weight mail/s2"), "37 ")
			})
			if fresh := newUser(); i == 0 {
				loggedIn(t, l.plain, fresh).logout()
				l.wantHome(fresh, "s2")
			}
		}
	}
	hold(a, b)
	c.run()
	f.met(a, b, c)
	hold(a, b, c)
	for _, l := range []*lb{a, b} { // each is started anew: one killed, one stopped
		if l == a {
			l.kill()
		} else {
			l.signal(syscall.SIGTERM)
			if err := l.waitExit(patience); err != nil {
				t.Fatal(err)
			}
		}
		l.run()
		f.met(a, b, c)
		hold(l)
	}
	for _, l := range f.lbs {
		l.signal(syscall.SIGTERM)
	}
	for _, l := range f.lbs {
		if err := l.waitExit(patience); err != nil {
			t.Fatal(err)
		}
	}
	b.run()
	hold(b)
	// It is alone, and killed: what was ordered a moment ago is on the disk.
	b.tell("set server mail/s2 weight 41")
	within(t, patience, "the order is on the disk", func() bool {
		saved, err := os.ReadFile(filepath.Join(filepath.Dir(b.config), "state", "orders"))
		return err == nil && bytes.Contains(saved, []byte("\xa241"))
	})
	b.kill()
	b.run()
	within(t, patience, "the last order holds", func() bool { return strings.HasPrefix(b.ask("get weight mail/s2"), "41 ") })
	b.tell("set server mail/s2 weight 37")
	for _, l := range []*lb{a, c} {
		l.run()
	}
	f.met(a, b, c)
	hold(a, b, c)
	c.tell("set server mail/s1 state ready")
	for _, l := range f.lbs {
		within(t, patience, "s1 is ready", func() bool { return strings.HasPrefix(l.stat("mail", "s1", "status"), "UP") })
	}
}

// maint at one peer ends the sessions at all; "local" at one alone.
func TestClusterMaint(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	b.wantHome(user, "s1")
	there := loggedIn(t, b.plain, user)
	a.tell("set server mail/s1 state drain local")
	a.tell("set server mail/s2 weight 11 local")
	fresh := newUser()
	b.tell("set table users key " + fresh + " server s1") // behind the local orders
	a.wantHome(fresh, "s1")
	if got := b.stat("mail", "s1", "status"); !strings.HasPrefix(got, "UP") {
		t.Errorf("status at lb2 = %q after an order for lb1 alone", got)
	}
	if got := b.ask("get weight mail/s2"); !strings.HasPrefix(got, "100 ") {
		t.Errorf("weight at lb2 = %q after an order for lb1 alone", got)
	}
	a.tell("set server mail/s1 state ready local")
	there.alive()
	a.tell("set server mail/s1 state maint")
	there.bye(patience, "[UNAVAILABLE]")
	loggedIn(t, b.plain, user).logout()
	a.wantHome(user, "s2")
	b.tell("set server mail/s1 state ready")
	within(t, patience, "s1 is ready at lb1", func() bool { return strings.HasPrefix(a.stat("mail", "s1", "status"), "UP") })
	f.agree(patience, a, b)
}
