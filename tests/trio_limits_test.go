package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// One address may have so many sessions of a user, at each peer; other users
// and other addresses are not hindered.
func TestTrioUserFromOneAddress(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.servers, o.backend = serversOf(all[:]...), "max_user_sessions_per_source = 2"
	f := runFleet(t, 2, o)
	user := newUser()
	for i, l := range f.lbs {
		a, b := loggedIn(t, l.plain, user), loggedIn(t, l.plain, user)
		c := greeted(t, l.plain)
		c.refused("NO [LIMIT] Too many sessions of this user from this address, at most 2", "LOGIN %s %s", user, password)
		c.ok("LOGIN %s %s", newUser(), password)
		c.logout()
		c = dialFrom(t, "127.0.0.5", l.plain)
		c.expect("* OK")
		c.ok("LOGIN %s %s", user, password)
		if home := all.at(t, user, 3+4*i); home == 0 {
			t.Errorf("%s is on several servers", user)
		}
		a.logout()
		within(t, patience, "room for one more", func() bool { return login(l.plain, user) == nil })
		b.logout()
		all.at(t, user, 4*(i+1))
	}
}

// With minconn the limit of a server grows with the load of all.
func TestTrioMinconn(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	servers := serversOf(all[:]...)
	for i := range servers {
		servers[i].extra = "minconn = 1\nmaxconn = 4"
	}
	l := runLB(t, options{servers: servers, backend: "fullconn = 12"})
	var waiting []*client
	for range servers {
		loggedIn(t, l.plain, newUser())
	}
	for i := range 3 {
		c := greeted(t, l.plain)
		c.send("q LOGIN " + newUser() + " " + password + "\r\n")
		waiting = append(waiting, c)
		if want := fmt.Sprint(i + 1); i < 2 {
			within(t, patience, "it waits", func() bool { return l.stat("mail", "BACKEND", "qcur") == want })
		}
	}
	for _, c := range waiting { // the third raises the limit for them all
		c.expect("q OK")
	}
	for _, s := range servers {
		if n := l.stat("mail", s.name, "scur"); n != "2" {
			t.Errorf("%s has %s sessions, want 2", s.name, n)
		}
	}
}

// login_rate lets so many logins per second begin at each server, of both peers
// together; the others wait for their turn.
func TestTrioLoginRate(t *testing.T) {
	t.Parallel()
	const rate, users = 2, 18 // 6 of them for each server: 2 at once, and 2 in each second
	o := sharedTrio(t).peers()
	for i := range o.servers {
		o.servers[i].extra = fmt.Sprintf("login_rate = %d", rate)
	}
	f := runFleet(t, 2, o)
	for _, l := range f.lbs {
		for _, s := range o.servers {
			l.wantClaim(s.name, "login_rate", "2", "1")
		}
	}
	begun := time.Now()
	results := make(chan error, users)
	for i := range users {
		go report(results, func() error { return login(f.lbs[i%2].plain, newUser()) }) // ends with the login
	}
	for range users {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	took := time.Since(begun)
	t.Logf("%d logins took %v", users, took)
	if took < (users/3/rate-1)*900*time.Millisecond {
		t.Errorf("%d logins took %v, want 2 s", users, took)
	}
	for _, s := range o.servers {
		if n := f.sum(s.name, "stot"); n < rate {
			t.Errorf("%s had %d logins", s.name, n)
		}
	}
}

// All counters of a source are the sum of both peers', an IPv6 /64 is one
// source, and rules by network come first.
func TestTrioCounters(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.more = `[stick_table.sources]
key = "src"
store = ["gpt0", "gpc0", "conn_cnt", "conn_rate(1h)", "conn_cur", "sess_cnt", "sess_rate(1h)", "bytes_in_cnt", "bytes_out_cnt", "auth_fail_cnt", "auth_fail_rate(1h)"]
` + frontendText("counted", `backend = "mail"
accept_proxy = ["127.0.0.1"]
track_src = "sources"
rules = [
  { action = "allow", src = ["192.0.2.128/25"] },
  { action = "deny", src = ["192.0.2.0/24", "2001:db8:bad::/48"] },
  { action = "deny", when = "sess_rate > 3" },
  { action = "deny", when = ["gpc0 >= 5", "conn_cnt > 0"] },
]`)
	f := runFleet(t, 2, o)
	const key = "2001:db8:5:5::"
	for i, l := range f.lbs {
		c := dialAs(t, key+fmt.Sprint(i+1), l.boundTo("counted"))
		c.expect("* OK")
		c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s guess%d", newUser(), i)
		c.ok("LOGIN %s %s", newUser(), password)
		c.logout()
		l.sessionEnd("fe=counted", "reason=logout")
	}
	for _, l := range f.lbs {
		for _, want := range []string{
			"conn_cnt=2", "conn_rate(3600000)=2", "conn_cur=0", "sess_cnt=2", "sess_rate(3600000)=2",
			"auth_fail_cnt=2", "auth_fail_rate(3600000)=2", "gpc0=0", "gpt0=0",
		} {
			l.wantCounter("sources", key, want)
		}
		row := l.ask("show table sources key " + key + "1")
		if in, out := number(t, row, `bytes_in_cnt=(\d+)`), number(t, row, `bytes_out_cnt=(\d+)`); in == 0 || out == 0 {
			t.Errorf("show table = %q, want bytes of both directions", row)
		}
	}
	denied := func(src string) {
		t.Helper()
		for _, l := range f.lbs {
			dialAs(t, src, l.boundTo("counted")).bye(patience, "[UNAVAILABLE]")
		}
	}
	let := func(src string, lbs ...*lb) {
		t.Helper()
		for _, l := range lbs {
			c := dialAs(t, src, l.boundTo("counted"))
			c.expect("* OK")
			c.ok("LOGIN %s %s", newUser(), password)
			c.logout()
		}
	}
	denied("192.0.2.1")
	denied("2001:db8:bad:7::1")
	let("192.0.2.200", f.lbs...)
	f.lbs[0].tell("set table sources key 198.51.100.7 data.gpc0 5")
	f.lbs[1].wantCounter("sources", "198.51.100.7", "gpc0=5")
	denied("198.51.100.7")
	let("198.51.100.8", f.lbs...)
	let(key+"9", f.lbs...)
	for _, l := range f.lbs {
		l.wantCounter("sources", key, "sess_rate(3600000)=4")
	}
	denied(key + "a")
}

// wantCounter waits until a counter of a key has that value, as "name=value".
func (l *lb) wantCounter(table, key, want string) {
	l.t.Helper()
	said := ""
	if !waitFor(patience, func() bool {
		said = l.ask("show table " + table + " key " + key)
		return strings.Contains(said, " "+want+" ") || strings.Contains(said, " "+want+"\n")
	}) {
		l.t.Fatalf("show table %s = %q, want %s of %s", table, said, want, key)
	}
}
