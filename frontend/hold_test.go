package frontend

import (
	"sync/atomic"
	"testing"
	"time"
)

// While a user is being moved his logins wait, and then go to his new home.
func TestHeldLogin(t *testing.T) {
	old, next := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{old.addr(), next.addr()}})
	var held atomic.Bool
	var asked atomic.Int64
	r.e.SetHold(func(table, key string) bool {
		if table != r.table.Name() || key != "alice" {
			return false
		}
		asked.Add(1)
		return held.Load()
	})
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	held.Store(true)
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	r.eventually("the login has waited for a while", func() bool { return asked.Load() >= 3 })
	r.greeted().login("bob")
	if err := r.table.Set(time.Now(), "alice", "s2"); err != nil {
		t.Fatal(err)
	}
	held.Store(false)
	c.want("a OK")
	if s, ok := r.session(func(s Session) bool { return s.User == "alice" }); !ok || s.Server != "s2" {
		t.Errorf("alice is on %q (%v), want s2", s.Server, ok)
	}
}

// A move that begins while the login is under way finds no session afterwards.
func TestHeldWhileLoggingIn(t *testing.T) {
	old, next := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{old.addr(), next.addr()}})
	var held atomic.Bool
	r.e.SetHold(func(string, string) bool { return held.Load() })
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	old.onLogin(func(_, _ string) string { held.Store(true); return loggedIn })
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	r.eventually("the session is given up", func() bool {
		e, _ := r.table.Lookup(time.Now(), "alice")
		s, ok := r.session(func(s Session) bool { return s.User == "alice" })
		return held.Load() && e.Local == 0 && ok && s.State == "connect"
	})
	if err := r.table.Set(time.Now(), "alice", "s2"); err != nil {
		t.Fatal(err)
	}
	held.Store(false)
	c.want("a OK")
	if here, there := r.e.Elsewhere(r.table, "alice", "s2"), r.e.Elsewhere(r.table, "alice", "s1"); here != 0 || there != 1 {
		t.Errorf("%d sessions elsewhere than on s2, %d elsewhere than on s1; want 0 and 1", here, there)
	}
	r.e.CloseMoved(r.table, "alice", "s2") // he is there: nothing happens
	c.send("b NOOP\r\n")
	c.want("b OK")
	r.e.CloseMoved(r.table, "alice", "s1")
	c.want("* BYE [UNAVAILABLE]")
	c.gone()
}
