package loop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// tlsServer is a listener that does a handshake with each client.
type tlsServer struct {
	*Listener
	g      *Group
	slots  *Handshakes
	client *tls.Config
	conns  chan *Conn // accepted
	done   chan error // results of handshakes
	closed chan error // Closed
}

func newTLSServer(t *testing.T, max int) *tlsServer {
	t.Helper()
	server, client := tlsConfigs(t, tls.VersionTLS13)
	s := &tlsServer{
		g: group(t, 1), slots: NewHandshakes(max, 2), client: client,
		conns: make(chan *Conn, 1000), done: make(chan error, 1000), closed: make(chan error, 1000),
	}
	h := &script{
		data:   func(c *Conn, p []byte) { c.Write(p) },
		eof:    func(c *Conn) { c.Finish() },
		closed: func(_ *Conn, err error) { s.closed <- err },
	}
	begin := secure(server, s.slots, h, func(_ *Conn, err error) { s.done <- err })
	s.Listener = serve(t, s.g, "tcp", accepts(func(c *Conn, from netip.AddrPort) Handler {
		s.conns <- c
		return begin(c, from)
	}))
	return s
}

// silent is a client that says its ClientHello and then nothing. It returns
// when the handshake waits for it or for a slot.
func (s *tlsServer) silent(t *testing.T) (net.Conn, *handshake) {
	t.Helper()
	c := dial(t, s.Listener)
	mustWrite(t, c, string(clientHello(t)))
	var hs *handshake
	loopConn := wait(t, s.conns, "the connection")
	eventually(t, "the ClientHello is seen", func() bool {
		seen := false
		s.g.Loops[0].Do(func() {
			hs = loopConn.tls.hs
			seen = hs.ready
		})
		return seen
	})
	return c, hs
}

// isSilent reports whether the handshake waits for its client.
func (s *tlsServer) isSilent(hs *handshake) bool {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	_, ok := s.slots.silent[hs]
	return ok
}

func (s *tlsServer) waiting() int {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	return len(s.slots.waiting)
}

// good is a client that does the handshake, and a round trip.
func (s *tlsServer) good(t *testing.T) <-chan error {
	t.Helper()
	c := tls.Client(dial(t, s.Listener), s.client)
	done := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("x"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 1))
		}
		done <- err
	}()
	return done
}

// idle waits until no slot is taken.
func (s *tlsServer) idle(t *testing.T) {
	t.Helper()
	eventually(t, "no handshake runs", func() bool { return s.slots.Running() == 0 })
}

// TestHandshakeWaitsForItsTurn when all slots are taken, and gets it when the
// one before ends, however that ends.
func TestHandshakeWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"client closes", "server closes", "client resets", "client speaks nonsense"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, 1)
			first, hs := s.silent(t)
			eventually(t, "the first waits for its client", func() bool { return s.isSilent(hs) })
			second := s.good(t)
			eventually(t, "the second waits", func() bool { return s.waiting() == 1 })
			if n := s.slots.Running(); n != 1 {
				t.Errorf("Running() = %d, want 1", n)
			}
			none(t, second, "the second's result")
			switch how {
			case "client closes":
				_ = first.Close()
			case "server closes":
				s.g.Loops[0].Do(func() { hs.conn.Close() })
			case "client resets":
				_ = first.(*net.TCPConn).SetLinger(0)
				_ = first.Close()
			case "client speaks nonsense":
				mustWrite(t, first, "\x16\x03\x03\x00\x04nons")
			}
			if err := wait(t, second, "the second"); err != nil {
				t.Errorf("the second's handshake: %v", err)
			}
			s.idle(t)
		})
	}
}

// TestHandshakesInOrder: those that were closed while they waited are skipped
// and cost the others nothing.
func TestHandshakesInOrder(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, 1)
	first, hs := s.silent(t)
	eventually(t, "the first waits for its client", func() bool { return s.isSilent(hs) })
	for range 5 {
		gone, _ := s.silent(t)
		_ = gone.Close()
		if err := wait(t, s.done, "the result"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("done(%v), want %v", err, io.ErrUnexpectedEOF)
		}
	}
	second := s.good(t)
	<-s.conns
	_ = first.Close()
	if err := wait(t, second, "the second"); err != nil {
		t.Error(err)
	}
	s.idle(t)
	if err := wait(t, s.done, "the first's result"); err == nil {
		t.Error("the first handshake succeeded without its client")
	}
	if err := wait(t, s.done, "the second's result"); err != nil {
		t.Error(err)
	}
	none(t, s.done, "a further result")
}

// TestSilentClientMakesRoom when another comes that is shut out.
func TestSilentClientMakesRoom(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, 2)
	young, hsYoung := s.silent(t)
	old, hsOld := s.silent(t)
	eventually(t, "both wait for their clients", func() bool { return s.isSilent(hsYoung) && s.isSilent(hsOld) })
	s.slots.mu.Lock()
	s.slots.silent[hsOld] = time.Now().Add(-2 * patience)
	s.slots.mu.Unlock()
	third := s.good(t)
	if err := wait(t, third, "the third"); err != nil {
		t.Error(err)
	}
	if err := wait(t, s.done, "the old one's result"); !errors.Is(err, ErrHandshakeAborted) {
		t.Errorf("done(%v), want %v", err, ErrHandshakeAborted)
	}
	_, _ = io.Copy(io.Discard, old) // ends
	if !s.isSilent(hsYoung) {
		t.Error("the younger one had to go as well")
	}
	_ = young.Close()
}

// TestSilentClientMakesRoomInTime though nobody comes after the one that
// waits.
func TestSilentClientMakesRoomInTime(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, 1)
	s.silent(t)
	if err := wait(t, s.good(t), "the second"); err != nil {
		t.Error(err)
	}
}

func TestSetMaxLetsTheWaitingIn(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, 1)
	_, hs := s.silent(t)
	eventually(t, "the first waits for its client", func() bool { return s.isSilent(hs) })
	second := s.good(t)
	eventually(t, "the second waits", func() bool { return s.waiting() == 1 })
	s.slots.SetMax(3)
	if err := wait(t, second, "the second"); err != nil {
		t.Error(err)
	}
}

// TestHalfHelloCostsNoGoroutine, nor a slot.
func TestHalfHelloCostsNoGoroutine(t *testing.T) {
	const n = 100
	s := newTLSServer(t, 1)
	hello := clientHello(t)
	before := runtime.NumGoroutine()
	for range n {
		mustWrite(t, dial(t, s.Listener), string(hello[:len(hello)-1]))
	}
	for range n {
		c := wait(t, s.conns, "a connection")
		eventually(t, "the half is seen", func() bool {
			seen := 0
			s.g.Loops[0].Do(func() { seen = len(c.tls.hs.in) })
			return seen == len(hello)-1
		})
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more", after-before)
	}
	if s.slots.Running() != 0 {
		t.Errorf("%d handshakes run", s.slots.Running())
	}
	if err := wait(t, s.good(t), "a client that speaks"); err != nil {
		t.Error(err)
	}
}

// TestHandshakeFails: the handler gets the result, the client its end.
func TestHandshakeFails(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{
		"plain text":         "a1 LOGIN x y\r\n",
		"an empty record":    "\x16\x03\x01\x00\x00",
		"a bad ClientHello":  "\x16\x03\x01\x00\x05\x01\x00\x00\x01x",
		"an endless hello":   "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + string(make([]byte, 1<<14-4)) + "\x16\x03\x01\x40\x00" + string(make([]byte, 10)),
		"far too many bytes": "\x16\x03\x01\x40\x00\x01\xff\xff\xff" + string(make([]byte, 60000)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, 1)
			c := dial(t, s.Listener)
			mustWrite(t, c, say)
			if err := wait(t, s.done, "the result"); err == nil {
				t.Error("done(nil)")
			}
			_, _ = io.Copy(io.Discard, c) // ends
			_ = c.Close()
			eventually(t, "the connection is closed", func() bool { return conns(s.g) == 0 })
			s.idle(t)
			none(t, s.closed, "Closed")
			none(t, s.done, "a second result")
		})
	}
}

// What a callback of the configuration does wrong is
// its connection's loss.
func TestHandshakePanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	if _, out := child(t); out != nil {
		_ = line(t, out)
		return
	}
	server, client := tlsConfigs(t, tls.VersionTLS13)
	server.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if hello.ServerName == "bad.test" {
			panic("this callback fails")
		}
		return &server.Certificates[0], nil
	}
	g := groupExpecting(t, 1, "this callback fails")
	h := &script{data: func(c *Conn, p []byte) { c.Write(p) }}
	slots := NewHandshakes(1, 1)
	ln := serve(t, g, "tcp", accepts(secure(server, slots, h, nil)))
	bad := client.Clone()
	bad.ServerName = "bad.test"
	if err := tls.Client(dial(t, ln), bad).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
	c := tls.Client(dial(t, ln), client)
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	fmt.Println("alive")
}

// TestManyHandshakes at once, more than there are slots and processors.
func TestManyHandshakes(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, 3)
	var all []<-chan error
	for range 60 {
		all = append(all, s.good(t))
	}
	for _, c := range all {
		if err := wait(t, c, "a handshake"); err != nil {
			t.Error(err)
		}
	}
	s.idle(t)
}
