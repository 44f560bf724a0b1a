package tests

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// crowd is a server that knows how many sessions it had at once. They end with
// LOGOUT, so that it knows of the end before those do who could log in instead.
type crowd struct {
	*imapd
	now, most atomic.Int64
}

func runCrowd(t *testing.T) *crowd {
	s := new(crowd)
	s.imapd = runIMAPd(t, func(v *visit) {
		tag, ok := v.login(banner)
		if !ok { // a check
			return
		}
		n := s.now.Add(1)
		for old := s.most.Load(); n > old && !s.most.CompareAndSwap(old, n); old = s.most.Load() {
		}
		v.say(tag + " OK [CAPABILITY IMAP4rev1 IDLE LITERAL+] Logged in")
		for line := v.command(); line != ""; line = v.command() {
			tag, word, _ := strings.Cut(line, " ")
			if strings.EqualFold(word, "LOGOUT") {
				s.now.Add(-1)
				v.say("* BYE", tag+" OK bye")
				return
			}
			v.say(tag + " OK done")
		}
	})
	return s
}

// limitOf is a line of "show servers limits" behind its first three words.
func (l *lb) limitOf(server, kind string) []string {
	l.t.Helper()
	for line := range strings.Lines(l.ask("show servers limits")) {
		if w := strings.Fields(line); len(w) == 8 && w[1] == server && w[2] == kind {
			return w[3:]
		}
	}
	return nil
}

// wantClaim waits until a peer has so much of a limit.
func (l *lb) wantClaim(server, kind, all, here string) {
	l.t.Helper()
	var got []string
	if !waitFor(patience, func() bool {
		got = l.limitOf(server, kind)
		return len(got) > 1 && got[0] == all && got[1] == here
	}) {
		l.t.Fatalf("%s of %s: %q, want %s of %s here", kind, server, got, here, all)
	}
}

// asking sends logins of n new users and does not wait for the answers.
func asking(t *testing.T, l *lb, n int) (list []*client) {
	t.Helper()
	for range n {
		c := greeted(t, l.plain)
		c.send("q LOGIN " + newUser() + " " + password + "\r\n")
		list = append(list, c)
	}
	return list
}

// leaving has those who are in leave as soon as they are, until all were in.
func leaving(t *testing.T, all []*client) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for len(all) > 0 && time.Now().Before(deadline) {
		var rest []*client
		for _, c := range all {
			if c.hears(5 * time.Millisecond) {
				c.expect("q OK")
				c.logout()
			} else {
				rest = append(rest, c)
			}
		}
		all = rest
	}
	if len(all) > 0 {
		t.Fatalf("%d logins wait for ever", len(all))
	}
}

// maxconn holds for both peers together, whichever the clients come through,
// and a peer that dies gives back what it had.
func TestClusterMaxconn(t *testing.T) {
	t.Parallel()
	const maxconn = 10
	s := runCrowd(t)
	o := options{
		backend: `timeout_queue = "30s"`, peers: `tie_breaker = "serve"`,
		servers: []server{{"s1", s.addr, fmt.Sprintf("maxconn = %d", maxconn)}},
	}
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	a.wantClaim("s1", "maxconn", "10", "5")
	b.wantClaim("s1", "maxconn", "10", "5")
	if words := a.ask("explain user " + newUser()); !strings.Contains(words, "sessions on s1: 0 of 5 at this peer, its share of the 10 of all peers") {
		t.Errorf("explain tells nothing of its share:\n%s", words)
	}
	all := append(asking(t, a, 12), asking(t, b, 12)...)
	within(t, patience, "the server is full", func() bool { return s.now.Load() == maxconn })
	leaving(t, all)

	all = asking(t, a, 12) // they find what all but one peer may have
	a.wantClaim("s1", "maxconn", "10", "9")
	within(t, patience, "one peer has nearly all", func() bool { return s.now.Load() == maxconn-1 })
	within(t, patience, "the other one knows", func() bool {
		l := b.limitOf("s1", "maxconn")
		return l[1] == "1" && l[3] == "9" && strings.HasPrefix(l[4], "lb1=9/9/")
	})
	leaving(t, all)

	all = append(asking(t, a, 12), asking(t, b, 12)...)
	within(t, patience, "the server is full", func() bool { return s.now.Load() == maxconn })
	b.kill()
	for _, c := range all[12:] {
		c.close()
	}
	s.now.Store(int64(number(t, a.stat("mail", "s1", "scur"), `(\d+)`))) // those of the dead ended without LOGOUT
	within(t, patience, "the other one has all", func() bool { return s.now.Load() == maxconn })
	leaving(t, all[:12])
	a.wantClaim("s1", "maxconn", "10", "10")
	if most := s.most.Load(); most > maxconn {
		t.Errorf("%d sessions at once, at most %d", most, maxconn)
	}
}

// maxlogins bounds the logins that both peers begin together.
func TestClusterStorm(t *testing.T) {
	t.Parallel()
	const users, maxlogins = 600, 6
	s := runBusyServer(t, 5*time.Millisecond)
	f := runFleet(t, 2, options{
		peers:   `tie_breaker = "serve"`,
		servers: []server{{"s1", s.addr, fmt.Sprintf("maxlogins = %d", maxlogins)}},
	})
	f.lbs[0].wantClaim("s1", "maxlogins", "6", "3")
	var in atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range users {
		user := newUser()
		clients.Go(func() { returning(f.lbs[i%5/4].plain, user, &in, stop) }) // four in five by the first
	}
	within(t, 30*time.Second, "all are in", func() bool { return in.Load() == users })
	close(stop)
	clients.Wait()
	if most := s.most.Load(); most > maxlogins || most < maxlogins-1 {
		t.Errorf("%d logins under way at once, want %d", most, maxlogins)
	}
}

// login_rate, and its burst of one second, is that of both peers together.
func TestClusterLoginRate(t *testing.T) {
	t.Parallel()
	const users, rate = 90, 30
	s := runBusyServer(t, time.Millisecond)
	f := runFleet(t, 2, options{
		peers:   `tie_breaker = "serve"`,
		servers: []server{{"s1", s.addr, fmt.Sprintf("login_rate = %d", rate)}},
	})
	for _, l := range f.lbs {
		l.wantClaim("s1", "login_rate", "30", "15")
	}
	var in atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	begun := time.Now()
	for i := range users {
		user := newUser()
		clients.Go(func() { returning(f.lbs[i%3/2].plain, user, &in, stop) })
	}
	within(t, patience, "all are in", func() bool {
		n := in.Load()
		if most := rate + int64(time.Since(begun).Seconds()*rate) + 2; n > most {
			t.Errorf("%d logins after %v, at most %d", n, time.Since(begun), most)
		}
		return n == users
	})
	t.Logf("%d logins took %v", users, time.Since(begun))
	close(stop)
	clients.Wait()
}

// "set maxconn server" is an order: it holds at all peers, and when any of them
// is started anew. "local" is for one, until a reload.
func TestClusterSetMaxconn(t *testing.T) {
	t.Parallel()
	s := runIMAPd(t, acceptAll)
	f := runFleet(t, 2, options{peers: `tie_breaker = "serve"`, servers: []server{{"s1", s.addr, "maxconn = 10"}}})
	a, b := f.lbs[0], f.lbs[1]
	slim := func(want string, lbs ...*lb) {
		t.Helper()
		for _, l := range lbs {
			within(t, patience, "maxconn is "+want, func() bool { return l.stat("mail", "s1", "slim") == want })
		}
	}
	a.tell("set maxconn server mail/s1 30")
	slim("30", a, b)
	for _, l := range f.lbs {
		l.wantClaim("s1", "maxconn", "30", "15")
		if events := l.ask("show events"); !strings.Contains(events, fmt.Sprintf("order: set maxconn server mail/s1 30, by admin uid=%d at lb1 ", syscall.Getuid())) {
			t.Errorf("no such event:\n%s", events)
		}
		l.kill()
		l.run()
		f.met(a, b)
		slim("30", l)
	}
	b.ask("reload")
	slim("30", a, b)
	b.wantClaim("s1", "maxconn", "30", "15") // the file says 10
	b.tell("set maxconn server mail/s1 7 local")
	slim("7", b)
	slim("30", a)
	b.ask("reload")
	slim("30", b)
	b.tell("set maxconn server mail/s1 0")
	slim("", a, b)
	if l := a.limitOf("s1", "maxconn"); l != nil {
		t.Errorf("a limit that there is not: %q", l)
	}
}
