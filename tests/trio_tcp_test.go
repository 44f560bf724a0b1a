package tests

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// Mode tcp before three Dovecots and through two peers.
func TestTrioTCP(t *testing.T) {
	t.Parallel()
	need(t, "openssl", "curl")
	all := sharedTrio(t)
	o := clustered(t)
	o.more = "[stick_table.sources]\nkey = \"src\"\n[stick_table.names]\nkey = \"sni\"\n" +
		frontendText("sni", "mode = \"tcp\"\nbackend = \"three\"\n"+
			"use_backend = [{ sni = \"one.test\", backend = \"one\" }, { sni = \"*.two.test\", backend = \"two\" }]") +
		frontendText("ended", "mode = \"tcp\"\nbackend = \"plain\"\ntls = \"implicit\"\n"+certsText(t)) +
		frontendText("sourced", "mode = \"tcp\"\nbackend = \"plain\"\naccept_proxy = [\"127.0.0.1\"]") +
		frontendText("named", "mode = \"tcp\"\nbackend = \"named\"") +
		frontendText("handed", "mode = \"tcp\"\nbackend = \"handed\"\naccept_proxy = [\"127.0.0.1\"]") +
		backendText("handed", "stick_table = \"sources\"", all.proxied()...) + "send_proxy = \"v2\"\n" +
		frontendText("web", "mode = \"tcp\"\nbackend = \"web\"") + backendText("web", "", runWeb(t)) +
		backendText("one", "", all[0].tls) + backendText("two", "", all[1].tls) + backendText("three", "", all[2].tls) +
		backendText("plain", "balance = \"roundrobin\"\nstick_table = \"sources\"", all.clear()...) +
		backendText("named", "balance = \"roundrobin\"\nstick_table = \"names\"", all.implicit()...)
	f := runFleet(t, 2, o)
	f.run(t, "passed on by name", func(t *testing.T) { f.passesOn(t, all) })
	f.run(t, "TLS ends here", func(t *testing.T) {
		for _, l := range f.lbs {
			user := newUser()
			c := dialNamed(t, "127.0.0.1", l.boundTo("ended"), "imap.test")
			if name := c.certificate(); name != "imap.test" {
				t.Errorf("the certificate is that of %s", name)
			}
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			all.at(t, user, 1)
			if end := l.sessionEnd("fe=ended"); end["tls"] != "TLSv1.3" || end["reason"] != "closed" {
				t.Errorf("logged %v", end)
			}
		}
	})
	f.run(t, "another protocol", func(t *testing.T) {
		for _, l := range f.lbs {
			out, err := exec.Command("curl", "-sS", "-m", "20", "--data-binary", "@"+l.config, "http://"+l.boundTo("web")+"/").CombinedOutput()
			if err != nil || string(out) != fileText(t, l.config) {
				t.Errorf("curl: %v: %s", err, out)
			}
		}
	})
	f.run(t, "the client handed on", func(t *testing.T) {
		f.lbs[0].tell("set table sources key 2001:db8:9:9:: server s3") // which has send_proxy
		f.lbs[1].wantKey("sources", "2001:db8:9:9::", "s3")
		for _, l := range f.lbs {
			user := newUser()
			c := dialAs(t, "2001:db8:9:9::7", l.boundTo("handed"))
			c.expect("* OK")
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			if line := all[2].loginLine(t, user); !strings.Contains(line, "rip=2001:db8:9:9::7,") {
				t.Errorf("Dovecot logged %q, want rip=2001:db8:9:9::7", line)
			}
		}
	})
	f.run(t, "stuck by source", func(t *testing.T) { f.sticksSources(t, all) })
	f.run(t, "stuck by name", func(t *testing.T) { f.sticksNames(t, all) })
}

// runWeb runs an HTTP server that gives back what it is sent.
func runWeb(t *testing.T) (addr string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the client sees what is missing
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// certificate is the name in the certificate of the other side.
func (c *client) certificate() string {
	return c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// passesOn: the name in the ClientHello leads to a Dovecot, whose own
// certificate the client sees.
func (f *fleet) passesOn(t *testing.T, all trio) {
	for _, l := range f.lbs {
		addr := l.boundTo("sni")
		for name, want := range map[string]int{"one.test": 1, "A.Two.test": 2, "two.test": 3, "other.test": 3, "": 3} {
			user := newUser()
			c := dialNamed(t, "127.0.0.1", addr, name)
			if got := c.certificate(); got != "dovecot.test" {
				t.Errorf("%q: the certificate is that of %s, want the Dovecot's", name, got)
			}
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			if got := all.at(t, user, 1); got != want {
				t.Errorf("who asks for %q is on Dovecot %d, want %d", name, got, want)
			}
		}
		user := newUser()
		sClient(t, addr, []string{"a LOGIN " + user + " " + password, "b LOGOUT"}, "-servername", "b.two.test")
		if got := all.at(t, user, 1); got != 2 {
			t.Errorf("openssl is on Dovecot %d, want 2", got)
		}
	}
}

// sticksSources: an IPv4 address and an IPv6 /64 keep their server at both peers.
func (f *fleet) sticksSources(t *testing.T, all trio) {
	visit := func(l *lb, src string) int {
		t.Helper()
		user := newUser()
		c := dialAs(t, src, l.boundTo("sourced"))
		c.expect("* OK")
		c.ok("LOGIN %s %s", user, password)
		c.logout()
		return all.at(t, user, 1)
	}
	used := map[int]bool{}
	for i, c := range [][3]string{ // the key, and two addresses that have it
		{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, {"192.0.2.2", "192.0.2.2", "::ffff:192.0.2.2"},
		{"2001:db8:0:1::", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2"}, {"2001:db8:0:2::", "2001:db8:0:2::1", "2001:db8:0:2:a:b:c:d"},
		{"192.0.2.3", "192.0.2.3", "192.0.2.3"}, {"2001:db8:0:3::", "2001:db8:0:3::", "2001:db8:0:3:ffff:ffff:ffff:ffff"},
	} {
		a, b := f.lbs[i%2], f.lbs[1-i%2]
		home := visit(a, c[1])
		used[home] = true
		b.wantKey("sources", c[0], fmt.Sprint("s", home))
		for _, l := range []*lb{b, a, b} {
			if got := visit(l, c[2]); got != home {
				t.Errorf("%s is on Dovecot %d, and %s on %d", c[1], home, c[2], got)
			}
		}
	}
	if len(used) != len(all) {
		t.Errorf("only the Dovecots %v were used", used)
	}
}

// sticksNames: who asks for one name is on one server, whoever he is.
func (f *fleet) sticksNames(t *testing.T, all trio) {
	used := map[int]bool{}
	for i := range 6 {
		a, b := f.lbs[i%2], f.lbs[1-i%2]
		name := fmt.Sprintf("n%d.test", i)
		visit := func(l *lb, from, name string) int {
			t.Helper()
			user := newUser()
			c := dialNamed(t, from, l.boundTo("named"), name)
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			return all.at(t, user, 1)
		}
		home := visit(a, "127.0.0.1", name)
		used[home] = true
		b.wantKey("names", name, fmt.Sprint("s", home))
		for _, from := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
			if got := visit(b, from, strings.ToUpper(name)); got != home {
				t.Errorf("%s leads to Dovecot %d by one peer and to %d by the other", name, home, got)
			}
		}
	}
	if len(used) != len(all) {
		t.Errorf("only the Dovecots %v were used", used)
	}
}

// wantKey waits until a peer has a key of a table with that server.
func (l *lb) wantKey(table, key, server string) {
	l.t.Helper()
	said := ""
	if !waitFor(patience, func() bool {
		said = l.ask("show table " + table)
		for line := range strings.Lines(said) {
			if strings.Contains(line, " key="+key+" ") && strings.Contains(line, " server_key="+server) {
				return true
			}
		}
		return false
	}) {
		l.t.Fatalf("show table %s = %q, want %s on %s", table, said, key, server)
	}
}

// dialAs connects as a proxy does that brings a client from an address, which
// need not be one of this machine.
func dialAs(t *testing.T, src, to string) *client {
	t.Helper()
	c := dial(t, to)
	family, dst := "TCP4", "192.0.2.254"
	if strings.Contains(src, ":") {
		family, dst = "TCP6", "2001:db8:ffff::1"
	}
	c.send(fmt.Sprintf("PROXY %s %s %s 40000 143\r\n", family, src, dst))
	return c
}

// dialNamed connects from an address of this machine, by TLS with that name
// asked for, and is greeted.
func dialNamed(t *testing.T, from, to, name string) *client {
	t.Helper()
	config := trustAny(t)
	config.ServerName = name
	c := newClient(t, tls.Client(dialFrom(t, from, to).conn, config))
	c.expect("* OK")
	return c
}
