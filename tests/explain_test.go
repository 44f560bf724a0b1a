package tests

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// explained asks for an explanation that has these texts, and not those behind
// a "!".
func (l *lb) explained(question string, want ...string) {
	l.t.Helper()
	said := l.ask("explain user " + question)
	for _, w := range want {
		if no, is := strings.CutPrefix(w, "!"); is && strings.Contains(said, no) || !is && !strings.Contains(said, w) {
			l.t.Errorf("explain user %s = %s want %q", question, said, w)
		}
	}
}

var goesTo = regexp.MustCompile(`(?m)^goes to:  (\S+)$`)

// foretold asks where a user goes until the reason is known there, has him log
// in, and sees that he goes there.
func (f *fleet) foretold(l *lb, user, why string) {
	f.t.Helper()
	var said string
	var to []string
	if !waitFor(patience, func() bool {
		said = l.ask("explain user " + user)
		to = goesTo.FindStringSubmatch(said)
		return to != nil && strings.Contains(said, "because:  "+why)
	}) {
		f.t.Fatalf("explain user %s = %s want %q", user, said, why)
	}
	loggedIn(f.t, l.plain, user).logout()
	for _, l := range f.lbs {
		l.wantHome(user, to[1])
		within(f.t, patience, "no session is counted", func() bool { return l.entry(user, "conn_cur") == "0" })
	}
}

// explain user, at both peers: the answer is where a login then goes.
func TestExplain(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.servers = append(o.servers, server{name: "s4", addr: freeAddr(t)})
	o.backend = "max_user_sessions = 2\ncheck = { kind = \"tcp\", " + quick + " }"
	f := runFleet(t, 2, o)
	a := f.lbs[0]
	everywhere := func(server, status string) {
		for _, l := range f.lbs {
			within(t, patience, server+" is "+status, func() bool { return strings.HasPrefix(l.stat("mail", server, "status"), status) })
		}
	}
	everywhere("s4", "DOWN")
	known := func(server string) string {
		user := newUser()
		a.tell("set table users key " + user + " server " + server)
		f.lbs[1].wantHome(user, server)
		return user
	}
	user, works, lost := known("s2"), known("s3"), known("s4")
	for _, l := range f.lbs {
		f.foretold(l, newUser(), "the table does not know him, so the algorithm chooses")
		f.foretold(l, user, "the table says that he lives there\n")
	}
	f.foretold(f.lbs[1], lost, "he lived on s4, which is DOWN")
	sessions := []*client{loggedIn(t, a.plain, works)}
	for i, server := range []string{"s2", "s3"} {
		f.lbs[i].tell("set server mail/" + server + " state drain")
		everywhere(server, "DRAIN")
	}
	f.foretold(a, user, "he lived on s2, which is DRAIN")
	sessions = append(sessions, loggedIn(t, f.lbs[1].plain, works))
	f.agree(patience, f.lbs...)
	for _, l := range f.lbs {
		l.explained(works, "goes to:  nowhere, the login is answered NO [LIMIT]", "max_user_sessions allows, 2; without that: s3",
			"he has sessions there, which keep him there though it is in drain", "2 sessions, 1 of them at this peer", "limit:    sessions of the user: 2 of 2 (100 %), reached")
	}
	sessions[0].logout()
	sessions[1].logout()
	a.tell("pin user " + user + " mail/s1")
	for _, l := range f.lbs {
		f.foretold(l, user, "he is pinned to it")
	}
	for i, server := range []string{"s1", "s2", "s3"} {
		f.lbs[i%2].wantErrors = true
		a.tell("set server mail/" + server + " state maint")
		everywhere(server, "MAINT")
	}
	for _, l := range f.lbs {
		l.explained(user, "goes to:  nowhere, the login is refused: no server is usable")
		l.explained(user+" mails", "No such backend.")
	}
}

// explain user with the client's address: what his counters, the rules and his
// sessions make of a login, which is then tried.
func TestExplainClient(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...),
		frontend: `track_src = "sources"
maxconn = 50
rules = [{ action = "deny", when = "gpt0 == 1" }, { action = "deny", when = "conn_cur > 20" }]`,
		backend: "max_user_sessions = 2\nmax_user_sessions_per_source = 1",
		more:    "\n[stick_table.sources]\nkey = \"src\"\nstore = [\"gpt0\", \"conn_cur\", \"conn_rate(10s)\"]\n",
	})
	user := newUser()
	l.explained(user, "frontend plain has 2 rules about clients: ask 'explain user … from ADDRESS'", "sessions of the user: 0 of 2 (0 %)", "!client:")
	l.explained(user+" from 127.0.0.1", "client:   frontend plain: none of 2 rules holds: he is let in", "!nowhere", "connections of frontend plain: 0 of 50 (0 %)")
	c := loggedIn(t, l.plain, user)
	l.explained(user+" from 127.0.0.1", "goes to:  nowhere, the login is answered NO [LIMIT]",
		"sessions of the user from 127.0.0.1 at this peer are as many as max_user_sessions_per_source allows, 1; without that: "+l.home(user)+", since the table says that he lives there",
		"gpt0 0, conn_rate(10s) 1, conn_cur 1", "sessions of the user: 1 of 2 (50 %)")
	early := greeted(t, l.plain)
	early.send("a LOGIN " + user + " " + password + "\r\n")
	early.expect("a NO [LIMIT]")
	l.explained(user+" from 192.0.2.9", "!nowhere", "sessions of the user from 192.0.2.9 at this peer: 0 of 1")
	l.tell("set table sources key 127.0.0.1 data.gpt0 1")
	l.explained(user+" from 127.0.0.1 bind plain", "goes to:  nowhere, the connection is closed",
		"because:  rule 1 of frontend plain says so: deny when gpt0 == 1", "client:   frontend plain: when he connects rule 1 decides: deny when gpt0 == 1", "!frontend starttls")
	denied := dial(t, l.plain)
	denied.expect("* BYE [UNAVAILABLE]")
	denied.close()
	l.explained(user+" from nowhere", "'from' expects an IP address")
	l.explained(user+" bind :1", `no frontend of mode imap is called ":1" or listens there`)
	c.logout()
	early.close()
}

// explain user with all that routes look at names the one route that the login
// takes.
func TestExplainKnownLogin(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := newLB(t, options{})
	o := options{servers: serversOf(pair[0]),
		frontend: `route = [{ sni = "*.test", backend = "other", tag = "ssd" }, { src = ["192.0.2.0/24"], backend = "other" }]`,
		more:     fmt.Sprintf("\n[backend.other]\nstick_table = \"\"\nserver.o1 = { addr = %q, tags = [\"ssd\"] }\n", pair[1].addr),
	}
	l.write(o)
	l.run()
	l.explained("a bind implicit", "by its route 1 if sni = *.test, to servers with the tag ssd", "by its route 2 if src in", "in backend mail")
	l.explained("a sni imap.test from 10.0.0.1 bind "+l.implicit, "in backend other (logins of frontend implicit by its route 1 (sni = *.test), to servers with the tag ssd)",
		"goes to:  o1", "!in backend mail", "!frontend plain")
	l.explained("a sni x from 192.0.2.1 bind "+l.implicit, "in backend other (logins of frontend implicit by its route 2 (src in [192.0.2.0/24]))", "!in backend mail")
	l.explained("a sni x from 10.0.0.1 bind "+l.implicit, "in backend mail (logins of frontend implicit)", "!backend other")
}

// A server that is full says so, and whoever lives there is told to wait.
func TestExplainFull(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	servers := serversOf(pair[:]...)
	servers[0].extra = "maxconn = 1\nmaxqueue = 5"
	l := runLB(t, options{servers: servers, backend: `timeout_queue = "20s"`})
	user, other := newUser(), newUser()
	l.tell("set table users key " + user + " server s1")
	l.tell("set table users key " + other + " server s1")
	c := loggedIn(t, l.plain, user)
	waits := greeted(t, l.plain)
	waits.send("w LOGIN " + other + " " + password + "\r\n")
	within(t, patience, "a login waits", func() bool { return l.stat("mail", "s1", "qcur") == "1" })
	l.explained(user, "goes to:  s1, as soon as it has a place: the login waits, 20s at most", "and he has sessions there, but s1 is full",
		"1 of 1 sessions at this peer, 1 login waits for it, full", "limit:    sessions on s1: 1 of 1 (100 %), reached: logins wait for a place, 20s at most", "limit:    logins waiting for s1: 1 of 5 (20 %)")
	c.logout()
	waits.expect("w OK")
	waits.logout()
}
