package main

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestImapdAnswers plays what a proxy and its clients send. Each input is sent
// whole (in) after the answers so far were read.
func TestImapdAnswers(t *testing.T) {
	const ok = "OK [" + capability + "] logged in\r\n"
	for _, c := range []struct{ name, in, want string }{
		{"noop", "a NOOP\r\n", "a OK NOOP completed\r\n"},
		{"verbs in any case", "a nOoP\r\n", "a OK NOOP completed\r\n"},
		{"login", "a LOGIN u1 " + fakePassword + "\r\n", "a " + ok},
		{"login with synchronising literals", "a LOGIN {2}\r\nu1 {1}\r\nx\r\n", "+ OK\r\n+ OK\r\na " + ok},
		{"login with literals that do not wait", "a LOGIN {2+}\r\nu1 {1+}\r\nx\r\n", "a " + ok},
		{"an empty literal", "a LOGIN u1 {0+}\r\n\r\n", "a " + ok},
		{"plain with initial response", "a AUTHENTICATE PLAIN AHUAeA==\r\n", "a " + ok},
		{"plain without", "a AUTHENTICATE PLAIN\r\nAHUAeA==\r\n", "+ \r\na " + ok},
		{"another mechanism", "a AUTHENTICATE X\r\n", "a NO unknown mechanism\r\n"},
		{"ID and LOGIN in one segment", "I ID (\"name\" \"imaplb\")\r\nL LOGIN u x\r\n",
			"* ID (\"name\" \"imapd\")\r\nI OK ID completed\r\nL " + ok},
		{"capability", "a CAPABILITY\r\n", "* " + capability + "\r\na OK CAPABILITY completed\r\n"},
		{"idle", "a IDLE\r\nDONE\r\nb NOOP\r\n", "+ idling\r\na OK IDLE completed\r\nb OK NOOP completed\r\n"},
		{"no such message", "a FETCH 3 BODY[]\r\n", "a BAD no such message\r\n"},
		{"unknown", "a FLY\r\n", "a BAD unknown command\r\n"},
		{"an empty line", "\r\n", " BAD unknown command\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dialImapd(t)
			expect(t, conn, "* OK ["+capability+"] ready\r\n")
			send(t, conn, c.in)
			expect(t, conn, c.want)
			send(t, conn, "z LOGOUT\r\n")
			expect(t, conn, "* BYE logging out\r\nz OK LOGOUT completed\r\n")
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("after LOGOUT: %q, %v", rest, err)
			}
		})
	}
}

func TestImapdRefusesLongInput(t *testing.T) {
	for name, in := range map[string]string{
		"line":    "a LOGIN " + strings.Repeat("x", connBuffer),
		"literal": "a LOGIN {4097+}\r\n",
	} {
		conn := dialImapd(t)
		expect(t, conn, "* OK ["+capability+"] ready\r\n")
		send(t, conn, in)
		// Closed with input unread, the connection may end in a reset.
		if rest, _ := io.ReadAll(conn); len(rest) > 0 {
			t.Errorf("%s: answered %q", name, rest)
		}
	}
}

func TestLiteralAtEnd(t *testing.T) {
	for line, want := range map[string]struct {
		size     int
		sync, ok bool
	}{
		"a LOGIN {5}":      {5, true, true},
		"a LOGIN {5+}":     {5, false, true},
		"a LOGIN u {x}":    {},
		"a LOGIN u {-1}":   {},
		"a LOGIN u }":      {},
		"a LOGIN {5} next": {},
		"":                 {},
	} {
		size, sync, ok := literalAtEnd([]byte(line))
		if ok != want.ok || ok && (size != want.size || sync != want.sync) {
			t.Errorf("%q: got %d, %t, %t", line, size, sync, ok)
		}
	}
}

// TestClientAndImapd has the load client use everything it can do, plain and
// with TLS, against the light server.
func TestClientAndImapd(t *testing.T) {
	certFile := filepath.Join(t.TempDir(), "cert.pem")
	if err := writeCert(certFile); err != nil {
		t.Fatal(err)
	}
	secure, err := listenTLS("127.0.0.1:0", certFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { secure.Close() })
	go newImapd().accept(secure)
	plain := startImapd(t)
	for name, tgt := range map[string]target{
		"plain": {addr: plain}, "tls": {addr: secure.Addr().String(), tls: clientTLS(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := openSession(context.Background(), tgt, 1, (*client).sameTLS)
			if err != nil {
				t.Fatal(err)
			}
			sink := make([]byte, sinkSize)
			for range 2 {
				if n, err := c.fetch(sink); err != nil || n != smallBody {
					t.Fatalf("fetch: %d bytes, %v", n, err)
				}
				if err := c.ready(); err != nil {
					t.Fatalf("NOOP behind a fetch: %v", err)
				}
			}
			if err := c.do("FLY"); err == nil {
				t.Error("BAD was taken for OK")
			}
			if err := c.logout(); err != nil {
				t.Errorf("logout: %v", err)
			}
			testLoops(t, tgt)
		})
	}
}

func testLoops(t *testing.T, tgt target) {
	t.Helper()
	const logins = 40
	for _, resume := range []bool{false, true} {
		res, err := newLoginLoad(tgt, 4, resume).run(newBudget(time.Minute, logins))
		if err != nil || res.operations != logins || len(res.latencies) != logins {
			t.Errorf("logins, resume %t: %d operations, %v", resume, res.operations, err)
		}
	}
	res, err := storm(context.Background(), tgt, 20, 5, func() {})
	want := stormResult{sessions: 20, attempts: 5, in: 5, returned: stormReturn}
	if err != nil || res != want {
		t.Errorf("storm: %v, %v", res, err)
	}
}

func startImapd(t *testing.T) string {
	t.Helper()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go newImapd().accept(l)
	return l.Addr().String()
}

func dialImapd(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp4", startImapd(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

func send(t *testing.T, w io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("got %q, %v; want %q", got[:n], err, want)
	}
}
