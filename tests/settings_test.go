package tests

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Settings of the process that nothing else shows: the number of loops, what
// is logged, what the clients of the runtime socket may do, and the state of a
// server in the file.
func TestSettings(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	servers := serversOf(all[:]...)
	servers[1].extra = `state = "drain"`
	for _, c := range []struct {
		logs, without string // the least level, and one below it
		level         string // of the socket
		denied        []string
	}{
		{"debug", "", "user", []string{"show users", "set server mail/s1 state maint"}},
		{"warn", "level=INFO", "operator", []string{"set server mail/s1 state maint", "kick user alice"}},
		{"error", "level=WARN", "admin", nil},
	} {
		t.Run(c.logs, func(t *testing.T) {
			t.Parallel()
			l := newLB(t, options{
				servers: servers, stats: fmt.Sprintf("socket_level = %q", c.level),
				global: fmt.Sprintf("threads = 1\nlog_level = %q\nhandshake_timeout = \"300ms\"", c.logs),
			})
			l.begin()
			defer l.kill() // the usual end asks what only an admin may
			within(t, patience, "a login", func() bool { return login(l.plain, newUser()) == nil })
			if n := l.info("Nbthread"); n != 1 {
				t.Errorf("Nbthread = %d, want 1", n)
			}
			for _, command := range c.denied {
				if said := l.ask(command); !strings.HasPrefix(said, "Permission denied") {
					t.Errorf("%s at level %s is answered with %q", command, c.level, said)
				}
			}
			if got := l.stat("mail", "s2", "status"); !strings.HasPrefix(got, "DRAIN") {
				t.Errorf("status of s2 = %q, want DRAIN", got)
			}
			dial(t, l.implicit).closed(patience) // says nothing
			log := l.log()
			if c.without != "" && (strings.Contains(log, "level=INFO") || strings.Contains(log, c.without)) || c.logs == "debug" && log == "" {
				t.Errorf("log_level %s: the log is\n%s", c.logs, log)
			}
		})
	}
}

// With one handshake at a time the others wait, and all get in.
func TestMaxhandshakes(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...), global: "maxhandshakes = 1"})
	const n = 20
	config, results := trust(t, "imap.test"), make(chan error, n)
	for range n {
		go report(results, func() error { // ends with the handshake
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", l.implicit, config)
			if err != nil {
				return err
			}
			return c.Close()
		})
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// A server's connections come from its source address; with allbackups all
// backup servers are used, not only the first.
func TestSourceAndBackups(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	servers := serversOf(all[:]...)
	servers[0].extra = `state = "maint"`
	for i := range servers[1:] {
		servers[i+1].extra = "backup = true\ntrusted = false\nsource = \"127.0.0.44\""
	}
	l := runLB(t, options{servers: servers, backend: "allbackups = true\nbalance = \"roundrobin\""})
	used := map[int]bool{}
	for range 4 {
		user := newUser()
		loggedIn(t, l.plain, user).logout()
		n := all.at(t, user, 1)
		used[n] = true
		if line := all[n-1].loginLine(t, user); !strings.Contains(line, "rip=127.0.0.44,") {
			t.Errorf("Dovecot logged %q, want rip=127.0.0.44", line)
		}
	}
	if len(used) != 2 || used[1] {
		t.Errorf("the Dovecots %v were used, want the two backups", used)
	}
}

// Peers with another label are another cluster, though they know the address
// and the key. One that is found at another address than it binds says so.
func TestPeersLabel(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	f := newFleet(t, 2, o)
	f.addrs = append(f.addrs, freeAddr(t))
	o.peers += "\ncluster = \"another\"\nsync_timeout = \"1s\"\nadvertise = \"" + f.addrs[2] + "\""
	stranger := f.add(2, o)
	for _, l := range f.lbs {
		l.wantErrors = true
	}
	f.start()
	f.met(f.lbs[:2]...)
	user := newUser()
	f.lbs[0].tell("set table users key " + user + " server s1")
	f.lbs[1].wantHome(user, "s1")
	if said := stranger.ask("show peers"); !strings.Contains(said, "1 of 1 peers alive") {
		t.Errorf("show peers of the other cluster = %q, want it alone", said)
	}
	if home := stranger.home(user); home != "" {
		t.Errorf("the other cluster knows that %s is on %s", user, home)
	}
}

// With on_minority = "serve" a peer that has lost the others goes on to move
// users.
func TestServeInMinority(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.peers = `on_minority = "serve"`
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	b.wantHome(user, "s1")
	a.kill()
	within(t, patience, "lb1 is found dead", func() bool { return b.peer("lb1")["state"] == "dead" })
	b.tell("set server mail/s1 state maint")
	loggedIn(t, b.plain, user).logout()
	b.wantHome(user, "s2")
}

// A move waits no longer than move_timeout for a peer that does not answer,
// and names it.
func TestMoveTimeout(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.peers += "\nmove_timeout = \"1s\""
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	users, sessions := f.on(1)
	b.signal(syscall.SIGSTOP)
	begun := time.Now()
	said := a.ask("move user " + users[0] + " mail/s2")
	took := time.Since(begun)
	b.signal(syscall.SIGCONT)
	if !strings.Contains(said, "lb2") || took < time.Second {
		t.Errorf("move user = %q after %v, want a word on lb2 after a second", said, took)
	}
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	b.wantHome(users[0], "s2")
}
