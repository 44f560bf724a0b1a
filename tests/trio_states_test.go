package tests

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// In mode tcp states, orders and limits do what they do for IMAP, at both
// peers, and nothing is ever said in the server's place.
func TestTrioTCPStates(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.global = "shutdown_spread = \"0s\"\nhard_stop_after = \"1s\""
	o.more = "[stick_table.sources]\nkey = \"src\"\n" + frontendText("raw", "mode = \"tcp\"\naccept_proxy = [\"127.0.0.1\"]\nbackend = \"raw\"") +
		backendText("raw", "stick_table = \"sources\"\ntimeout_queue = \"1s\"", all.clear()...)
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	const src = "2001:db8:7:7::"
	come := func(l *lb) (*client, string) {
		t.Helper()
		c := dialAs(t, src+"1", l.boundTo("raw"))
		c.expect("* OK [CAPABILITY IMAP4rev1 ")
		user := newUser()
		c.ok("LOGIN %s %s", user, password)
		return c, user
	}
	home := func(user string) string { return fmt.Sprint("s", all.at(t, user, 1)) }
	wantState := func(server, status string) {
		t.Helper()
		for _, l := range f.lbs {
			within(t, patience, server+" is "+status, func() bool { return strings.HasPrefix(l.stat("raw", server, "status"), status) })
		}
	}
	mute := func(c *client, why string) {
		t.Helper()
		if said := c.closed(patience); said != "" {
			t.Errorf("%s: the client was told %q", why, said)
		}
	}
	here, user := come(a)
	at := home(user)
	b.wantKey("sources", src, at)
	there, _ := come(b)
	a.tell("set server raw/" + at + " state drain")
	wantState(at, "DRAIN")
	here.alive()
	again, user := come(b) // has sessions there
	if got := home(user); got != at {
		t.Errorf("a source with sessions on %s, which drains, comes to %s", at, got)
	}
	a.tell("set server raw/" + at + " state maint")
	for _, c := range []*client{here, there, again} {
		mute(c, "maint")
	}
	moved, user := come(b)
	if got := home(user); got == at {
		t.Errorf("a source comes to %s, which is in maint", got)
	}
	a.wantKey("sources", src, home(user))
	a.tell("set server raw/" + at + " state ready")
	wantState(at, "UP")
	a.ask("kick src 2001:db8:7::/48")
	mute(moved, "kick src")
	moved, _ = come(a)
	b.tell("set table sources key " + src + "1 server " + at)
	mute(moved, "set table")
	moved, user = come(a)
	if got := home(user); got != at {
		t.Errorf("a source comes to %s, the table was told %s", got, at)
	}
	for _, l := range f.lbs {
		l.ask("set maxconn server raw/" + at + " 1")
	}
	waits := dialAs(t, src+"2", a.boundTo("raw"))
	if waits.hears(300 * time.Millisecond) {
		t.Error("a full server took one more")
	}
	mute(waits, "timeout_queue")
	f.reload(0, func(o *options) { // who waits now is let in, however long that takes
		o.more = strings.Replace(o.more, `timeout_queue = "1s"`, `timeout_queue = "1m"`, 1)
	})
	waits = dialAs(t, src+"3", a.boundTo("raw"))
	within(t, patience, "it waits", func() bool { return a.stat("raw", at, "qcur") == "1" })
	moved.logout()
	waits.expect("* OK")
	a.signal(syscall.SIGTERM)
	mute(waits, "SIGTERM")
	if err := a.waitExit(patience); err != nil {
		t.Error(err)
	}
}

// Where the table is by domain an order about a user is one about all of his
// domain: they live on one server.
func TestTrioMoveDomain(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.table = `key = "domain"`
	began := time.Now()
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	domain := newUser() + ".test"
	names := []string{newUser() + "@" + domain, newUser() + "@" + domain, newUser() + "@" + domain}
	a.tell("set table users key " + domain + " server s1")
	b.wantHome(domain, "s1")
	var sessions []*client
	for i, name := range names {
		sessions = append(sessions, loggedIn(t, f.lbs[i%2].plain, name))
	}
	f.agree(patience, f.lbs...)
	b.tell("move user " + names[0] + " mail/s3")
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	for i, name := range names {
		loggedIn(t, f.lbs[1-i%2].plain, name).logout()
		all.at(t, name, 2)
		if first, third := all[0].logins(name), all[2].logins(name); first != 1 || third != 1 {
			t.Errorf("%s logged in %d times at the first and %d times at the third, want once each", name, first, third)
		}
	}
	if said := a.ask("explain user " + names[1]); !strings.Contains(said, "goes to:  s3") || !strings.Contains(said, `key "`+domain+`"`) {
		t.Errorf("explain = %q, want s3 by the key of the domain", said)
	}
	keep := loggedIn(t, a.plain, names[1])
	gone := loggedIn(t, b.plain, names[0])
	a.ask("kick user " + names[0]) // his sessions, not the domain's
	gone.bye(patience, "[UNAVAILABLE]")
	keep.alive()
	keep.logout()
	wantOneHome(t, names, began, all[:]...)
}

// Clients of a unix socket have no address but the one a PROXY header names.
func TestUnixFrontend(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	dir := t.TempDir()
	l := runLB(t, options{servers: serversOf(all[:]...), more: fmt.Sprintf(`[stick_table.sources]
key = "src"
store = ["conn_cnt"]
[frontend.local]
bind = ["unix:%s/local"]
tls = "none"
backend = "mail"
track_src = "sources"
rules = [{ action = "deny", src = ["0.0.0.0/0", "::/0"] }]
[frontend.proxied]
bind = ["unix:%s/proxied"]
tls = "none"
backend = "mail"
track_src = "sources"
rules = [{ action = "deny", src = ["192.0.2.0/24"] }]
accept_proxy = ["unix"]
`, dir, dir)})
	connect := func(name, header string) *client {
		t.Helper()
		conn, err := net.Dial("unix", dir+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, conn)
		c.send(header)
		return c
	}
	in := func(c *client, rip string) {
		t.Helper()
		user := newUser()
		c.expect("* OK")
		c.ok("LOGIN %s %s", user, password)
		c.logout()
		if line := all[all.at(t, user, 1)-1].loginLine(t, user); rip != "" && !strings.Contains(line, "rip="+rip+",") {
			t.Errorf("Dovecot logged %q, want rip=%s", line, rip)
		}
	}
	in(connect("local", ""), "")
	in(connect("proxied", "PROXY TCP6 2001:db8::7 2001:db8::1 1000 143\r\n"), "2001:db8::7")
	in(connect("proxied", "PROXY UNKNOWN\r\n"), "")
	connect("proxied", "PROXY TCP4 192.0.2.9 192.0.2.1 1000 143\r\n").bye(patience, "[UNAVAILABLE]")
	if said := connect("proxied", "a NOOP\r\n").closed(patience); strings.Contains(said, "a OK") {
		t.Errorf("without a header a client of the socket was answered with %q", said)
	}
	if said := l.ask("show table sources"); !strings.Contains(said, "used:2") {
		t.Errorf("show table = %q, want the two addresses that were named", said)
	}
}

// A server that came up takes 5 per cent of its limits at first.
func TestSlowstartLimits(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	addr, answer := runAgent(t)
	say := func(s string) { answer.Store(&s) }
	say("up\n")
	servers := serversOf(all[:]...)
	servers[0].extra = "agent = { addr = \"" + addr + "\", inter = \"20ms\" }\nslowstart = \"1h\"\nmaxconn = 40"
	l := runLB(t, options{servers: servers, backend: `balance = "first"`})
	within(t, patience, "asked", func() bool { return l.stat("mail", "s1", "agent_status") == "L7OK" })
	say("down\n")
	within(t, patience, "down", func() bool { return l.stat("mail", "s1", "status") == "DOWN (agent)" })
	say("up\n")
	within(t, patience, "up", func() bool { return l.stat("mail", "s1", "status") == "UP" })
	for i, want := range []string{"s1", "s1", "s2", "s2"} {
		user := newUser()
		loggedIn(t, l.plain, user)
		if home := l.home(user); home != want {
			t.Errorf("user %d is on %s, want %s", i+1, home, want)
		}
	}
}
