package tests

import "testing"

// endpoint is where a story's client connects to: imaplb, or a Dovecot itself.
type endpoint struct {
	plain, starttls, implicit string
	name                      string // in the certificate
}

// trusting is for tests with many wrong passwords, none of which shall wait.
const trusting = `trusted_networks = ["127.0.0.0/8"]` + "\n"

// bothWays tells a client's story twice: to a bare Dovecot, which shows that
// the story is right, and through imaplb, which must make no difference.
func bothWays(t *testing.T, story func(t *testing.T, to endpoint)) {
	t.Helper()
	pair := sharedDovecots(t)
	t.Run("dovecot", func(t *testing.T) {
		d := pair[0]
		story(t, endpoint{plain: d.addr, starttls: d.addr, implicit: d.tls, name: "dovecot.test"})
	})
	t.Run("imaplb", func(t *testing.T) {
		l := runLB(t, options{servers: serversOf(pair[:]...), frontend: trusting})
		story(t, endpoint{plain: l.plain, starttls: l.starttls, implicit: l.implicit, name: "imap.test"})
	})
}
