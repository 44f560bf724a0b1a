package tests

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// both waits until both peers tell that of a server.
func (f *fleet) both(server, column, value string) {
	f.t.Helper()
	for i, l := range f.lbs {
		got := ""
		if !waitFor(patience, func() bool { got = l.stat("mail", server, column); return got == value }) {
			f.t.Fatalf("lb%d: %s of %s = %q, want %q", i+1, column, server, got, value)
		}
	}
}

// pause has all processes of a Dovecot stand still, as a machine that swaps
// does; the end of the test, or resume, lets them go on.
func (d *dovecot) pause(t testing.TB) {
	t.Helper()
	t.Cleanup(d.resume) // who stands still does not end
	d.signalAll(syscall.SIGSTOP)
}

func (d *dovecot) resume() { d.signalAll(syscall.SIGCONT) }

func (d *dovecot) signalAll(sig syscall.Signal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		_ = syscall.Kill(-d.cmd.Process.Pid, sig) // or it is gone
	}
}

// A test user logs in on three Dovecots for two peers. One that stands still
// is found down by both; its users are elsewhere then, each on one server, and
// it begins slowly when it is back.
func TestTrioLoginCheck(t *testing.T) {
	t.Parallel()
	sick := startDovecot(t)
	pair := sharedDovecots(t)
	all := trio{sick, pair[0], pair[1]}
	o := options{servers: serversOf(all[:]...), peers: `tie_breaker = "serve"`}
	o.servers[0].extra = `slowstart = "1h"`
	o.backend = `check = { kind = "login", user = "monitor", password_file = "pass", inter = "200ms", fastinter = "100ms", timeout = "2s", rise = 3, fall = 2 }`
	f := newFleet(t, 2, o)
	for _, l := range f.lbs {
		l.writePassword(password)
	}
	f.start()
	f.met(f.lbs...)
	for _, s := range []string{"s1", "s2", "s3"} {
		f.both(s, "check_status", "L7OK")
		if got := f.lbs[1].stat("mail", s, "check_desc"); !strings.HasPrefix(got, "login took") {
			t.Errorf("check_desc of %s = %q, want how long the login took", s, got)
		}
	}
	if said := f.lbs[0].ask("show servers health"); strings.Count(said, "IMAP4rev1") != 3 {
		t.Errorf("show servers health = %q, want the capabilities of all", said)
	}
	users, sessions := f.on(3)
	for _, user := range users {
		all.at(t, user, 2) // what it has not written yet it will not write for some time
	}
	sick.pause(t)
	f.both("s1", "status", "DOWN")
	f.both("s1", "check_status", "L7TOUT")
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	for _, user := range users {
		for _, l := range f.lbs {
			loggedIn(t, l.plain, user).logout()
		}
		if home := all.at(t, user, 4); home != 0 {
			t.Errorf("all logins of %s are on Dovecot %d, want two there and two elsewhere", user, home)
		}
		if a, b := f.lbs[0].home(user), f.lbs[1].home(user); a != b || a == "s1" {
			t.Errorf("%s lives on %s and on %s", user, a, b)
		}
	}
	sick.resume()
	f.both("s1", "status", "UP")
	f.both("s1", "throttle", "5")
	f.both("s1", "weight", "5")
	f.both("s2", "weight", "100")
}

// Logins that cannot reach a server tell of it, at each peer and long before
// the next check; wrong passwords tell nothing.
func TestTrioObserve(t *testing.T) {
	t.Parallel()
	sick := startDovecot(t)
	pair := sharedDovecots(t)
	o := options{servers: serversOf(sick, pair[0], pair[1]), peers: `tie_breaker = "serve"`, frontend: trusting}
	o.backend = "retries = 0\n" +
		`check = { kind = "imap", inter = "1h", fastinter = "50ms", downinter = "50ms", fall = 2, rise = 2, observe = "layer4", error_limit = 2, on_error = "fail-check" }`
	f := runFleet(t, 2, o)
	f.both("s1", "check_status", "L7OK")
	settle := func() string {
		user := newUser()
		f.lbs[0].tell("set table users key " + user + " server s1")
		f.lbs[1].wantHome(user, "s1")
		return user
	}
	for _, l := range f.lbs {
		for range 3 {
			c := greeted(t, l.plain)
			c.refused("NO [AUTHENTICATIONFAILED]", "LOGIN %s wrong", settle())
			c.close()
		}
		if n := l.stat("mail", "s1", "hanafail"); n != "" {
			t.Errorf("wrong passwords count as %s failures of the server", n)
		}
	}
	f.both("s1", "status", "UP")
	sick.kill()
	for _, l := range f.lbs {
		for range 2 {
			if l.stat("mail", "s1", "status") != "UP" { // the other one's votes came in
				break
			}
			c := greeted(t, l.plain)
			c.refused("NO [UNAVAILABLE]", "LOGIN %s %s", settle(), password)
			c.close()
		}
	}
	f.both("s1", "status", "DOWN")
	if err := sick.start(); err != nil {
		t.Fatal(err)
	}
	f.both("s1", "status", "UP")
}

// What an agent may say, heard by two peers.
func TestTrioAgent(t *testing.T) {
	t.Parallel()
	addr, answer := runAgent(t)
	say := func(s string) { answer.Store(&s) }
	say("up ready 100%\n")
	all := sharedTrio(t)
	o := all.peers()
	o.servers[0].extra = `agent = { addr = "` + addr + `", inter = "20ms", send = "mail/s1\n" }`
	f := runFleet(t, 2, o)
	f.both("s1", "agent_status", "L7OK")
	for _, c := range []struct{ says, column, want string }{
		{"75%", "weight", "75"},
		{"0%", "weight", "0"},
		{"", "agent_status", "L7RSP"}, // nothing is nonsense, and changes nothing
		{"0%", "agent_status", "L7OK"},
		{"200%\r\n", "weight", "200"},
		{"100%\n50%\n", "weight", "100"}, // one line counts
		{"maint # planned\n", "status", "MAINT (agent)"},
		{"maint # planned\n", "agent_desc", "planned"},
		{"ready", "status", "UP"},
		{"drain\n", "status", "DRAIN (agent)"},
		{"ready\n", "status", "UP"},
		{"fail # disk\n", "status", "DOWN (agent)"},
		{"fail # disk\n", "agent_desc", "disk"},
		{"up\n", "status", "UP"},
		{"down\n", "status", "DOWN (agent)"},
		{"75% maybe\n", "agent_status", "L7RSP"},
		{"75% maybe\n", "weight", "100"},
		{"UP\n", "status", "UP"},
		{"stopped\n", "status", "DOWN (agent)"},
		{"up,ready\t50% # as it was\n", "weight", "50"},
		{"up,ready\t50% # as it was\n", "status", "UP"},
		{"100%\n", "weight", "100"},
	} {
		say(c.says)
		for i, l := range f.lbs {
			got := ""
			if !waitFor(patience, func() bool { got = l.stat("mail", "s1", c.column); return got == c.want }) {
				t.Fatalf("lb%d: the agent says %q: %s = %q, want %q", i+1, c.says, c.column, got, c.want)
			}
		}
	}
	say("maxconn:10\n")
	for _, l := range f.lbs {
		l.wantClaim("s1", "maxconn", "10", "5")
	}
}

// A server that goes down ends its sessions over shutdown_spread. With the
// last one gone the backup server takes users, and keeps them when the others
// are back.
func TestTrioSpreadAndBackup(t *testing.T) {
	t.Parallel()
	const spread, users = 2 * time.Second, 20
	all := sharedTrio(t)
	o := all.peers()
	var says [2]func(string)
	for i := range says {
		addr, answer := runAgent(t)
		says[i] = func(s string) { answer.Store(&s) }
		says[i]("up\n")
		o.servers[i].extra = `agent = { addr = "` + addr + `", inter = "20ms" }`
	}
	o.servers[2].extra = "backup = true"
	o.global = fmt.Sprintf("shutdown_spread = %q", spread)
	f := runFleet(t, 2, o)
	f.both("s1", "agent_status", "L7OK")
	names, sessions := f.on(users)
	begun := time.Now()
	says[0]("down\n")
	ends := make(chan time.Duration, len(sessions))
	for _, c := range sessions {
		go func() { // ends with the connection
			ended([]net.Conn{c.conn}, patience)
			ends <- time.Since(begun)
		}()
	}
	var first, last time.Duration
	for i := range sessions {
		at := <-ends
		if i == 0 {
			first = at
		}
		last = at
	}
	t.Logf("the first session ended after %v, the last one after %v", first, last)
	if last-first < spread/4 || last > spread+5*time.Second {
		t.Errorf("the sessions ended between %v and %v, want them spread over %v", first, last, spread)
	}
	f.both("s1", "status", "DOWN (agent)")
	for i, user := range names {
		loggedIn(t, f.lbs[i%2].plain, user).logout()
		if home := f.lbs[i%2].home(user); home != "s2" {
			t.Errorf("%s lives on %s, want s2: a backup server is not needed yet", user, home)
		}
	}
	says[1]("down\n")
	f.both("s2", "status", "DOWN (agent)")
	for i, user := range names {
		loggedIn(t, f.lbs[i%2].plain, user).logout()
		f.lbs[1-i%2].wantHome(user, "s3")
	}
	says[0]("up\n")
	says[1]("up\n")
	f.both("s1", "status", "UP")
	f.both("s2", "status", "UP")
	for i, user := range names {
		loggedIn(t, f.lbs[1-i%2].plain, user).logout()
		if home := f.lbs[1-i%2].home(user); home != "s3" {
			t.Errorf("%s lives on %s, want s3 still", user, home)
		}
	}
	fresh := newUser()
	loggedIn(t, f.lbs[0].plain, fresh).logout()
	if home := f.lbs[0].home(fresh); home == "s3" {
		t.Error("a new user lives on the backup server, though others are up")
	}
}
