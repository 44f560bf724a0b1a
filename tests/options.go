package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// options are what differs between the configurations of the tests. Each has
// three frontends, "plain", "starttls" and "implicit", before one backend,
// "mail". Texts are lines of TOML for the section of that name.
type options struct {
	global, frontend, backend, table string
	stats                            string
	peers                            string // "" is a process without peers
	more                             string // behind all sections

	at place // where it runs

	servers     []server
	certs       []pair
	descriptors int // RLIMIT_NOFILE of the process, 0 is what the tests have
}

// server is a server of the backend; extra is lines of its section.
type server struct{ name, addr, extra string }

// serversOf makes servers named s1, s2 … of Dovecots.
func serversOf(dovecots ...*dovecot) []server {
	var list []server
	for i, d := range dovecots {
		list = append(list, server{name: fmt.Sprintf("s%d", i+1), addr: d.addr})
	}
	return list
}

// write replaces the configuration file in one step.
func (l *lb) write(o options) {
	l.t.Helper()
	if len(o.certs) == 0 {
		o.certs = []pair{defaultCert(l.t)}
	}
	if how := os.Getenv("IMAPLB_TESTS_POLLER"); how != "" && !strings.Contains(o.global, "poller") {
		o.global += fmt.Sprintf("\npoller = %q", how) // for a run of all tests with the one that is not the default
	}
	var certs strings.Builder
	certs.WriteString("certs = [")
	for _, c := range o.certs {
		fmt.Fprintf(&certs, "{ cert = %q, key = %q }, ", c.cert, c.key)
	}
	certs.WriteString("]\n")

	var b strings.Builder
	fmt.Fprintf(&b, "[global]\n%s\n[stats]\nsocket = %q\n%s\n", o.global, l.socket, o.stats)
	if o.peers != "" {
		fmt.Fprintf(&b, "[peers]\n%s\n", o.peers)
	}
	if o.table != "" {
		fmt.Fprintf(&b, "[stick_table.users]\n%s\n", o.table)
	}
	frontend := func(name, addr, tls, more string) {
		fmt.Fprintf(&b, "[frontend.%s]\nbind = [%q]\ntls = %q\nbackend = \"mail\"\n%s%s\n", name, addr, tls, more, o.frontend)
	}
	frontend("plain", l.plain, "none", "")
	frontend("starttls", l.starttls, "starttls", certs.String())
	frontend("implicit", l.implicit, "implicit", certs.String())
	fmt.Fprintf(&b, "[backend.mail]\n%s\n", o.backend)
	for _, s := range o.servers {
		fmt.Fprintf(&b, "[backend.mail.server.%s]\naddr = %q\n%s\n", s.name, s.addr, s.extra)
	}
	b.WriteString(o.more)
	l.writeText(b.String())
}

// writeText is write for a whole file.
func (l *lb) writeText(text string) {
	l.t.Helper()
	temporary := l.config + ".new"
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(temporary, l.config); err != nil {
		l.t.Fatal(err)
	}
}

// defaultCert is the certificate for imap.test that tests have which say
// nothing about theirs.
func defaultCert(t testing.TB) pair {
	t.Helper()
	p, err := shared.cert()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
