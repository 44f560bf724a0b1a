package health

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"imaplb/auth"
)

const secretWord = "sword fish"

var plainWord = string(auth.AppendPlain(nil, "monitor", []byte(secretWord)))

// server is a listener that plays a script once for each connection: "> " is
// what it says, "< " what it must hear, "TLS" a handshake, "wait" silence.
type server struct {
	t     *testing.T
	l     net.Listener
	cert  tls.Certificate
	roots *x509.CertPool
}

func newServer(t *testing.T, script string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, l: l, roots: x509.NewCertPool()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mail.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.roots.AddCert(leaf)
	s.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	done := make(chan struct{})
	go s.serve(script, done) // ends when the cleanup closes the listener
	t.Cleanup(func() { l.Close(); <-done })
	return s
}

func (s *server) serve(script string, done chan<- struct{}) {
	defer close(done)
	for {
		conn, err := s.l.Accept()
		if err != nil {
			return
		}
		s.play(conn, script)
		conn.Close()
	}
}

func (s *server) play(raw net.Conn, script string) {
	conn, r := raw, bufio.NewReader(raw)
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		switch {
		case line == "TLS":
			c := tls.Server(buffered{conn, r}, &tls.Config{Certificates: []tls.Certificate{s.cert}})
			if c.Handshake() != nil {
				return
			}
			conn, r = c, bufio.NewReader(c)
		case line == "wait":
			_, _ = io.Copy(io.Discard, r) // until the client leaves
		case strings.HasPrefix(line, "> "):
			_, _ = conn.Write([]byte(line[2:] + "\r\n")) // the client notices
		case strings.HasPrefix(line, "< "):
			got, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if got = strings.TrimSpace(got); got != line[2:] {
				s.t.Errorf("heard %q, want %q", got, line[2:])
			}
		}
	}
}

// buffered is a connection of which something has been read already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

func (s *server) target(starttls, implicit bool, name string) Target {
	t := Target{Network: "tcp", Address: s.l.Addr().String(), StartTLS: starttls}
	if starttls || implicit {
		t.TLS = &tls.Config{RootCAs: s.roots, ServerName: name}
	}
	return t
}

// What checks make of servers, in HAProxy's words.
func TestProbes(t *testing.T) {
	const ready, bye = "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\n", "< Z LOGOUT\n> * BYE bye\n> Z OK bye\n"
	for _, c := range []struct {
		name, kind, tls, script string // tls: "", starttls, implicit, or wrong for another name
		check, desc, caps       string
	}{
		{"imap", "imap", "", ready + bye, "L7OK", "", "IMAP4rev1 AUTH=PLAIN SASL-IR"},
		{"imap, asked", "imap", "", "> * OK ready\n< C CAPABILITY\n> * CAPABILITY IMAP4rev1 IDLE\n> C OK done\n" + bye, "L7OK", "", "IMAP4rev1 IDLE"},
		{"imap, PREAUTH", "imap", "", "> * PREAUTH [CAPABILITY IMAP4rev1] hello\n" + bye, "L7OK", "", "IMAP4rev1"},
		{"imap by TLS", "imap", "implicit", "TLS\n" + ready + bye, "L7OK", "", "IMAP4rev1 AUTH=PLAIN SASL-IR"},
		{"imap by STARTTLS", "imap", "starttls", ready + "< S STARTTLS\n> S OK go\nTLS\n< C CAPABILITY\n> * CAPABILITY X\n> C OK done\n" + bye, "L7OK", "", "X"},
		{"imap, BYE", "imap", "", "> * BYE [UNAVAILABLE] too busy\n", "L7STS", "greeting: BYE UNAVAILABLE too busy", ""},
		{"imap, another protocol", "imap", "", "> +OK POP3\n", "L7RSP", "no greeting", ""},
		{"imap, nonsense", "imap", "", "> SSH-2.0-OpenSSH\n", "L7RSP", "unreadable answer", ""},
		{"imap, hangs up", "imap", "", "", "L7RSP", "connection closed", ""},
		{"imap, silent", "imap", "", "wait\n", "L7TOUT", "no answer in time", ""},
		{"imap, endless line", "imap", "", "> * OK " + strings.Repeat("x", maxLine) + "\n", "L7RSP", "line too long", ""},
		{"imap, CAPABILITY refused", "imap", "", "> * OK ready\n< C CAPABILITY\n> C NO [SERVERBUG] oops\n", "L7STS", "CAPABILITY: NO SERVERBUG oops", ""},
		{"imap, no answer to LOGOUT", "imap", "", ready + "< Z LOGOUT\n", "L7OK", "", "IMAP4rev1 AUTH=PLAIN SASL-IR"},
		{"tls", "tls", "implicit", "TLS\n", "L6OK", "", ""},
		{"tls by STARTTLS", "tls", "starttls", ready + "< S STARTTLS\n> S OK go\nTLS\n", "L6OK", "", ""},
		{"tls, no TLS there", "tls", "implicit", "> * OK ready\n", "L6RSP", "TLS handshake failed", ""},
		{"tls, silent", "tls", "implicit", "wait\n", "L6TOUT", "no answer in time", ""},
		{"tls, another name", "tls", "wrong", "TLS\n", "L6RSP", "certificate: x509: certificate is valid for mail.test, not other.test", ""},
		{"STARTTLS refused", "imap", "starttls", ready + "< S STARTTLS\n> S BAD what?\n", "L7STS", "STARTTLS: BAD what?", ""},
		{"login", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> L OK in\n< B SELECT INBOX\n> * 3 EXISTS\n> B OK [READ-WRITE] selected\n" + bye, "L7OK", "login took", "IMAP4rev1 AUTH=PLAIN SASL-IR"},
		{"login, no SASL-IR", "login", "", "> * OK [CAPABILITY AUTH=PLAIN] ready\n< L AUTHENTICATE PLAIN\n> +\n< " + plainWord + "\n> L OK in\n< B SELECT INBOX\n> B OK selected\n" + bye, "L7OK", "login took", "AUTH=PLAIN"},
		{"login, no SASL", "login", "", "> * OK [CAPABILITY IMAP4rev1] ready\n< L LOGIN \"monitor\" \"sword fish\"\n> L OK in\n< B SELECT INBOX\n> B OK selected\n" + bye, "L7OK", "login took", "IMAP4rev1"},
		{"login, no way", "login", "", "> * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\n", "L7RSP", "no way to log in: the server does not offer AUTH=PLAIN", ""},
		{"login, wrong password", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> L NO [AUTHENTICATIONFAILED] no\n", "L7STS", "login: NO AUTHENTICATIONFAILED no", ""},
		{"login, repeats the password", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> L NO not " + secretWord + "\n", "L7STS", "login: NO", ""},
		{"login, repeats the command", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> L BAD " + plainWord + "\n", "L7STS", "login: BAD", ""},
		{"login, BYE", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> * BYE going down\n", "L7STS", "AUTHENTICATE: BYE going down", ""},
		{"login, no INBOX", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n> L OK in\n< B SELECT INBOX\n> B NO [SERVERBUG] broken\n", "L7STS", "SELECT: NO SERVERBUG broken", ""},
		{"login, hangs up", "login", "", ready + "< L AUTHENTICATE PLAIN " + plainWord + "\n", "L7RSP", "connection closed", ""},
		{"login, PREAUTH", "login", "", "> * PREAUTH hello\n", "L7RSP", "the greeting is PREAUTH", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			limit := 10 * time.Second
			if strings.HasSuffix(c.check, "TOUT") {
				limit = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			s := newServer(t, c.script)
			name := "mail.test"
			if c.tls == "wrong" {
				name = "other.test"
			}
			to := s.target(c.tls == "starttls", c.tls == "implicit" || c.tls == "wrong", name)
			seen, err := NewProbe(c.kind, to, "monitor", []byte(secretWord))(ctx)
			check, desc := word(seen, err)
			if strings.HasPrefix(desc, "login took ") {
				desc = "login took"
			}
			if check != c.check || desc != c.desc || err == nil && seen.Caps != c.caps {
				t.Errorf("%s %q with %q, want %s %q with %q", check, desc, seen.Caps, c.check, c.desc, c.caps)
			}
		})
	}
}

// The header of the PROXY protocol goes before everything else.
func TestPreamble(t *testing.T) {
	s := newServer(t, "< PROXY UNKNOWN\nTLS\n> * OK [CAPABILITY X] ready\n< Z LOGOUT\n> Z OK bye\n")
	to := s.target(false, true, "mail.test")
	to.Preamble = []byte("PROXY UNKNOWN\r\n")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if seen, err := NewProbe("imap", to, "", nil)(ctx); err != nil || seen.Caps != "X" {
		t.Errorf("probe = %+v, %v", seen, err)
	}
}

func TestParsePassword(t *testing.T) {
	for _, c := range []struct{ file, want, err string }{
		{"secret", "secret", ""},
		{"secret word\n", "secret word", ""},
		{"secret\r\n\n", "secret", ""},
		{" lead", " lead", ""},
		{"", "", "no password"},
		{"\nsecret", "", "no password"},
		{"one\ntwo\n", "", "more than one line"},
		{strings.Repeat("x", maxPassword+1), "", "more than"},
		{"a\x00b", "", "zero byte"},
	} {
		got, err := ParsePassword([]byte(c.file))
		if string(got) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("ParsePassword(%.20q) = %q, %v, want %q, %q", c.file, got, err, c.want, c.err)
		}
	}
}

// Whatever a server says, a check ends with a result of a few words and
// without the password.
func FuzzMail(f *testing.F) {
	f.Add([]byte("* OK [CAPABILITY AUTH=PLAIN SASL-IR] ready\r\nL OK in\r\n* 1 EXISTS\r\nB OK selected\r\nZ OK bye\r\n"))
	f.Add([]byte("* PREAUTH hi\r\nC OK\r\n"))
	f.Add([]byte("* OK\r\nC OK\r\nL NO sword fish\r\n"))
	f.Add([]byte("* BYE\r\n+\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, login := range []bool{false, true} {
			v := &visit{conn: sink{}, target: &Target{}, layer: "L7"}
			v.read(strings.NewReader(string(said)))
			m := &mail{visit: v, secrets: [][]byte{[]byte(secretWord)}}
			err := m.greeting(t.Context())
			if err == nil && login {
				_, err = m.login("monitor", []byte(secretWord))
			} else if err == nil {
				_, err = m.capable()
			}
			if check, desc := word(Seen{Check: "L7OK"}, err); check == "" || len(desc) > maxDesc || strings.Contains(desc, secretWord) && login {
				t.Errorf("%q: %s %q", said, check, desc)
			}
		}
	})
}

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(p []byte) (int, error) { return len(p), nil }
