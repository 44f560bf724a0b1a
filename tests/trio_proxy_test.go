package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// HAProxy before two peers before three Dovecots, the client's address handed
// on by the PROXY protocol all the way: whichever way a user comes, he is on
// one server, and its log has his address.
func TestTrioProxyChain(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.servers = nil
	for i, addr := range all.proxied() {
		o.servers = append(o.servers, server{fmt.Sprint("s", i+1), addr, fmt.Sprintf("trusted = false\nsend_proxy = %q", []string{"v2", "v1", "v2"}[i])})
	}
	o.backend = "balance = \"roundrobin\"\ncheck = { kind = \"imap\", inter = \"200ms\" }"
	o.frontend = "accept_proxy = [\"127.0.0.1\"]\n"
	f := runFleet(t, 2, o)
	for _, s := range o.servers {
		f.both(s.name, "check_status", "L7OK")
	}
	addr := freeAddr(t)
	startHAProxy(t, addr, fmt.Sprintf("listen l\n bind %s\n balance roundrobin\n server lb1 %s send-proxy\n server lb2 %s send-proxy-v2\n",
		addr, f.lbs[0].plain, f.lbs[1].plain))
	used := map[int]bool{}
	for i := range 6 {
		user, from := newUser(), fmt.Sprintf("127.0.0.%d", 100+i)
		for range 4 {
			c := dialFrom(t, from, addr)
			c.expect("* OK")
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			f.agree(patience, f.lbs...)
		}
		home := all.at(t, user, 4)
		if home == 0 {
			t.Fatalf("the logins of %s are on several Dovecots", user)
		}
		used[home] = true
		if n := strings.Count(all[home-1].log(), "Login: user=<"+user+">, method=PLAIN, rip="+from+","); n != 4 {
			t.Errorf("%d of 4 logins have rip=%s: %s", n, from, all[home-1].loginLine(t, user))
		}
	}
	if len(used) != len(all) {
		t.Errorf("only the Dovecots %v were used", used)
	}
	for _, l := range f.lbs {
		if n := l.stat("plain", "FRONTEND", "stot"); n == "0" {
			t.Error("HAProxy did not come to both peers")
		}
	}
}

// HAProxy passes the clients' TLS on, behind its header, to peers that end it or
// pass it on themselves by the name in the ClientHello.
func TestTrioProxiedTLS(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.frontend = "accept_proxy = [\"127.0.0.1\"]\n"
	o.more = frontendText("sni", "mode = \"tcp\"\nbackend = \"three\"\naccept_proxy = [\"127.0.0.1\"]\n"+
		"use_backend = [{ sni = \"two.test\", src = [\"127.0.0.0/8\"], backend = \"two\" }, { sni = \"*.test\", backend = \"one\" }]")
	for i, name := range []string{"one", "two", "three"} {
		o.more += backendText(name, "", all[i].tls)
	}
	f := runFleet(t, 2, o)
	for i, l := range f.lbs {
		version := []string{"send-proxy", "send-proxy-v2"}[i]
		ends, passes := freeAddr(t), freeAddr(t)
		startHAProxy(t, passes, fmt.Sprintf("listen a\n bind %s\n server s %s %s\nlisten b\n bind %s\n server s %s %s\n",
			ends, l.implicit, version, passes, l.boundTo("sni"), version))
		user, from := newUser(), "127.0.0.90"
		c := dialNamed(t, from, ends, "imap.test")
		c.ok("LOGIN %s %s", user, password)
		c.logout()
		if line := all[all.at(t, user, 1)-1].loginLine(t, user); !strings.Contains(line, "rip="+from+",") {
			t.Errorf("Dovecot logged %q, want rip=%s", line, from)
		}
		for name, want := range map[string]int{"one.test": 1, "two.test": 2, "three.other": 3} {
			user := newUser()
			c := dialNamed(t, from, passes, name)
			if got := c.certificate(); got != "dovecot.test" {
				t.Errorf("the certificate is that of %s, want the Dovecot's", got)
			}
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			if got := all.at(t, user, 1); got != want {
				t.Errorf("who asks for %s is on Dovecot %d, want %d", name, got, want)
			}
			if end := l.sessionEnd("fe=sni", "src="+c.conn.LocalAddr().String()); end["reason"] != "closed" {
				t.Errorf("logged %v", end)
			}
		}
	}
}

// startHAProxy runs an HAProxy with these sections; it listens at addr then.
func startHAProxy(t *testing.T, addr, sections string) {
	t.Helper()
	need(t, "haproxy")
	conf := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n" + sections
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("haproxy", "-db", "-f", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed is what it says
	})
	within(t, patience, "HAProxy listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// Where a PROXY header must stand, anything else closes the connection, and a
// header from who is listed nowhere does; both are counted and in the log.
// Neither gets a login to a server.
func TestProxyBadInput(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.frontend = "accept_proxy = [\"127.0.0.1\"]\nproxy_timeout = \"2s\"\n"
	f := runFleet(t, 2, o)
	const listed, unlisted = "127.0.0.1", "127.0.0.9"
	const v1, v2 = "PROXY TCP4 192.0.2.1 192.0.2.2 1000 143\r\n", "\r\n\r\n\x00\r\nQUIT\n"
	user := newUser()
	login := "a LOGIN " + user + " " + password + "\r\n"
	for i, c := range []struct{ name, from, says, reason string }{
		{"header from who is not listed", unlisted, v1 + login, "proxy_header"},
		{"version 2 from who is not listed", unlisted, v2 + "\x20\x00\x00\x00" + login, "proxy_header"},
		{"no header", listed, login, "proxy_header"},
		{"TLS", listed, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "proxy_header"},
		{"another protocol", listed, "GET / HTTP/1.1\r\nHost: imap\r\n\r\n", "proxy_header"},
		{"no addresses", listed, "PROXY TCP4\r\n" + login, "proxy_header"},
		{"addresses of another family", listed, "PROXY TCP4 2001:db8::1 2001:db8::2 1000 143\r\n" + login, "proxy_header"},
		{"a port that is none", listed, "PROXY TCP4 192.0.2.1 192.0.2.2 100000 143\r\n" + login, "proxy_header"},
		{"a line without end", listed, "PROXY TCP4 " + strings.Repeat("1", 200), "proxy_header"},
		{"version 3", listed, v2 + "\x31\x11\x00\x0c" + strings.Repeat("\x01", 12) + login, "proxy_header"},
		{"version 2, too short for its addresses", listed, v2 + "\x21\x11\x00\x04\x01\x01\x01\x01" + login, "proxy_header"},
		{"version 2, too long", listed, v2 + "\x21\x11\xff\xff" + strings.Repeat("\x01", 64), "proxy_header"},
		{"nothing", listed, "", "proxy_timeout"},
		{"half a header", listed, v1[:20], "proxy_timeout"},
		{"half of version 2", listed, v2 + "\x21", "proxy_timeout"},
	} {
		l := f.lbs[i%2]
		before := l.errors(c.reason)
		in := dialFrom(t, c.from, l.plain)
		in.send(c.says)
		if said := in.closed(patience); strings.Contains(said, "a OK") {
			t.Errorf("%s: got in: %q", c.name, said)
		}
		want := before + 1
		if !waitFor(patience, func() bool { return l.errors(c.reason) == want }) {
			t.Errorf("%s: %d lines with %s in the log, want %d", c.name, l.errors(c.reason), c.reason, want)
		}
	}
	for i, n := range []string{"8", "7"} {
		if got := f.lbs[i].stat("plain", "FRONTEND", "ereq"); got != n {
			t.Errorf("ereq of lb%d = %s, want %s", i+1, got, n)
		}
	}
	for i, d := range all {
		if n := d.logins(user); n != 0 {
			t.Errorf("%d logins at Dovecot %d, want none", n, i+1)
		}
	}
	for _, l := range f.lbs { // who behaves gets in
		c := dialAs(t, "192.0.2.1", l.plain)
		c.expect("* OK")
		c.ok("LOGIN %s %s", newUser(), password)
		c.logout()
		c = dialFrom(t, unlisted, l.plain)
		c.expect("* OK")
		c.ok("LOGIN %s %s", newUser(), password)
		c.logout()
	}
}

// errors counts the sessions that ended for a reason.
func (l *lb) errors(reason string) (n int) {
	for _, r := range l.records("session end") {
		if r["reason"] == reason {
			n++
		}
	}
	return n
}
