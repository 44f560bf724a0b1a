package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"imaplb/loop"
)

// patience is far longer than anything here takes.
const patience = 20 * time.Second

// rig is a pair between two real connections: client and server are the test's
// ends.
type rig struct {
	t              testing.TB
	loop           *loop.Loop
	pair           *Pair
	client, server *net.TCPConn
	ended          chan Reason
}

// rig implements Owner and loop.Acceptor.
func (r *rig) PairEnded(_ *Pair, why Reason) { r.ended <- why }
func (r *rig) Admit() bool                   { return true }
func (r *rig) Opened()                       {}
func (r *rig) Exhausted(error) []byte        { return nil }

// Accepted keeps the client's connection until the pair has started.
func (r *rig) Accepted(c *loop.Conn, _ netip.AddrPort) loop.Handler { return &joiner{r, c} }

// joiner is the handler of a connection until its pair has started.
type joiner struct {
	*rig
	c *loop.Conn
}

func (j *joiner) Data(*loop.Conn, []byte)  {}
func (j *joiner) EOF(*loop.Conn)           {}
func (j *joiner) Drained(*loop.Conn)       {}
func (j *joiner) Closed(*loop.Conn, error) {}

func newRig(t testing.TB, limits Timeouts, w Waiting) *rig {
	t.Helper()
	g, err := loop.NewGroup(1, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(g.Stop)
	r := &rig{t: t, loop: g.Loops[0], pair: new(Pair), ended: make(chan Reason, 4)}
	accepted := make(chan *loop.Conn, 1)
	ln, err := loop.Listen(context.Background(), "127.0.0.1:0", new(loop.SocketConfig))
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(g, &catcher{r, accepted}); err != nil {
		t.Fatal(err)
	}
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	r.client = dial(t, ln.Addr())
	conn := <-accepted
	r.loop.Do(func() {
		to := loop.AddrFrom(netip.MustParseAddrPort(back.Addr().String()))
		srv, err := r.loop.Dial(to, netip.Addr{}, new(loop.SocketConfig), &joiner{r, nil})
		if err != nil {
			t.Error(err)
			return
		}
		r.pair.Start(conn, srv, &limits, r, w)
	})
	c, err := back.Accept()
	if err != nil {
		t.Fatal(err)
	}
	r.server = c.(*net.TCPConn)
	t.Cleanup(func() { _ = r.server.Close() })
	deadline := time.Now().Add(2 * patience)
	_, _ = r.client.SetDeadline(deadline), r.server.SetDeadline(deadline)
	return r
}

// catcher hands the accepted connection to the test.
type catcher struct {
	*rig
	accepted chan *loop.Conn
}

func (c *catcher) Accepted(conn *loop.Conn, from netip.AddrPort) loop.Handler {
	c.accepted <- conn
	return c.rig.Accepted(conn, from)
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

var long = Timeouts{Client: time.Hour, Server: time.Hour}

func (r *rig) want(why Reason) {
	r.t.Helper()
	select {
	case got := <-r.ended:
		if got != why {
			r.t.Errorf("ended: %v, want %v", got, why)
		}
	case <-time.After(patience):
		r.t.Fatalf("not ended, want %v", why)
	}
	r.loop.Do(func() {}) // whatever is still under way on the loop
	select {
	case again := <-r.ended:
		r.t.Errorf("ended twice, then: %v", again)
	default:
	}
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v; want %q", b, err, text)
	}
}

// TestWaiting: what was pipelined goes first, in both directions.
func TestWaiting(t *testing.T) {
	r := newRig(t, long, Waiting{ToClient: []byte("a OK in\r\n"), ToServer: []byte("b SELECT x\r\n")})
	hear(t, r.client, "a OK in\r\n")
	hear(t, r.server, "b SELECT x\r\n")
	if up, down := r.pair.Bytes(); up != 12 || down != 9 {
		t.Errorf("Bytes() = %d, %d; want 12, 9", up, down)
	}
	say(t, r.client, "x")
	hear(t, r.server, "x")
}

// TestEnds: how a session ends, what the client hears of it, and what the log
// will say.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		said   string // by the server before
		end    func(*rig)
		why    Reason
		client string // hears behind that, until its end
	}{
		{"logout", "* BYE bye\r\na OK\r\n", func(r *rig) { _ = r.server.Close() }, Normal, ""},
		{"server leaves between lines", "* OK\r\n", func(r *rig) { _ = r.server.Close(); _ = r.client.CloseWrite() }, ServerClosed, byeServerLost},
		{"server leaves in a line", "* O", func(r *rig) { _ = r.server.Close(); _ = r.client.CloseWrite() }, ServerClosed, ""},
		{"server leaves in a literal", "* 1 FETCH (BODY[] {99}\r\nabc\r\n", func(r *rig) { _ = r.server.Close(); _ = r.client.CloseWrite() }, ServerClosed, ""},
		{"server resets", "* OK\r\n", func(r *rig) { _ = r.server.SetLinger(0); _ = r.server.Close() }, ServerAborted, byeServerLost},
		{"client leaves", "* OK\r\n", func(r *rig) { _ = r.client.CloseWrite(); _, _ = r.server.Read(make([]byte, 1)); _ = r.server.Close() }, ClientClosed, ""},
		{"killed", "* OK\r\n", func(r *rig) { r.loop.Do(func() { r.pair.Kill(Killed) }) }, Killed, Killed.bye()},
		{"killed in a literal", "* 1 FETCH (BODY[] {9}\r\na", func(r *rig) { r.loop.Do(func() { r.pair.Kill(Moved) }) }, Moved, ""},
		{"killed twice", "", func(r *rig) { r.loop.Do(func() { r.pair.Kill(Stopping); r.pair.Kill(Killed) }) }, Stopping, Stopping.bye()},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, long, Waiting{})
			say(t, r.server, c.said)
			hear(t, r.client, c.said)
			c.end(r)
			got, err := io.ReadAll(r.client)
			if string(got) != c.client || err != nil {
				t.Errorf("the client reads %q, %v; want %q and the end", got, err, c.client)
			}
			r.want(c.why)
		})
	}
}

func TestClientResets(t *testing.T) {
	r := newRig(t, long, Waiting{})
	_ = r.client.SetLinger(0)
	_ = r.client.Close()
	r.want(ClientAborted)
	if n, err := r.server.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("the server reads %d bytes, %v; want its end", n, err)
	}
}

// TestHalfClose: who has said its last still hears the answer.
func TestHalfClose(t *testing.T) {
	r := newRig(t, long, Waiting{})
	say(t, r.client, "a FETCH\r\n")
	_ = r.client.CloseWrite()
	got, err := io.ReadAll(r.server)
	if string(got) != "a FETCH\r\n" || err != nil {
		t.Errorf("the server reads %q, %v", got, err)
	}
	say(t, r.server, "a OK\r\n")
	_ = r.server.Close()
	got, err = io.ReadAll(r.client)
	if string(got) != "a OK\r\n" || err != nil {
		t.Errorf("the client reads %q, %v", got, err)
	}
	r.want(ClientClosed)
}

func TestIdle(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, Timeouts{Client: 200 * time.Millisecond, Server: time.Hour}, Waiting{})
		got, _ := io.ReadAll(r.client)
		if string(got) != ClientTimeout.bye() {
			t.Errorf("the client reads %q", got)
		}
		r.want(ClientTimeout)
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, Timeouts{Client: time.Hour, Server: 200 * time.Millisecond}, Waiting{})
		r.want(ServerTimeout)
	})
}

// TestBytes: all bytes arrive in order, whatever the sizes of reads and writes.
func TestBytes(t *testing.T) {
	r := newRig(t, long, Waiting{})
	const size = 8 << 20
	sums := make(chan [2][sha256.Size]byte, 2)
	for _, way := range [][2]*net.TCPConn{{r.client, r.server}, {r.server, r.client}} {
		go transfer(way[0], way[1], size, sums)
	}
	for range 2 {
		select {
		case s := <-sums:
			if s[0] != s[1] {
				t.Error("other bytes arrived than were sent")
			}
		case <-time.After(patience):
			t.Fatal("the bytes do not arrive")
		}
	}
	if up, down := r.pair.Bytes(); up != size || down != size {
		t.Errorf("Bytes() = %d, %d; want %d both ways", up, down, size)
	}
}

func transfer(from, to net.Conn, size int, sums chan [2][sha256.Size]byte) {
	b := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	rnd := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range b {
		b[i] ^= byte(i >> 8)
	}
	go func() {
		for rest := b; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(200_000))
			if _, err := from.Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
	}()
	got := make([]byte, size)
	_, _ = io.ReadFull(to, got)
	sums <- [2][sha256.Size]byte{sha256.Sum256(b), sha256.Sum256(got)}
}

// TestSlowReader: a client that does not read stops the server, and what is
// kept for it is bounded.
func TestSlowReader(t *testing.T) {
	r := newRig(t, long, Waiting{})
	_ = r.server.SetWriteDeadline(time.Now().Add(2 * time.Second))
	sent, err := io.Copy(r.server, io.LimitReader(zeros{}, 1<<30))
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
		t.Fatalf("the server could write %d bytes: %v", sent, err)
	}
	r.loop.Do(func() {
		if n := r.pair.client.Pending(); n > 64<<10 {
			t.Errorf("%d bytes are kept for the client", n)
		}
		if !r.pair.server.Paused() {
			t.Error("the server is still read")
		}
	})
	got, _ := io.Copy(io.Discard, io.LimitReader(r.client, sent))
	if got != sent {
		t.Errorf("the client got %d of %d bytes", got, sent)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// BenchmarkRelay moves bytes from the server to the client.
func BenchmarkRelay(b *testing.B) {
	b.Run("64k", func(b *testing.B) { relayBench(b, 64<<10) })
	b.Run("line", func(b *testing.B) { relayBench(b, 32) })
}

func relayBench(b *testing.B, size int) {
	r := newRig(b, long, Waiting{})
	msg, got := bytes.Repeat([]byte("x"), size), make([]byte, size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.server.Write(msg); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r.client, got); err != nil {
			b.Fatal(err)
		}
	}
}
