package tests

import (
	"bufio"
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sClient runs openssl's client, says lines and returns all it printed.
func sClient(t testing.TB, addr string, lines []string, args ...string) string {
	t.Helper()
	args = append([]string{"s_client", "-connect", addr, "-CAfile", certs(t).file, "-verify_return_error", "-crlf", "-ign_eof"}, args...)
	cmd := exec.Command("openssl", args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %q: %v: %s", args, err, out)
	}
	return string(out)
}

// openssl gets in by TLS 1.2 and 1.3, from the start and by STARTTLS.
func TestTLSVersions(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	bothWays(t, func(t *testing.T, to endpoint) {
		for version, name := range map[string]string{"-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"} {
			for _, way := range [][]string{{to.implicit}, {to.starttls, "-starttls", "imap"}} {
				args := append([]string{version, "-servername", to.name, "-verify_hostname", to.name}, way[1:]...)
				out := sClient(t, way[0], []string{"a LOGIN " + newUser() + " " + password, "b SELECT INBOX", "c LOGOUT"}, args...)
				for _, want := range []string{"New, " + name, "Verification: OK", "a OK", "b OK", "c OK"} {
					if !strings.Contains(out, want) {
						t.Errorf("openssl %q printed no %q: %s", args, want, out)
					}
				}
			}
		}
	})
}

// A client that comes back resumes its TLS session.
func TestTLSResumption(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		ticket := filepath.Join(t.TempDir(), "ticket")
		say := []string{"a LOGIN " + newUser() + " " + password, "b LOGOUT"}
		sClient(t, l.implicit, say, version, "-servername", "imap.test", "-sess_out", ticket)
		out := sClient(t, l.implicit, say, version, "-servername", "imap.test", "-sess_in", ticket)
		if !strings.Contains(out, "Reused, TLSv1.") || !strings.Contains(out, "a OK") {
			t.Errorf("openssl %s resumed nothing: %s", version, out)
		}
	}
	if n := l.info("CumSslConns"); n != 4 {
		t.Errorf("CumSslConns = %d, want 4", n)
	}
}

// Old versions of TLS are refused, and the frontend goes on.
func TestTLSOldVersion(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	config := trust(t, "imap.test")
	config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if conn, err := tls.Dial("tcp", l.implicit, config); err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
	dialTLS(t, l.implicit, trust(t, "imap.test")).expect("* OK")
}

// The certificate is the one for the name the client asks for; the first is
// for all others.
func TestTLSNames(t *testing.T) {
	t.Parallel()
	names := []string{"one.test", "two.test"}
	l := runLB(t, options{
		servers: serversOf(sharedDovecots(t)[0]),
		certs:   []pair{newCert(t, "one.test"), newCert(t, "two.test", "*.many.test")},
	})
	for asked, want := range map[string]string{
		"one.test": "one.test", "two.test": "two.test", "a.many.test": "two.test", "other.test": "one.test", "": "one.test",
	} {
		config := &tls.Config{InsecureSkipVerify: true, ServerName: asked}
		c := dialTLS(t, l.implicit, config)
		got := c.conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
		if got != want {
			t.Errorf("asked for %q, got the certificate of %q, want that of %q", asked, got, want)
		}
		c.close()
	}
	for _, name := range names {
		c := greeted(t, l.starttls)
		c.startTLS(trust(t, name)) // verifies the name
		c.ok("NOOP")
		c.close()
	}
}

// A client that speaks of another protocol gets no connection, so that its
// bytes cannot be taken for IMAP.
func TestTLSProtocol(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	config := trust(t, "imap.test")
	config.NextProtos = []string{"imap"}
	c := dialTLS(t, l.implicit, config)
	c.expect("* OK")
	if got := c.conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != "imap" {
		t.Errorf("negotiated protocol = %q, want imap", got)
	}
	for _, proto := range []string{"http/1.1", "h2"} {
		config := trust(t, "imap.test")
		config.NextProtos = []string{proto}
		if conn, err := tls.Dial("tcp", l.implicit, config); err == nil {
			conn.Close()
			t.Errorf("a client that speaks %s got a connection", proto)
		}
	}
}

// Before STARTTLS there is no login; behind it there is no STARTTLS.
func TestSTARTTLS(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	user := newUser()
	c := dial(t, l.starttls)
	greeting := c.expect("* OK [CAPABILITY ")
	if !strings.Contains(greeting, " STARTTLS") || !strings.Contains(greeting, " LOGINDISABLED") || strings.Contains(greeting, "AUTH=") {
		t.Errorf("greeting without TLS: %q, want STARTTLS and LOGINDISABLED, no AUTH=", greeting)
	}
	c.refused("NO [PRIVACYREQUIRED]", "LOGIN %s %s", user, password)
	c.refused("NO [PRIVACYREQUIRED]", "AUTHENTICATE PLAIN %s", base64String("\x00"+user+"\x00"+password))
	c.startTLS(trust(t, "imap.test"))
	caps := strings.Join(c.ok("CAPABILITY"), "\n")
	if strings.Contains(caps, "STARTTLS") || strings.Contains(caps, "LOGINDISABLED") || !strings.Contains(caps, "AUTH=PLAIN") {
		t.Errorf("capability under TLS: %q, want AUTH=PLAIN, no STARTTLS or LOGINDISABLED", caps)
	}
	c.refused("BAD", "STARTTLS")
	c.ok("LOGIN %s %s", user, password)
	c.ok("SELECT INBOX")
	c.logout()
	if end := l.sessionEnd("user=" + user); end["fe"] != "starttls" {
		t.Errorf("the session's end has fe=%q, want starttls", end["fe"])
	}

	c = greeted(t, l.plain)
	c.refused("BAD", "STARTTLS")
}

// Bytes behind STARTTLS in the same segment are not the client's: an attacker
// put them there. They are neither obeyed nor kept until TLS is up.
func TestSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	for _, text := range []string{
		"a STARTTLS\r\nb NOOP\r\n",
		"a STARTTLS\r\nb LOGIN " + newUser() + " " + password + "\r\n",
		"a STARTTLS\r\n\x16\x03\x01",
		"x NOOP\r\na STARTTLS\r\nb",
	} {
		c := greeted(t, l.starttls)
		c.send(text)
		said := c.closed(patience)
		if !strings.Contains(said, "a BAD") || strings.Contains(said, "a OK") || strings.Contains(said, "b ") {
			t.Errorf("%q was answered with %q, want a BAD and the end", text, said)
		}
	}
}

// Either side may end TLS in order: close_notify is passed on as the end of
// the stream, not as a reset.
func TestTLSClose(t *testing.T) {
	t.Parallel()
	d := runIMAPd(t, func(v *visit) {
		if v.accepted() {
			v.hear()
			v.say("* BYE going")
		}
	})
	l := runLB(t, options{servers: []server{{name: "s1", addr: d.addr}}})
	c := dialTLS(t, l.implicit, trust(t, "imap.test"))
	c.expect("* OK")
	c.ok("LOGIN %s %s", newUser(), password)
	c.send("x LOGOUT\r\n")
	c.expect("* BYE going")
	c.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.r.ReadByte(); err == nil || err.Error() != "EOF" {
		t.Errorf("behind the server's end came %v, want EOF after close_notify", err)
	}
}

// Half a TLS record waits without harm; the rest of it is read as if it had
// come at once.
func TestTLSSlowRecords(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	raw := dial(t, l.implicit)
	conn := tls.Client(&dribble{Conn: raw.conn}, trust(t, "imap.test"))
	c := &client{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.expect("* OK")
	c.ok("LOGIN %s %s", newUser(), password)
	c.ok("SELECT INBOX")
	c.logout()
}

// What is no certificate is found before anything is started.
func TestTLSBadCertificate(t *testing.T) {
	t.Parallel()
	p := newCert(t, "imap.test")
	l := newLB(t, options{servers: serversOf(sharedDovecots(t)[0]), certs: []pair{p}})
	if err := os.WriteFile(p.cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := l.check()
	if err == nil || !strings.Contains(out, p.cert) {
		t.Errorf("check said %q, want a fault about %s", out, p.cert)
	}
}
