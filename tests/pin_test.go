package tests

import (
	"strings"
	"testing"
)

// A peer that is killed and started anew has the pins again, also those that were
// ordered while it was away, and not those that were ended then.
func TestClusterPinOverRestart(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	kept, ended, fresh := newUser(), newUser(), newUser()
	for _, user := range []string{kept, ended, fresh} {
		a.tell("set table users key " + user + " server s1")
		b.wantHome(user, "s1")
	}
	a.tell("pin user " + kept + " mail/s2")
	a.tell("pin user " + ended + " mail/s2")
	within(t, patience, "lb2 has both pins", func() bool {
		pins := b.ask("show pins")
		return strings.Contains(pins, kept) && strings.Contains(pins, ended)
	})
	a.kill()
	within(t, patience, "lb2 misses lb1", func() bool { return b.peer("lb1")["state"] != "alive" })
	b.tell("unpin user " + ended)
	b.tell("set table users key " + ended + " server s1")
	b.tell("pin user " + fresh + " mail/s2")
	a.run()
	f.met(a, b)
	pins := a.ask("show pins")
	if !strings.Contains(pins, kept) || !strings.Contains(pins, fresh) || strings.Contains(pins, ended+" ") {
		t.Errorf("show pins at lb1 = %q, want %s and %s alone", pins, kept, fresh)
	}
	for user, home := range map[string]string{kept: "s2", fresh: "s2", ended: "s1"} {
		b.tell("set table users key " + user + " server s1") // what the table says counts less than a pin
		a.wantHome(user, "s1")
		loggedIn(t, a.plain, user).logout()
		b.wantHome(user, home)
	}
}
