package loop

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// What a ring makes harder than epoll: bytes that are received before anybody
// asks, and sent after Write has returned. The tests hold for both.

// TestManyTalkAtOnce: more speak in one turn than there are buffers, places for
// sends, and room in the queues.
func TestManyTalkAtOnce(t *testing.T) {
	entries, cq := ringEntries, ringCQ
	ringEntries, ringCQ = 8, 16
	g := group(t, 1)
	ringEntries, ringCQ = entries, cq
	const talkers = 3 * ringBufs
	ln := serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil))))
	clients := make([]net.Conn, talkers)
	for i := range clients {
		clients[i] = dial(t, ln)
		mustWrite(t, clients[i], "x")
		mustRead(t, clients[i], "x")
	}
	for round := range 3 {
		said, free := make(chan bool), make(chan bool)
		go g.Loops[0].Do(func() { close(said); <-free }) // ends below
		wait(t, said, "the loop to be held up")
		for i, c := range clients {
			mustWrite(t, c, fmt.Sprintf("%d says %s\n", i, noise(uint64(i), 100*(round+1))))
		}
		close(free)
		for i, c := range clients {
			mustRead(t, c, fmt.Sprintf("%d says %s\n", i, noise(uint64(i), 100*(round+1))))
		}
	}
}

// TestSmallWritesKeepTheirOrder, though the socket takes some of them, parts of
// others, and none for a while.
func TestSmallWritesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			all, seeds := noise(7, 6<<20), 2
			if network == "unix" { // takes less before it refuses
				all, seeds = all[:1<<20], 20
			}
			g := group(t, 1)
			for seed := range seeds {
				refused := make(chan bool, 1)
				r := rand.New(rand.NewPCG(1, uint64(seed)))
				h := &script{data: func(c *Conn, _ []byte) { writeBitByBit(c, all, r, refused) }}
				c := dial(t, serve(t, g, network, accepts(with(h))))
				mustWrite(t, c, "go")
				wait(t, refused, "a write that the socket does not take")
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, all) {
					t.Errorf("seed %d: %d bytes came, %v; want the same %d", seed, len(got), err, len(all))
				}
			}
		})
	}
}

// TestSentInPart: what the socket has not taken of a send comes behind it.
func TestSentInPart(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	opened := make(chan *Conn, 1)
	c := dial(t, serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		opened <- c
		return &script{}
	})))
	s := wait(t, opened, "the connection")
	g.Loops[0].Do(func() {
		g.Loops[0].unsent(s, []byte("sent and not"), 5)
		s.Write([]byte(", next"))
	})
	mustRead(t, c, "and not, next")
	g.Loops[0].Do(func() { g.Loops[0].unsent(s, nil, -int32(unix.EPIPE)) })
	if got := readAll(t, c); got != "" {
		t.Errorf("read %q behind a send that failed", got)
	}
}

// TestLateCompletions: what is told of a descriptor's former connection does
// not reach the one that has it now.
func TestLateCompletions(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	l := g.Loops[0]
	opened, ended := make(chan *Conn, 1), make(chan bool, 10)
	c := dial(t, serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		opened <- c
		return &script{
			data: func(c *Conn, p []byte) { c.Write(p) },
			eof:  func(*Conn) { ended <- true }, closed: func(*Conn, error) { ended <- true },
		}
	})))
	s := wait(t, opened, "the connection")
	l.Do(func() {
		if l.ring == nil {
			return // a poller tells of no connection in particular
		}
		gen := l.conns.gen(s.FD())
		l.complete(cqe{user: tag(ofRecv, gen-1, s.FD())})
		l.complete(cqe{user: tag(ofRecv, gen-1, s.FD()), res: -int32(unix.ECONNRESET)})
		l.complete(cqe{user: tag(ofListener, gen, s.FD())})
		l.complete(cqe{user: tag(ofRecv, 1, 1<<20)})
	})
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	none(t, ended, "an end")
}

// TestResetWhileWaiting: nothing that is awaited holds a closed socket open.
func TestResetWhileWaiting(t *testing.T) {
	t.Parallel()
	h := &script{data: func(c *Conn, _ []byte) {
		c.Write(noise(1, 24<<20))
		if c.Pending() == 0 {
			t.Error("the socket has taken it all")
		}
		c.Loop().Post(c.Reset)
	}}
	c := dial(t, serve(t, group(t, 1), "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	eventually(t, "the reset is here", func() bool {
		_, err := c.Write([]byte("x"))
		return err != nil
	})
}

// writeBitByBit writes a few pieces a turn, then the end.
func writeBitByBit(c *Conn, rest []byte, r *rand.Rand, refused chan<- bool) {
	for range 1 + r.IntN(5) {
		n := min(1+r.IntN(3000), len(rest))
		if r.IntN(20) == 0 {
			n = min(3*readSize, len(rest))
		}
		c.Write(rest[:n])
		rest = rest[n:]
	}
	if c.Pending() > 0 {
		select {
		case refused <- true:
		default:
		}
	}
	if len(rest) == 0 {
		c.CloseWrite()
		return
	}
	c.Loop().Post(func() { writeBitByBit(c, rest, r, refused) })
}

// TestWordsBeforeTheEnd: what was written last arrives before the end, and at
// nobody else, though the descriptor is used again at once.
func TestWordsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	ends := []func(*Conn){(*Conn).Close, (*Conn).Finish, (*Conn).FinishQuiet, (*Conn).CloseWrite}
	g := group(t, 2)
	h := &script{
		data: func(c *Conn, p []byte) {
			c.Write(p)
			c.Write([]byte("bye"))
			ends[p[0]%4](c)
		},
		eof: (*Conn).Close,
	}
	ln := serve(t, g, "tcp", accepts(with(h)))
	for i := range 400 {
		c := dial(t, ln)
		word := fmt.Sprintf("%c word %d ", 'a'+i%26, i)
		mustWrite(t, c, word)
		if got := readAll(t, c); got != word+"bye" {
			t.Fatalf("read %q, want %q", got, word+"bye")
		}
		_ = c.Close()
	}
	eventually(t, "all connections are closed", func() bool { return conns(g) == 0 })
}

// TestKeptWhilePaused: what comes in after Pause is handed over after Resume,
// in its order, and is not more than one buffer meanwhile.
func TestKeptWhilePaused(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	opened, got := make(chan *Conn, 1), make(chan []byte, 1000)
	ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		opened <- c
		return &script{
			data: func(_ *Conn, p []byte) { got <- bytes.Clone(p) },
			eof:  func(c *Conn) { got <- nil; c.Close() },
		}
	}))
	c := dial(t, ln)
	s := wait(t, opened, "the connection")
	mustWrite(t, c, "first")
	if p := wait(t, got, "data"); string(p) != "first" {
		t.Fatalf("data = %q, want first", p)
	}
	g.Loops[0].Do(s.Pause) // a receive is under way
	all := noise(3, 3*ringBufSize)
	mustWrite(t, c, string(all))
	_ = c.(*net.TCPConn).CloseWrite()
	eventually(t, "all bytes are there", func() bool {
		n := 0
		g.Loops[0].Do(func() {
			n, _ = unix.IoctlGetInt(s.FD(), unix.TIOCINQ)
			n += len(s.loop.kept[s])
		})
		return n >= len(all)
	})
	g.Loops[0].Do(func() {
		if n := len(s.loop.kept[s]); n > ringBufSize {
			t.Errorf("kept %d bytes, want at most %d", n, ringBufSize)
		}
	})
	none(t, got, "data of a paused connection")
	g.Loops[0].Do(s.Resume)
	var back []byte
	for p := wait(t, got, "data"); p != nil; p = wait(t, got, "data or the end") {
		back = append(back, p...)
	}
	if !bytes.Equal(back, all) {
		t.Errorf("%d bytes came, want the same %d", len(back), len(all))
	}
	g.Loops[0].Do(func() {
		if n := len(s.loop.kept); n > 0 {
			t.Errorf("bytes of %d connections are kept behind the end", n)
		}
	})
}

// TestNoRing: without io_uring the loops use epoll, unless that was ruled out.
func TestNoRing(t *testing.T) {
	entries := ringEntries
	ringEntries = 1 << 30 // more than the kernel gives
	defer func() { ringEntries = entries }()
	g := groupOf(t, 1, Auto)
	if got := g.Poller(); got != Epoll {
		t.Errorf("Poller() = %q, want %q", got, Epoll)
	}
	c := dial(t, serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil)))))
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	if _, err := NewGroup(1, Ring, g.Loops[0].log); err == nil {
		t.Error("NewGroup(Ring) made a group without a ring")
	}
}
