package tests

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process whose descriptors have run out refuses clients with a BYE, keeps
// the others, and accepts again when there are some.
func TestLimitDescriptors(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	l.wantErrors = true
	user := newUser()
	old := loggedIn(t, l.plain, user)
	waiting := greeted(t, l.plain)
	limit := uint64(l.descriptors() + 20)
	if err := unix.Prlimit(l.cmd.Process.Pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		t.Fatal(err)
	}
	var in []*client
	refused := 0
	for range 60 {
		c := dial(t, l.plain)
		switch line := c.line(); {
		case strings.HasPrefix(line, "* OK"):
			in = append(in, c)
		case strings.HasPrefix(line, "* BYE [UNAVAILABLE]"):
			refused++
			c.closed(patience)
		default:
			t.Fatalf("at the limit a client got %q", line)
		}
	}
	if refused == 0 || len(in) == 0 {
		t.Errorf("of 60 clients %d got in and %d were refused, want both", len(in), refused)
	}
	old.alive()
	// A login needs a descriptor too. Without one it fails for now, not for
	// good: the client must keep its password.
	waiting.refused("NO [UNAVAILABLE]", "LOGIN %s %s", newUser(), password)
	for _, c := range in {
		c.close()
	}
	within(t, patience, "a login after room was made", func() bool { return login(l.plain, newUser()) == nil })
	old.alive()
	old.logout()
	waiting.close()
}

// At maxconn clients wait to be accepted; each that leaves lets one in.
func TestLimitMaxconn(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"global":   {global: "maxconn = 10"},
		"frontend": {frontend: "maxconn = 10"},
	} {
		t.Run(name, func(t *testing.T) {
			o.servers = serversOf(sharedDovecots(t)[0])
			l := runLB(t, o)
			var in []*client
			for range 10 {
				in = append(in, greeted(t, l.plain))
			}
			next := dial(t, l.plain)
			if next.hears(time.Second) {
				t.Error("the eleventh client was greeted")
			}
			in[3].close()
			next.expect("* OK")
			next.ok("LOGIN %s %s", newUser(), password)
			next.logout()
			for _, c := range in {
				c.close()
			}
		})
	}
}

// hears tells whether anything comes within limit.
func (c *client) hears(limit time.Duration) bool {
	c.conn.SetReadDeadline(time.Now().Add(limit))
	_, err := c.r.Peek(1)
	return err == nil
}

// The sessions that a user has at all peers count together.
func TestLimitUserAtAllPeers(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.backend, o.servers = "max_user_sessions = 3", serversOf(all[:]...)
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	b.wantHome(user, "s1")
	in := []*client{loggedIn(t, a.plain, user), loggedIn(t, a.plain, user), loggedIn(t, b.plain, user)}
	for _, l := range f.lbs {
		within(t, patience, "both peers know of three sessions", func() bool {
			return strings.HasPrefix(l.residents()[user], "s1 3")
		})
		c := greeted(t, l.plain)
		c.refused("NO [LIMIT] Too many sessions of this user, at most 3", "LOGIN %s %s", user, password)
		c.ok("LOGIN %s %s", newUser(), password)
		c.logout()
	}
	in[0].logout()
	within(t, patience, "both peers know of two sessions", func() bool {
		return strings.HasPrefix(b.residents()[user], "s1 2")
	})
	in = append(in[1:], loggedIn(t, b.plain, user))
	// Those at a peer that dies do not keep their clients from coming back.
	full := func() bool {
		return strings.Contains(b.ask("explain user "+user), "as many as max_user_sessions allows")
	}
	within(t, patience, "he has all he may have", full)
	a.kill()
	within(t, patience, "lb1 is found dead", func() bool { return !full() })
	in = append(in[1:], loggedIn(t, b.plain, user))
	c := greeted(t, b.plain)
	c.refused("NO [LIMIT]", "LOGIN %s %s", user, password)
	c.logout()
	for _, c := range in {
		c.logout()
	}
}
