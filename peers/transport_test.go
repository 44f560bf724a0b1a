package peers

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
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

// knock opens connections from an address of loopback and says nothing.
func knock(t *testing.T, from string, to *node, n int) (conns []net.Conn) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for range n {
		conn, err := d.DialContext(t.Context(), "tcp", to.self.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	return conns
}

// One source, and all that are no peer's together, may have so many; a peer gets
// in all the same. The silent ones go after a while.
func TestWaitingConnectionsAreBounded(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	refused := func(from string, crowded, pushy int64) {
		t.Helper()
		began := time.Now()
		closed(t, knock(t, from, a, 1)[0])
		if got := a.Totals(); time.Since(began) >= introWithin || got.Crowded != crowded || got.Pushy != pushy {
			t.Errorf("closed after %v, counted %+v, want %d crowded and %d of one source", time.Since(began), got, crowded, pushy)
		}
	}
	first := knock(t, "127.0.0.2", a, maxPerSource)
	refused("127.0.0.2", 0, 1)
	knock(t, "127.0.0.3", a, maxPerSource)
	knock(t, "127.0.0.4", a, maxStrange-2*maxPerSource)
	refused("127.0.0.5", 1, 1)
	for _, s := range *b.live.Load() { // the peer's connection is lost just now
		s.raw.Close()
	}
	mesh(t, 2, a, b)
	closed(t, first[0])
}

func TestGate(t *testing.T) {
	source := func(s string) netip.Prefix {
		_, p := sourceOf(&net.TCPAddr{IP: net.ParseIP(s), Port: 1})
		return p
	}
	for _, same := range [][2]string{{"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::ffff:1"}} {
		if source(same[0]) != source(same[1]) {
			t.Errorf("%s and %s are two sources", same[0], same[1])
		}
	}
	if source("192.0.2.1") == source("192.0.2.2") || source("2001:db8::1") == source("2001:db8:0:1::1") {
		t.Error("two sources are one")
	}
	var g gate
	var in []ticket
	enter := func(s string, known bool) bool {
		pass, ok := g.enter(source(s), known)
		if ok {
			in = append(in, pass)
		}
		return ok
	}
	for i := range maxStrange {
		if !enter(fmt.Sprint("192.0.2.", i), false) {
			t.Fatalf("stranger %d does not get in", i)
		}
	}
	if enter("192.0.2.200", false) {
		t.Error("a stranger too many got in")
	}
	for range maxPerSource {
		if !enter("198.51.100.1", true) {
			t.Fatal("a peer does not get in")
		}
	}
	if enter("198.51.100.1", true) || enter("198.51.100.2", true) {
		t.Error("more than all got in")
	}
	if all, crowded, pushy := g.counts(); all != maxWaiting || crowded != 2 || pushy != 1 {
		t.Errorf("%d inside, %d crowded, %d of one source, want %d, 2 and 1", all, crowded, pushy, maxWaiting)
	}
	for _, pass := range in {
		g.leave(pass)
	}
	if g.all != 0 || g.strange != 0 || len(g.bySource) != 0 {
		t.Errorf("left behind: %d, %d, %d sources", g.all, g.strange, len(g.bySource))
	}
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
	if n, _, _ := a.net.gate.counts(); n != 0 {
		t.Errorf("%d connections still count", n)
	}
}

// TestLongFrames: one that is too long is passed over, one that cannot be a
// frame ends the connection.
func TestLongFrames(t *testing.T) {
	a := start(t, testConfig("c")) // it does not dial b, whose name is smaller
	b := start(t, testConfig("b"))
	raw, conn := greeted(t, b, a)
	defer raw.Close()
	l := NewLink(LinkConfig{Self: "b", Incarnation: 1, States: []State{newMap("map")}}, NewRemote("c"))
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
	tr := &transport{streams: make(chan net.Conn, 1), conns: map[net.Conn]struct{}{}, done: t.Context()}
	pass, _ := tr.gate.enter(netip.Prefix{}, false)
	tr.wg.Add(1)
	go func() { _, _ = far.Write(make([]byte, 2*maxMember)) }() // until the reader hangs up
	tr.peek(&counted{Conn: near, t: tr, pass: pass})
	accepted := <-tr.streams
	defer accepted.Close()

	for _, conn := range []net.Conn{dialed, accepted} {
		if n, err := io.Copy(io.Discard, conn); n != maxMember || !errors.Is(err, errMuch) {
			t.Errorf("%d bytes and %v, want %d and %v", n, err, maxMember, errMuch)
		}
	}
}
