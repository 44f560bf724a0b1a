package tests

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Dovecot that reads the PROXY protocol logs the client's address, though it
// is told nothing with ID.
func TestProxyToDovecot(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			l := runLB(t, options{
				backend: "check = { kind = \"imap\" }", // checks send the header too
				servers: []server{{"s1", d.prox, "trusted = false\nsend_proxy = \"" + version + "\""}},
			})
			within(t, patience, "a good check", func() bool { return l.stat("mail", "s1", "check_status") == "L7OK" })
			user := newUser()
			c := dialFrom(t, "127.0.0.78", l.plain)
			c.expect("* OK")
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			if line := d.loginLine(t, user); !strings.Contains(line, "rip=127.0.0.78,") {
				t.Errorf("Dovecot logged %q, want rip=127.0.0.78", line)
			}
			within(t, patience, "a good check", func() bool { return strings.Contains(l.ask("show stat"), ",L7OK,") })
		})
	}
}

// HAProxy before imaplb ends the TLS of clients and tells whose connection it
// brings: they may log in where TLS is a must, and Dovecot hears of them.
func TestProxyFromHAProxy(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	l := runLB(t, options{
		servers:  serversOf(d),
		frontend: "accept_proxy = [\"127.0.0.1\"]\n",
	})
	addr := runHAProxy(t, l.starttls, "send-proxy-v2-ssl proxy-v2-options authority")
	user := newUser()
	c := newClient(t, tls.Client(dialFrom(t, "127.0.0.79", addr).conn, trust(t, "imap.test")))
	c.expect("* OK")
	c.ok("LOGIN %s %s", user, password)
	c.logout()
	if line := d.loginLine(t, user); !strings.Contains(line, "rip=127.0.0.79,") {
		t.Errorf("Dovecot logged %q, want rip=127.0.0.79", line)
	}
	end := l.sessionEnd("user=" + user)
	if !strings.HasPrefix(end["src"], "127.0.0.79:") || end["tls"] != "TLSv1.3" {
		t.Errorf("logged %v", end)
	}
}

// runHAProxy runs an HAProxy that ends TLS and passes on to a server, with the
// options behind its address.
func runHAProxy(t *testing.T, server, options string) (addr string) {
	t.Helper()
	return runHAProxyWith(t, server, options, "")
}

// runHAProxyWith has options of its listener, too.
func runHAProxyWith(t *testing.T, server, options, bind string) (addr string) {
	t.Helper()
	p := defaultCert(t)
	pem := filepath.Join(t.TempDir(), "both.pem")
	if err := os.WriteFile(pem, []byte(read(t, p.cert)+read(t, p.key)), 0o600); err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	startHAProxy(t, addr, fmt.Sprintf("listen l\n bind %s ssl crt %s %s\n server s %s %s\n", addr, pem, bind, server, options))
	return addr
}
