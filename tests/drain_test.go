package tests

import (
	"regexp"
	"strings"
	"testing"
)

// movable is an imaplb before the shared Dovecots, and a user who lives on s1
// with one session open.
func movable(t *testing.T) (l *lb, user string, c *client) {
	t.Helper()
	pair := sharedDovecots(t)
	l = runLB(t, options{servers: serversOf(pair[:]...)})
	user = newUser()
	l.tell("set table users key " + user + " server s1")
	c = loggedIn(t, l.plain, user)
	if got := l.home(user); got != "s1" {
		t.Fatalf("home = %q, want s1 as set", got)
	}
	return l, user, c
}

// drain: who has a session stays until the last is gone; all others are
// placed anew.
func TestDrain(t *testing.T) {
	t.Parallel()
	l, user, c := movable(t)
	away := newUser()
	l.tell("set table users key " + away + " server s1")
	l.tell("set server mail/s1 state drain")
	if got := l.stat("mail", "s1", "status"); !strings.HasPrefix(got, "DRAIN") {
		t.Errorf("status = %q, want DRAIN", got)
	}
	c.alive()
	loggedIn(t, l.plain, user).logout()
	if got := l.home(user); got != "s1" {
		t.Errorf("home of a user with a session on a draining server = %q, want s1", got)
	}
	for _, u := range []string{away, newUser(), newUser(), newUser(), newUser()} {
		loggedIn(t, l.plain, u).logout()
		if got := l.home(u); got != "s2" {
			t.Errorf("home of a user without a session = %q, want s2", got)
		}
	}
	c.logout()
	within(t, patience, "conn_cur 0", func() bool { return l.entry(user, "conn_cur") == "0" })
	loggedIn(t, l.plain, user).logout()
	if got := l.home(user); got != "s2" {
		t.Errorf("home after the last session on a draining server = %q, want s2", got)
	}
	l.tell("set server mail/s1 state ready")
	loggedIn(t, l.plain, user).logout()
	if got := l.home(user); got != "s2" {
		t.Errorf("home with s1 ready again = %q, want s2 still", got)
	}
}

// maint: everybody is sent away at once and lands on the other server.
func TestMaint(t *testing.T) {
	t.Parallel()
	l, user, c := movable(t)
	l.tell("set server mail/s1 state maint")
	c.bye(patience, "[UNAVAILABLE]")
	loggedIn(t, l.plain, user).logout()
	if got := l.home(user); got != "s2" {
		t.Errorf("home with s1 in maint = %q, want s2", got)
	}
	l.wantErrors = true // that a backend has no server is one
	l.tell("set server mail/s2 state maint")
	nobody := greeted(t, l.plain)
	nobody.refused("NO [UNAVAILABLE]", "LOGIN %s %s", user, password)
	l.tell("set server mail/s1 state ready")
	nobody.ok("LOGIN %s %s", user, password)
	nobody.logout()
}

// Sessions are ended by user, one by one and by server, each with a BYE.
func TestKick(t *testing.T) {
	t.Parallel()
	l, user, c := movable(t)
	other := newUser()
	l.tell("set table users key " + other + " server s1")
	stays := loggedIn(t, l.plain, other)
	second := loggedIn(t, l.plain, user)
	if got := strings.TrimSpace(l.ask("kick user " + user)); !strings.HasPrefix(got, "2 sessions") {
		t.Errorf("kick user = %q, want 2 sessions", got)
	}
	c.bye(patience, "[UNAVAILABLE]")
	second.bye(patience, "[UNAVAILABLE]")
	stays.alive()

	ids := regexp.MustCompile(`(?m)^(0x[0-9a-f]+): `).FindAllStringSubmatch(l.ask("show sess"), -1)
	if len(ids) != 1 {
		t.Fatalf("show sess has %d sessions, want 1", len(ids))
	}
	l.tell("shutdown session " + ids[0][1])
	stays.bye(patience, "")
	if state := l.sessionEnd("user=" + other)["state"]; !strings.HasPrefix(state, "K") {
		t.Errorf("state = %q, want K…: ended by the operator", state)
	}
	if got := strings.TrimSpace(l.ask("shutdown session " + ids[0][1])); got != "No such session (use 'show sess')." {
		t.Errorf("shutdown of a session that is gone = %q", got)
	}

	last := loggedIn(t, l.plain, other)
	l.tell("shutdown sessions server mail/s1")
	last.bye(patience, "")
}

// Entries can be cleared, but not under a session.
func TestClearTable(t *testing.T) {
	t.Parallel()
	l, user, c := movable(t)
	gone := newUser()
	l.tell("set table users key " + gone + " server s2")
	l.tell("clear table users key " + gone)
	if got := l.home(gone); got != "" {
		t.Errorf("home after clear = %q, want none", got)
	}
	if got := strings.TrimSpace(l.ask("clear table users key " + user)); got != "Entry currently in use, cannot remove" {
		t.Errorf("clear of an entry with a session = %q", got)
	}
	c.logout()
	within(t, patience, "conn_cur 0", func() bool { return l.entry(user, "conn_cur") == "0" })
	l.tell("clear table users key " + user)
	if got := l.home(user); got != "" {
		t.Errorf("home after clear = %q, want none", got)
	}
}

// A weight of 0 takes no new users, and keeps the old.
func TestWeight(t *testing.T) {
	t.Parallel()
	l, user, c := movable(t)
	l.tell("set server mail/s1 weight 0")
	if got := strings.TrimSpace(l.ask("get weight mail/s1")); got != "0 (initial 100)" {
		t.Errorf("get weight = %q, want 0 (initial 100)", got)
	}
	c.logout()
	within(t, patience, "conn_cur 0", func() bool { return l.entry(user, "conn_cur") == "0" })
	loggedIn(t, l.plain, user).logout()
	if got := l.home(user); got != "s1" {
		t.Errorf("home of an old user = %q, want s1", got)
	}
	for range 8 {
		fresh := newUser()
		loggedIn(t, l.plain, fresh).logout()
		if got := l.home(fresh); got != "s2" {
			t.Errorf("home of a new user = %q, want s2", got)
		}
	}
}
