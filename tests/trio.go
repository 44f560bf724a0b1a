package tests

import (
	"fmt"
	"strings"
	"testing"
)

// trio is three Dovecots that tests share; they stay up.
type trio [3]*dovecot

func sharedTrio(t testing.TB) trio {
	t.Helper()
	need(t, "dovecot")
	all, err := shared.trio()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// peers are options for peers before the three.
func (d trio) peers() options {
	return options{servers: serversOf(d[:]...), peers: `tie_breaker = "serve"`}
}

// at waits until a user's n logins are in the logs. It returns the number of the
// Dovecot, from 1, that has them all; 0 if they are at several.
func (d trio) at(t testing.TB, user string, n int) (number int) {
	t.Helper()
	var counts [len(d)]int
	within(t, patience, fmt.Sprintf("%d logins of %s in the logs", n, user), func() bool {
		sum := 0
		for i := range d {
			counts[i] = d[i].logins(user)
			sum += counts[i]
		}
		return sum >= n
	})
	for i, count := range counts {
		if count == n {
			number = i + 1
		}
	}
	return number
}

// clear are the addresses without TLS, implicit those with it, proxied those
// where a PROXY header must stand.
func (d trio) clear() []string    { return []string{d[0].addr, d[1].addr, d[2].addr} }
func (d trio) implicit() []string { return []string{d[0].tls, d[1].tls, d[2].tls} }
func (d trio) proxied() []string  { return []string{d[0].prox, d[1].prox, d[2].prox} }

// backendText is a backend with the servers s1, s2 and so on at these addresses,
// and lines of its own.
func backendText(name, lines string, addrs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[backend.%s]\n%s\n", name, lines)
	for i, addr := range addrs {
		fmt.Fprintf(&b, "[backend.%s.server.s%d]\naddr = %q\n", name, i+1, addr)
	}
	return b.String()
}

// frontendText is a frontend with lines of its own; boundTo tells where it
// listens.
func frontendText(name, lines string) string {
	return fmt.Sprintf("[frontend.%s]\nbind = [\"127.0.0.1:0\"]\n%s\n", name, lines)
}

// certsText is the line of a frontend with the tests' certificate.
func certsText(t testing.TB) string {
	t.Helper()
	p := defaultCert(t)
	return fmt.Sprintf("certs = [{ cert = %q, key = %q }]\n", p.cert, p.key)
}
