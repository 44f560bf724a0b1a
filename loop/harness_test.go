package loop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// poller is how the loops of the tests wait: each test runs with all ways.
var poller Poller

func TestMain(m *testing.M) {
	ways := []Poller{Epoll, Ring}
	if how := os.Getenv("LOOP_TEST_CHILD"); how != "" {
		ways = []Poller{Poller(how)}
	} else if r, err := openRing(); err == nil {
		r.close()
	} else {
		fmt.Println("NOT TESTED with io_uring, which this system does not allow:", err)
		ways = ways[:1]
	}
	for _, poller = range ways {
		if code := m.Run(); code != 0 {
			fmt.Println("the loops waited by", poller)
			os.Exit(code)
		}
	}
}

// patient is how long a test waits for what must happen. It passes in full
// only if the test fails.
const patient = 10 * time.Second

// script is a Handler made of functions. A nil one does nothing.
type script struct {
	data    func(c *Conn, p []byte)
	eof     func(c *Conn)
	drained func(c *Conn)
	closed  func(c *Conn, err error)
}

func (s *script) Data(c *Conn, p []byte) {
	if s.data != nil {
		s.data(c, p)
	}
}

func (s *script) EOF(c *Conn) {
	if s.eof != nil {
		s.eof(c)
	}
}

func (s *script) Drained(c *Conn) {
	if s.drained != nil {
		s.drained(c)
	}
}

func (s *script) Closed(c *Conn, err error) {
	if s.closed != nil {
		s.closed(c, err)
	}
}

// connector is a script that also wants to know that it is connected.
type connector struct {
	script
	connected func(c *Conn)
}

func (s *connector) Connected(c *Conn) { s.connected(c) }

// gate is an Acceptor made of functions. A nil admit says yes.
type gate struct {
	opened    atomic.Int64
	admit     func() bool
	accepted  func(c *Conn, from netip.AddrPort) Handler
	exhausted func(err error) []byte
}

func (g *gate) Admit() bool                                   { return g.admit == nil || g.admit() }
func (g *gate) Opened()                                       { g.opened.Add(1) }
func (g *gate) Accepted(c *Conn, from netip.AddrPort) Handler { return g.accepted(c, from) }
func (g *gate) Exhausted(err error) []byte                    { return g.exhausted(err) }
func with(h Handler) func(c *Conn, from netip.AddrPort) Handler {
	return func(*Conn, netip.AddrPort) Handler { return h }
}
func accepts(f func(c *Conn, from netip.AddrPort) Handler) *gate { return &gate{accepted: f} }

// strict is a log in which an error fails the test, but for a text that is
// expected.
type strict struct {
	slog.Handler
	t      *testing.T
	expect string
}

func (s strict) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (s strict) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	if s.expect == "" || !strings.Contains(text, s.expect) {
		s.t.Errorf("logged an error: %s", text)
	}
	return nil
}

// group runs n loops until the end of the test. Errors in the log fail it.
func group(t *testing.T, n int) *Group { return groupExpecting(t, n, "") }

func groupOf(t *testing.T, n int, how Poller) *Group {
	defer func(before Poller) { poller = before }(poller)
	poller = how
	return group(t, n)
}

func groupExpecting(t *testing.T, n int, text string) *Group {
	t.Helper()
	g, err := NewGroup(n, poller, slog.New(strict{slog.DiscardHandler, t, text}))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(func() {
		g.Stop()
		none(t, g.Failed(), "the end of a loop")
	})
	return g
}

// serve listens on a fresh address of the network and accepts on g.
func serve(t *testing.T, g *Group, network string, a Acceptor) *Listener {
	t.Helper()
	addr := "127.0.0.1:0"
	switch network {
	case "tcp6":
		addr = "[::1]:0"
	case "unix":
		addr = "unix:" + filepath.Join(t.TempDir(), "s")
	}
	ln, err := Listen(t.Context(), addr, &SocketConfig{KeepAliveIdle: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(g, a); err != nil {
		t.Fatal(err)
	}
	return ln
}

// dial is a client of ln that is closed at the end of the test.
func dial(t *testing.T, ln *Listener) net.Conn {
	t.Helper()
	network, addr := "tcp", ln.Addr()
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	c, err := net.DialTimeout(network, addr, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * patient))
	return c
}

// wait receives from ch, or fails the test.
func wait[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patient):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// eventually waits until ok, for what has no channel to wait on.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patient); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// none fails the test if something is in ch.
func none[T any](t *testing.T, ch <-chan T, what string) {
	t.Helper()
	select {
	case v := <-ch:
		t.Errorf("got %s: %v", what, v)
	default:
	}
}

// conns is the number of connections on all loops.
func conns(g *Group) (n int64) {
	for _, l := range g.Loops {
		n += l.Conns()
	}
	return n
}

func readAll(t *testing.T, c io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

func mustWrite(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, c io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if n, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %.60q, %v; want %.60q", b[:n], err, want)
	}
}

// noise is n bytes that follow from the seed.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var s [32]byte
	s[0], s[1] = byte(seed), byte(seed>>8)
	_, _ = mrand.NewChaCha8(s).Read(b) // never fails
	return b
}

// certificate makes a key pair for "imap.test", valid for the run.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"imap.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// tlsConfigs are a server's and a client's configuration that fit each other,
// of one version of TLS.
func tlsConfigs(t testing.TB, version uint16) (server, client *tls.Config) {
	t.Helper()
	cert, pool := certificate(t)
	server = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: version, MaxVersion: version, DynamicRecordSizingDisabled: true}
	client = &tls.Config{RootCAs: pool, ServerName: "imap.test", MinVersion: version, MaxVersion: version}
	return server, client
}

// secure is an accepted function that does a handshake first; h is the handler
// all along, and started is called when the handshake is done, if not nil.
func secure(cfg *tls.Config, s *Handshakes, h Handler, started func(*Conn, error)) func(*Conn, netip.AddrPort) Handler {
	return func(c *Conn, _ netip.AddrPort) Handler {
		c.StartServerTLS(cfg, s, func(err error) {
			if started != nil {
				started(c, err)
			}
		})
		return h
	}
}
