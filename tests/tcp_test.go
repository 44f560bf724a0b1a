package tests

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// A frontend of mode tcp before a real Dovecot: real clients do not notice it.
func TestTCPDovecot(t *testing.T) {
	t.Parallel()
	need(t, "curl", "openssl")
	d := sharedDovecots(t)[0]
	plain, tls := freeAddr(t), freeAddr(t)
	l := runLB(t, options{servers: serversOf(d), more: fmt.Sprintf("[frontend.raw]\nmode = \"tcp\"\nbind = [%q]\nbackend = \"raw\"\n"+
		"[frontend.rawtls]\nmode = \"tcp\"\nbind = [%q]\nbackend = \"rawtls\"\n"+
		"[backend.raw.server.s1]\naddr = %q\n[backend.rawtls.server.s1]\naddr = %q\n", plain, tls, d.addr, d.tls)})
	user := newUser()
	out, err := exec.Command("curl", "-sS", "-m", "20", "-u", user+":"+password, "imap://"+plain+"/").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "INBOX") {
		t.Errorf("curl: %v: %s", err, out)
	}
	d.loginLine(t, user)
	s := exec.Command("openssl", "s_client", "-quiet", "-connect", tls, "-CAfile", certs(t).file, "-verify_hostname", "dovecot.test", "-verify_return_error")
	s.Stdin = strings.NewReader("a LOGIN " + newUser() + " " + password + "\r\nb LOGOUT\r\n")
	if out, err := s.CombinedOutput(); err != nil || !strings.Contains(string(out), "b OK") {
		t.Errorf("openssl: %v: %s", err, out)
	}
	for _, fe := range []string{"raw", "rawtls"} {
		if end := l.sessionEnd("fe=" + fe); end["reason"] != "closed" && end["reason"] != "client_aborted" || end["srv"] != "s1" {
			t.Errorf("logged %v", end)
		}
	}
}

// The name a client asks for leads it to the Dovecot that has it, whose own
// certificate it sees.
func TestSNIPassthrough(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	addr := freeAddr(t)
	runLB(t, options{servers: serversOf(pair[0]), more: fmt.Sprintf("[frontend.sni]\nmode = \"tcp\"\nbind = [%q]\nbackend = \"one\"\n"+
		"use_backend = [{ sni = \"DOVECOT.*\", backend = \"two\" }]\n"+
		"[backend.one.server.s1]\naddr = %q\n[backend.two.server.s2]\naddr = %q\n", addr, pair[0].tls, pair[1].tls)})
	for name, want := range map[string]*dovecot{"dovecot.test": pair[1], "other.test": pair[0]} {
		cfg := trustAny(t)
		cfg.ServerName = name
		user := newUser()
		c := dialTLS(t, addr, cfg)
		c.expect("* OK")
		c.ok("LOGIN %s %s", user, password)
		c.logout()
		want.loginLine(t, user)
	}
}

// A route leads a domain's users to a backend of their own.
func TestRoute(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{
		servers:  serversOf(pair[0]),
		frontend: "route = [{ domain = \"example.org\", backend = \"two\" }]\n",
		more:     fmt.Sprintf("[backend.two.server.s2]\naddr = %q\n", pair[1].addr),
	})
	a, b := newUser(), newUser()+"@example.org"
	for user, want := range map[string]string{a: "mail", b: "two"} {
		loggedIn(t, l.plain, user).logout()
		if end := l.sessionEnd("user=" + user); end["be"] != want {
			t.Errorf("logged %v, want backend %s", end, want)
		}
	}
	pair[0].loginLine(t, a)
	pair[1].loginLine(t, b)
}

// In mode tcp a source keeps its server at every peer, as a user does.
func TestTCPCluster(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	o := clustered(t)
	o.more += fmt.Sprintf("[stick_table.sources]\nkey = \"src\"\n[frontend.raw]\nmode = \"tcp\"\nbind = [\"127.0.0.1:0\"]\nbackend = \"raw\"\n"+
		"[backend.raw]\nbalance = \"roundrobin\"\nstick_table = \"sources\"\n[backend.raw.server.r1]\naddr = %q\n[backend.raw.server.r2]\naddr = %q\n",
		pair[0].addr, pair[1].addr)
	f := runFleet(t, 2, o)
	visit := func(l *lb, from string) (server string) {
		t.Helper()
		c := dialFrom(t, from, l.boundTo("raw"))
		c.expect("* OK")
		src := c.conn.LocalAddr().String()
		c.close()
		return l.sessionEnd("fe=raw", "src="+src)["srv"]
	}
	servers := map[string]bool{}
	for i := range 6 {
		from := fmt.Sprintf("127.0.1.%d", i+1)
		a, b := f.lbs[i%2], f.lbs[1-i%2]
		home := visit(a, from)
		servers[home] = true
		within(t, patience, "the other peer knows of it", func() bool {
			return strings.Contains(b.ask("show table sources key "+from), "server_key="+home)
		})
		for range 2 {
			if got := visit(b, from); got != home {
				t.Errorf("%s is on %s by one peer and on %s by the other", from, home, got)
			}
		}
	}
	if len(servers) != 2 {
		t.Errorf("only %v were used", servers)
	}
}

// boundTo is the address of a frontend with port 0.
func (l *lb) boundTo(frontend string) (addr string) {
	l.t.Helper()
	within(l.t, patience, frontend+" is open", func() bool {
		for _, r := range l.records("frontend open") {
			if r["fe"] == frontend {
				addr = strings.Trim(r["bind"], "[]")
			}
		}
		return addr != ""
	})
	return addr
}

// A group of users is kept on a group of servers, at both peers, and those of
// before come over when they have no session.
func TestRouteByTag(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	for i, tags := range []string{`"hdd"`, `"hdd", "ssd"`, `"ssd"`} {
		o.servers[i].extra = "tags = [" + tags + "]"
	}
	o.frontend = "route = [{ user = \"*@example.org\", backend = \"mail\", tag = \"ssd\" }]\n"
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	for i := range 6 {
		user := newUser() + "@example.org"
		if i%2 == 0 {
			a.tell("set table users key " + user + " server s1")
			b.wantHome(user, "s1")
			why := "because:  he lived on s1, which has not the tag ssd"
			if said := b.ask("explain user " + user); !strings.Contains(said, why) || !strings.Contains(said, "to servers with the tag ssd") {
				t.Errorf("explain = %q, want %q", said, why)
			}
		}
		loggedIn(t, b.plain, user).logout()
		f.agree(patience, a, b)
		loggedIn(t, a.plain, user).logout()
		if n := all.at(t, user, 2); n < 2 {
			t.Errorf("%s is on Dovecot %d (0: several), want one with the tag", user, n)
		}
	}
	other := newUser()
	a.tell("set table users key " + other + " server s1")
	b.wantHome(other, "s1")
	loggedIn(t, b.plain, other).logout()
	b.wantHome(other, "s1")
}

// Names that a template makes one live on one server.
func TestKeyByTemplate(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...), more: "[stick_table.users]\nkey = \"{user|before '@'}\"\n"})
	user := newUser()
	for _, name := range []string{user + "@example.org", user, user + "@example.com"} {
		loggedIn(t, l.plain, name).logout()
		l.sessionEnd("user=" + name)
		for _, line := range []string{"show users " + name, "show users " + user} {
			if said := l.ask(line); !strings.Contains(said, "\n"+user+" mail s") {
				t.Errorf("%s = %q, want the entry of %s", line, said, user)
			}
		}
	}
	if said := l.ask("show table users"); !strings.Contains(said, "used:1") {
		t.Errorf("show table = %q, want one entry", said)
	}
}

// A flush moves users to servers with the tag of their route.
func TestFlushByTag(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	servers := serversOf(pair[:]...)
	servers[0].extra = `tags = ["ssd"]`
	servers = append(servers, server{name: "s3", addr: pair[1].tls, extra: "tls = \"implicit\"\ntls_verify = false\ntags = [\"ssd\"]"})
	l := runLB(t, options{servers: servers, frontend: "route = [{ user = \"*\", backend = \"mail\", tag = \"ssd\" }]\n"})
	var users []string
	var sessions []*client
	for range 6 {
		user := newUser()
		l.tell("set table users key " + user + " server s1")
		users, sessions = append(users, user), append(sessions, loggedIn(t, l.plain, user))
	}
	l.tell("set server mail/s1 state drain")
	if said := l.ask("flush server mail/s1"); !strings.Contains(said, "are being moved away") {
		t.Fatalf("flush server = %q", said)
	}
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	within(t, patience, "the flush has ended", func() bool { return strings.Contains(l.ask("show flushes"), "mail s1 ended") })
	for _, user := range users {
		l.wantHome(user, "s3")
		loggedIn(t, l.plain, user).logout()
		l.wantHome(user, "s3")
	}
}
