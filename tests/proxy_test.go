package tests

import (
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
				backend: "check = { kind = \"none\" }",
				servers: []server{{"s1", d.prox, "trusted = false\nsend_proxy = \"" + version + "\""}},
			})
			user := newUser()
			c := dialFrom(t, "127.0.0.78", l.plain)
			c.expect("* OK")
			c.ok("LOGIN %s %s", user, password)
			c.logout()
			if line := d.loginLine(t, user); !strings.Contains(line, "rip=127.0.0.78,") {
				t.Errorf("Dovecot logged %q, want rip=127.0.0.78", line)
			}
		})
	}
}
