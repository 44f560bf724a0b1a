package tests

import (
	"strings"
	"testing"
)

// full is an imaplb with one place on s1, which is taken, and a user of s1 who
// waits for it; his client was sent a LOGIN with the tag q.
func full(t *testing.T, o options) (l *lb, user string, waits *client) {
	t.Helper()
	all := sharedTrio(t)
	extra := ""
	if len(o.servers) > 0 {
		extra = o.servers[0].extra
	}
	o.servers = serversOf(all[:]...)
	o.servers[0].extra = extra
	if extra == "" {
		o.servers[0].extra = "maxconn = 1"
	}
	l = runLB(t, o)
	other := newUser()
	user = newUser()
	for _, u := range []string{other, user} {
		l.tell("set table users key " + u + " server s1")
	}
	within(t, patience, "s1 has a limit of 1", func() bool { return l.stat("mail", "s1", "slim") == "1" })
	loggedIn(t, l.plain, other)
	waits = greeted(t, l.plain)
	waits.send("q LOGIN " + user + " " + password + "\r\n")
	within(t, patience, "he waits", func() bool { return l.stat("mail", "s1", "qcur") == "1" })
	return l, user, waits
}

// What an operator, an agent or a check does to a server or a user reaches the
// logins that wait.
func TestOrdersReachWaiting(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]string{
		"move":          "move user USER mail/s2",
		"pin":           "pin user USER mail/s2",
		"set table":     "set table users key USER server s2",
		"maint":         "set server mail/s1 state maint",
		"drain":         "set server mail/s1 state drain",
		"set maxconn":   "set maxconn server mail/s1 2",
		"kick the rest": "shutdown sessions server mail/s1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, user, waits := full(t, options{global: `shutdown_spread = "0s"`})
			said := strings.TrimSpace(l.ask(strings.ReplaceAll(order, "USER", user)))
			if said != "" && !strings.Contains(said, "closed") {
				t.Errorf("%s = %q", order, said)
			}
			waits.expect("q OK")
			want := "s2"
			switch name {
			case "set maxconn", "kick the rest":
				want = "s1"
			case "maint", "drain":
				want = l.home(user)
				if want == "s1" {
					t.Errorf("he lives on s1 still")
				}
			}
			if home := l.home(user); home != want {
				t.Errorf("he lives on %s, want %s", home, want)
			}
			waits.logout()
		})
	}
	t.Run("kick src", func(t *testing.T) {
		t.Parallel()
		l, _, waits := full(t, options{})
		l.ask("kick src 127.0.0.1")
		waits.closed(patience)
		within(t, patience, "nobody waits", func() bool { return l.stat("mail", "s1", "qcur") == "0" })
	})
	t.Run("an agent", func(t *testing.T) {
		t.Parallel()
		addr, answer := runAgent(t)
		one, two := "maxconn:1\n", "maxconn:2\n"
		answer.Store(&one)
		l, user, waits := full(t, options{servers: []server{{extra: `agent = { addr = "` + addr + `", inter = "20ms" }`}}})
		answer.Store(&two)
		waits.expect("q OK")
		if home := l.home(user); home != "s1" {
			t.Errorf("he lives on %s, want s1", home)
		}
		waits.logout()
	})
}

// A server that begins to take users takes those who wait for any.
func TestRoomReachesWaiting(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	for _, c := range []struct {
		name, extra, order string // of s1; what lets it take users
		says               [2]string
	}{
		{name: "weight", extra: "weight = 0", order: "set server mail/s1 weight 100"},
		{name: "drain", extra: `state = "drain"`, order: "set server mail/s1 state ready"},
		{name: "maint", extra: `state = "maint"`, order: "set server mail/s1 state ready"},
		{name: "agent's weight", says: [2]string{"0%\n", "100%\n"}},
		{name: "agent's drain", says: [2]string{"drain\n", "ready\n"}},
		{name: "agent's word", says: [2]string{"down\n", "up\n"}},
		{name: "backup", extra: "backup = true", order: "set server mail/s2 weight 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := options{servers: serversOf(all[:2]...)}
			o.servers[0].extra, o.servers[1].extra = c.extra, "maxconn = 1"
			say := func(int) {}
			if c.says[0] != "" {
				addr, answer := runAgent(t)
				say = func(i int) { answer.Store(&c.says[i]) }
				say(0)
				o.servers[0].extra = `agent = { addr = "` + addr + `", inter = "20ms" }`
			}
			l := runLB(t, o)
			if c.says[0] != "" {
				within(t, patience, "the agent is heard", func() bool {
					return l.stat("mail", "s1", "agent_status") == "L7OK"
				})
			}
			first := newUser()
			loggedIn(t, l.plain, first)
			if home := l.home(first); home != "s2" {
				t.Fatalf("the first user is on %s, want s2", home)
			}
			user, waits := newUser(), greeted(t, l.plain)
			waits.send("q LOGIN " + user + " " + password + "\r\n")
			within(t, patience, "he waits", func() bool { return l.stat("mail", "BACKEND", "qcur") == "1" })
			if c.order != "" {
				l.tell(c.order)
			}
			say(1)
			waits.expect("q OK")
			if home := l.home(user); home != "s1" {
				t.Errorf("he lives on %s, want s1", home)
			}
			waits.logout()
		})
	}
}

// A backend that a reload takes away at one of two peers still serves the login
// that waits for it there, and goes on at the other.
func TestWaitingWhenBackendGoes(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.servers = serversOf(all[:1]...)
	o.servers[0].extra = "maxconn = 2"
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	in := []*client{loggedIn(t, a.plain, newUser()), loggedIn(t, b.plain, newUser())}
	waits := greeted(t, a.plain)
	waits.send("q LOGIN " + newUser() + " " + password + "\r\n")
	within(t, patience, "he waits", func() bool { return a.stat("mail", "BACKEND", "qcur") == "1" })
	text := strings.ReplaceAll(fileText(t, a.config), "[backend.mail", "[backend.post")
	a.writeText(strings.ReplaceAll(text, `backend = "mail"`, `backend = "post"`))
	if out, err := a.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
	in[0].alive()
	in[0].logout()
	waits.expect("q OK")
	waits.logout()
	loggedIn(t, a.plain, newUser()).logout()
	b.wantClaim("s1", "maxconn", "2", "2")
	in = append(in, loggedIn(t, b.plain, newUser()))
	for _, c := range in[1:] {
		c.logout()
	}
}

// An order given at one peer reaches the login that waits at the other.
func TestClusterOrdersReachWaiting(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.servers[0].extra = "maxconn = 3" // one of them is kept for the other peer
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	for range 2 {
		other := newUser()
		b.tell("set table users key " + other + " server s1")
		loggedIn(t, b.plain, other)
	}
	for _, order := range []string{"move user USER mail/s2", "pin user USER mail/s2", "set table users key USER server s2"} {
		user, waits := newUser(), greeted(t, b.plain)
		b.tell("set table users key " + user + " server s1")
		a.wantHome(user, "s1")
		waits.send("q LOGIN " + user + " " + password + "\r\n")
		within(t, patience, "he waits", func() bool { return b.stat("mail", "s1", "qcur") == "1" })
		a.tell(strings.ReplaceAll(order, "USER", user))
		if !waits.hears(patience) {
			t.Fatalf("%s: nothing came of it at lb2: %s\n%s", order, b.ask("explain user "+user), b.ask("show servers limits"))
		}
		waits.expect("q OK")
		b.wantHome(user, "s2")
		waits.logout()
		within(t, patience, "nobody waits", func() bool { return b.stat("mail", "s1", "qcur") == "0" })
	}
}
