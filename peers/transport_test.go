package peers

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"imaplb/wire"
)

// greeted dials from one node to another, past the handshake and the proof.
func greeted(t testing.TB, from, to *node) (net.Conn, *tls.Conn) {
	t.Helper()
	m := meet(t, from, to)
	return m.raw, m.conn
}

func meet(t testing.TB, from, to *node) *meeting {
	t.Helper()
	raw, err := net.Dial("tcp", to.self.address)
	if err != nil {
		t.Fatal(err)
	}
	m, err := from.greet(raw, to.cfg.Name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// closed waits until the other end hangs up.
func closed(t testing.TB, conn net.Conn) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Fatal("the connection is still open")
		}
	}
}

func TestWaitingConnectionsAreBounded(t *testing.T) {
	a := start(t, testConfig("a"))
	var conns []net.Conn
	for range maxWaiting {
		conn, err := net.Dial("tcp", a.self.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	// All of them hold a slot: one more is closed at once.
	more, err := net.Dial("tcp", a.self.address)
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	began := time.Now()
	closed(t, more)
	if time.Since(began) >= introWithin || a.Totals().Crowded != 1 {
		t.Errorf("closed after %v, %d crowded out", time.Since(began), a.Totals().Crowded)
	}
	// The silent ones go after a while.
	closed(t, conns[0])
}

func TestSilentAndWrongBeginnings(t *testing.T) {
	a := start(t, testConfig("a"))
	for _, b := range []string{"i", "iGET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "\xf4\x01x", ""} {
		conn, err := net.Dial("tcp", a.self.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(b)); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite() // it may have hung up already
		closed(t, conn)
	}
	if n := len(a.net.slots); n != 0 {
		t.Errorf("%d slots are still taken", n)
	}
}

// TestLongFrames: one that is too long is passed over, one that cannot be a
// frame ends the connection.
func TestLongFrames(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b"))
	raw, conn := greeted(t, b, a)
	defer raw.Close()
	l := NewLink(LinkConfig{Self: "b", Incarnation: 1, States: []State{newMap("map")}}, NewRemote("a"))
	out := l.Next(time.Now(), nil)
	n := maxFrame + 1
	out = append(out, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	out = append(out, make([]byte, n)...)
	out = wire.AppendString(openFrame(out, typeMessage, 2), "t")
	start := len(out) - 8
	out = closeFrame(wire.AppendBin(out, []byte("still here")), start)
	out = append(out, 0xff, 0xff, 0xff, 0xff)
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the message behind the long frame", func() bool { return len(a.messages) == 1 })
	closed(t, raw)
	if d := a.Peers()[0].Counters.Dropped; d != 1 {
		t.Errorf("%d dropped, want 1", d)
	}
}

// TestMemberlistsConnectionsAreBounded: it reads before it decrypts.
func TestMemberlistsConnectionsAreBounded(t *testing.T) {
	a := start(t, testConfig("a"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // until the reader hangs up
		conn, err := l.Accept()
		if err == nil {
			_, _ = conn.Write(make([]byte, 2*maxMember))
			_ = conn.Close()
		}
	}()
	dialed, err := a.net.DialTimeout(l.Addr().String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()

	near, far := net.Pipe()
	defer far.Close()
	tr := &transport{streams: make(chan net.Conn, 1), slots: make(chan struct{}, 1), conns: map[net.Conn]struct{}{}, done: t.Context()}
	tr.slots <- struct{}{}
	tr.wg.Add(1)
	go func() { _, _ = far.Write(make([]byte, 2*maxMember)) }() // until the reader hangs up
	tr.peek(&counted{Conn: near, t: tr})
	accepted := <-tr.streams
	defer accepted.Close()

	for _, conn := range []net.Conn{dialed, accepted} {
		if n, err := io.Copy(io.Discard, conn); n != maxMember || !errors.Is(err, errMuch) {
			t.Errorf("%d bytes and %v, want %d and %v", n, err, maxMember, errMuch)
		}
	}
}
