package tests

import (
	"io"
	"strings"
	"testing"
	"time"
)

// What goes wrong between imaplb and the server is told to the client so that
// it does the right thing: ask for the password, or come back later. Afterwards
// the connection is still usable.
func TestUpstreamFailures(t *testing.T) {
	t.Parallel()
	answers := func(answer string) func(*visit) {
		return func(v *visit) {
			if tag, ok := v.login(banner); ok {
				v.say(strings.ReplaceAll(answer, "TAG", tag))
				v.wait()
			}
		}
	}
	for _, f := range []struct {
		name   string
		script func(*visit)
		want   string
	}{
		{"wrong password", answers("TAG NO [AUTHENTICATIONFAILED] nope"), "NO [AUTHENTICATIONFAILED] "},
		{"wrong password without a code", answers("TAG NO no such user"), "NO [AUTHENTICATIONFAILED] "},
		{"unavailable", answers("TAG NO [UNAVAILABLE] later"), "NO [UNAVAILABLE] "},
		{"limit", answers("TAG NO [LIMIT] too many"), "NO [LIMIT] "},
		{"in use", answers("TAG NO [INUSE] moving"), "NO [INUSE] "},
		{"expired", answers("TAG NO [EXPIRED] old"), "NO [EXPIRED] "},
		{"BAD", answers("TAG BAD what"), "NO [UNAVAILABLE] "},
		{"BYE", answers("* BYE out of here"), "NO [UNAVAILABLE] "},
		{"junk", answers("what"), "NO [UNAVAILABLE] "},
		{"endless line", func(v *visit) { v.stream("x", 1<<20) }, "NO [UNAVAILABLE] "},
		{"greeting is a BYE", func(v *visit) { v.say("* BYE too busy") }, "NO [UNAVAILABLE] "},
		{"no greeting", (*visit).wait, "NO [UNAVAILABLE] "},
		{"not IMAP", func(v *visit) { v.say("220 smtp ready"); v.wait() }, "NO [UNAVAILABLE] "},
		{"closed at once", func(*visit) {}, "NO [UNAVAILABLE] "},
		{"reset at once", (*visit).reset, "NO [UNAVAILABLE] "},
		{"closed at the login", func(v *visit) { v.login(banner) }, "NO [UNAVAILABLE] "},
		{"no answer to the login", func(v *visit) { v.login(banner); v.wait() }, "NO [UNAVAILABLE] "},
		{"already logged in", func(v *visit) { v.say("* PREAUTH welcome"); v.wait() }, "NO [UNAVAILABLE] "},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			d := runIMAPd(t, f.script)
			backend := "retries = 1\ncheck = { kind = \"none\" }\n" // one that is reset would tell of no server
			if f.want == "NO [UNAVAILABLE] " {                      // of who is silent; others have the time that they need
				backend += "timeout_connect = \"1s\"\ntimeout_login = \"1s\"\n"
			}
			l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}, backend: backend})
			c := greeted(t, l.plain)
			c.refused(f.want, "LOGIN %s %s", newUser(), password)
			c.ok("NOOP")
			c.logout() // and the fault of a server is no error of ours in the log
		})
	}
}

// A server that refuses connections is tried again, and the user is told to
// come back.
func TestUpstreamRefusesConnections(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: []server{{name: "s1", addr: freeAddr(t)}}, backend: "retries = 2\ncheck = { kind = \"none\" }"})
	c := greeted(t, l.plain)
	c.refused("NO [UNAVAILABLE]", "LOGIN %s %s", newUser(), password)
	c.logout()
	if got := l.stat("mail", "s1", "econ"); got == "0" {
		t.Error("econ = 0 after a refused connection")
	}
}

// A slow greeting is waited for.
func TestUpstreamSlowGreeting(t *testing.T) {
	t.Parallel()
	d := runIMAPd(t, func(v *visit) {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		<-timer.C
		acceptAll(v)
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	c := loggedIn(t, l.plain, newUser())
	c.logout()
}

// A server that announces neither ID nor LITERAL+ nor SASL-IR is spoken to in
// its own way: no ID, literals that wait, no initial response.
func TestUpstreamPlainServer(t *testing.T) {
	t.Parallel()
	d := runIMAPd(t, func(v *visit) {
		if tag, ok := v.login("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] old"); ok {
			v.say(tag + " OK [CAPABILITY IMAP4rev1] in")
			v.serve()
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	odd := "fake-\xc3\xa4"
	c := greeted(t, l.plain)
	c.ok("LOGIN %s {%d+}\r\n%s", newUser(), len(odd), odd)
	c.logout()
	said := strings.Join(d.said(), "\n")
	if strings.Contains(said, " ID ") || strings.Contains(said, "+}") {
		t.Errorf("the server heard %q: it announced neither ID nor LITERAL+", said)
	}
}

// The way to the server may be under TLS, with its certificate verified.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	d := sharedDovecots(t)[0]
	ca := "ca_file = \"" + certs(t).file + "\"\n"
	for _, c := range []struct {
		name, addr, extra string
		ok                bool
	}{
		{"starttls", d.addr, "tls = \"starttls\"\nserver_name = \"dovecot.test\"\n" + ca, true},
		{"implicit", d.tls, "tls = \"implicit\"\nserver_name = \"dovecot.test\"\n" + ca, true},
		{"wrong name", d.tls, "tls = \"implicit\"\nserver_name = \"other.test\"\n" + ca, false},
		{"unknown authority", d.tls, "tls = \"implicit\"\nserver_name = \"dovecot.test\"\n", false},
		{"not verified", d.tls, "tls = \"implicit\"\ntls_verify = false\n", true},
		{"not TLS", d.addr, "tls = \"implicit\"\ntls_verify = false\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := runLB(t, options{
				servers: []server{{"s1", c.addr, c.extra}},
				backend: "retries = 0",
			})
			user := newUser()
			client := dialFrom(t, "127.0.0.78", l.plain)
			client.expect("* OK")
			if !c.ok {
				client.refused("NO [CONTACTADMIN]", "LOGIN %s %s", user, password)
				client.logout()
				if n := d.logins(user); n != 0 {
					t.Errorf("%d logins, want none", n)
				}
				return
			}
			client.ok("LOGIN %s %s", user, password)
			client.ok("SELECT INBOX")
			client.logout()
			if line := d.loginLine(t, user); !strings.Contains(line, "rip=127.0.0.78,") {
				t.Errorf("Dovecot logged %q, want rip=127.0.0.78", line)
			}
		})
	}
}

// What a server says behind its OK to STARTTLS, and before TLS, may be an
// attacker's. And a server that has no STARTTLS gets no password in clear.
func TestUpstreamSTARTTLSFaults(t *testing.T) {
	t.Parallel()
	starttls := func(behind string) func(*visit) {
		return func(v *visit) {
			v.say("* OK [CAPABILITY IMAP4rev1 ID SASL-IR LITERAL+ STARTTLS AUTH=PLAIN] ready")
			for line := v.hear(); line != ""; line = v.hear() {
				tag, rest, _ := strings.Cut(line, " ")
				if rest == "STARTTLS" {
					_, _ = io.WriteString(v.conn, tag+behind)
				} else {
					v.say(tag + " OK done")
				}
			}
		}
	}
	for name, script := range map[string]func(*visit){
		"injection":   starttls(" OK go\r\n* OK [ALERT] injected\r\nL OK [CAPABILITY IMAP4rev1] injected\r\n"),
		"refused":     starttls(" NO not today\r\n"),
		"not offered": acceptAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := runIMAPd(t, script)
			l := runLB(t, options{
				servers: []server{{"s1", d.addr, "tls = \"starttls\"\ntls_verify = false"}},
				backend: "timeout_connect = \"2s\"\ntimeout_login = \"2s\"\nretries = 0",
			})
			c := greeted(t, l.plain)
			answer, before := c.do("LOGIN %s %s", newUser(), password)
			if !strings.HasPrefix(answer, "NO ") || strings.Contains(answer+strings.Join(before, ""), "injected") {
				t.Errorf("LOGIN: got %q %q, want NO and nothing injected", before, answer)
			}
			c.logout()
			if said := strings.Join(d.said(), "\n"); strings.Contains(said, password) || strings.Contains(said, "LOGIN") {
				t.Error("the password went over the wire without TLS")
			}
		})
	}
}
