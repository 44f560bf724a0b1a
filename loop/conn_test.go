// budget: one file, because the stories share their scripts and clients.

package loop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// networks are what a listener can be on.
var networks = []string{"tcp", "tcp6", "unix"}

// echo is a handler that writes back what it gets, and stops its source while
// bytes are kept. most is the most it saw kept, stopped tells of each stop.
func echo(most *atomic.Int64, stopped chan<- struct{}) *script {
	return &script{
		data: func(c *Conn, p []byte) {
			c.Write(p)
			if n := int64(c.Pending()); n > 0 {
				most.Store(max(most.Load(), n))
				c.Pause()
				select {
				case stopped <- struct{}{}:
				default:
				}
			}
		},
		drained: func(c *Conn) { c.Resume() },
		eof:     func(c *Conn) { c.CloseWrite() },
	}
}

// exchange sends in to an echo and checks that it comes back, though the
// client does not read until the echo had to stop.
func exchange(t *testing.T, c net.Conn, in []byte, stopped <-chan struct{}, closeWrite func() error) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(in)
		sent <- errors.Join(err, closeWrite())
	}()
	wait(t, stopped, "the echo to hold its source")
	back, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(back, in) {
		t.Errorf("%d bytes came back, %v; want the same %d", len(back), err, len(in))
	}
	if err := wait(t, sent, "the writer"); err != nil {
		t.Error(err)
	}
}

func TestEchoToSlowReader(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			var most atomic.Int64
			stopped := make(chan struct{}, 1)
			ln := serve(t, group(t, 2), network, accepts(with(echo(&most, stopped))))
			c := dial(t, ln)
			exchange(t, c, noise(1, 24<<20), stopped, c.(interface{ CloseWrite() error }).CloseWrite)
			if n := most.Load(); n > readSize {
				t.Errorf("kept %d bytes, want at most one read of %d", n, readSize)
			}
		})
	}
}

func TestPauseHoldsDataAndEOF(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	held, data, eof := make(chan *Conn, 1), make(chan string, 10), make(chan bool, 2)
	ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		c.Pause()
		held <- c
		return &script{
			data: func(_ *Conn, p []byte) { data <- string(p) },
			eof:  func(c *Conn) { eof <- true; c.Close() },
		}
	}))
	c := dial(t, ln)
	mustWrite(t, c, "hello")
	_ = c.Close()
	s := wait(t, held, "the connection")
	// Two round trips of another connection: had the loop seen the bytes, it
	// would have handed them on by now.
	echoes := dial(t, serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil)))))
	for range 2 {
		mustWrite(t, echoes, "x")
		mustRead(t, echoes, "x")
	}
	none(t, data, "data of a paused connection")
	none(t, eof, "EOF of a paused connection")
	g.Loops[0].Do(func() {
		if !s.Paused() {
			t.Error("Paused() = false, want true")
		}
		s.Resume()
	})
	if got := wait(t, data, "data"); got != "hello" {
		t.Errorf("data = %q, want hello", got)
	}
	wait(t, eof, "EOF")
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run("client first "+network, func(t *testing.T) {
			t.Parallel()
			done := make(chan bool, 2)
			ln := serve(t, group(t, 1), network, accepts(with(&script{
				eof: func(c *Conn) {
					c.Write([]byte("the rest"))
					done <- c.Done()
					c.CloseWrite()
					c.Write([]byte("nothing goes behind the end"))
					done <- c.Done()
				},
			})))
			c := dial(t, ln)
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if got := readAll(t, c); got != "the rest" {
				t.Errorf("client read %q, want the rest", got)
			}
			if before, after := <-done, <-done; before || !after {
				t.Errorf("Done() = %v before our end and %v after, want false and true", before, after)
			}
		})
		t.Run("server first "+network, func(t *testing.T) {
			t.Parallel()
			data, eof := make(chan string, 10), make(chan bool, 2)
			ln := serve(t, group(t, 1), network, accepts(with(&script{
				data: func(c *Conn, p []byte) {
					data <- string(p)
					c.CloseWrite()
				},
				eof: func(c *Conn) { eof <- c.Done() },
			})))
			c := dial(t, ln)
			for _, s := range []string{"one", "two"} {
				mustWrite(t, c, s)
				if got := wait(t, data, s); got != s {
					t.Errorf("data = %q, want %q", got, s)
				}
				if got := readAll(t, c); got != "" {
					t.Errorf("client read %q, want the end", got)
				}
			}
			_ = c.Close()
			if !wait(t, eof, "EOF") {
				t.Error("Done() = false behind both ends")
			}
		})
	}
}

// pushOnData is a handler that writes a large block when it is asked to, far
// more than the kernel takes, and then does what then says.
func pushOnData(block []byte, then func(c *Conn)) *script {
	return &script{data: func(c *Conn, _ []byte) {
		c.Write(block)
		then(c)
	}}
}

func TestCloseWriteGoesBehindKeptBytes(t *testing.T) {
	t.Parallel()
	block := noise(2, 16<<20)
	kept, drained := make(chan int, 1), make(chan bool, 3)
	h := pushOnData(block, func(c *Conn) { c.CloseWrite(); kept <- c.Pending() })
	h.drained = func(c *Conn) { drained <- c.Done() }
	h.eof = func(c *Conn) { drained <- c.Done() }
	c := dial(t, serve(t, group(t, 1), "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	if n := wait(t, kept, "the write"); n == 0 {
		t.Fatal("the kernel took all, the test tests nothing")
	}
	if got := readAll(t, c); got != string(block) {
		t.Errorf("read %d bytes, want the same %d and the end", len(got), len(block))
	}
	if wait(t, drained, "Drained") {
		t.Error("Done() = true before the client's end")
	}
	_ = c.Close()
	if !wait(t, drained, "EOF") {
		t.Error("Done() = false behind both ends")
	}
	none(t, drained, "one more Drained")
}

// TestFinishDelivers: the last bytes arrive though they had to be kept and the
// client goes on talking.
func TestFinishDelivers(t *testing.T) {
	t.Parallel()
	block := noise(3, 8<<20)
	g := group(t, 1)
	h := pushOnData(block, func(c *Conn) {
		c.Finish()
		c.Write([]byte("nothing goes behind the end"))
	})
	h.eof = func(*Conn) { t.Error("EOF was told behind Finish") }
	h.drained = func(*Conn) { t.Error("Drained was told behind Finish") }
	h.closed = func(*Conn, error) { t.Error("Closed was told behind Finish") }
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	talked := make(chan struct{})
	go func() {
		defer close(talked)
		for range 100 {
			if _, err := c.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}()
	if got := readAll(t, c); got != string(block) {
		t.Errorf("read %d bytes, want the same %d and the end", len(got), len(block))
	}
	wait(t, talked, "the client's talk")
	if n := conns(g); n != 1 {
		t.Errorf("%d connections before the client's end, want 1 that lingers", n)
	}
	_ = c.Close()
	eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
}

// TestFinishDoesNotWaitForEver for a client that never ends.
func TestFinishDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	h := &script{data: func(c *Conn, _ []byte) { c.Finish() }}
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	if got := readAll(t, c); got != "" {
		t.Errorf("read %q, want the end", got)
	}
	eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
}

// TestFinishInAccepted is how a client is refused. Whether the handler is
// returned or not, it hears no more, and what it said arrives.
func TestFinishInAccepted(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	heard := make(chan string, 10)
	h := &script{
		data:    func(*Conn, []byte) { heard <- "Data" },
		eof:     func(*Conn) { heard <- "EOF" },
		drained: func(*Conn) { heard <- "Drained" },
		closed:  func(*Conn, error) { heard <- "Closed" },
	}
	c := dial(t, serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		c.SetHandler(h)
		c.Write([]byte("* BYE full\r\n"))
		c.Finish()
		return h
	})))
	mustRead(t, c, "* BYE full\r\n")
	mustWrite(t, c, "a1 LOGOUT\r\n")
	_ = c.Close()
	eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
	none(t, heard, "an event behind Finish")
}

func TestReset(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	h := &script{data: func(c *Conn, _ []byte) { c.Reset(); c.Reset() }}
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("client's read = %v, want connection reset", err)
	}
	if n := conns(g); n != 0 {
		t.Errorf("%d connections left", n)
	}
}

func TestClosedTellsOfReset(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	closed := make(chan error, 2)
	h := &script{
		data:   func(c *Conn, _ []byte) { c.Write([]byte("here")) },
		closed: func(c *Conn, err error) { c.Close(); c.Write([]byte("x")); c.Finish(); c.Resume(); closed <- err },
	}
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	mustRead(t, c, "here")
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	if err := wait(t, closed, "Closed"); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("Closed(%v), want connection reset", err)
	}
	if n := conns(g); n != 0 {
		t.Errorf("%d connections left", n)
	}
	none(t, closed, "Closed twice")
}

// TestWriteFailureIsTold once, in the call or behind it, when the client has
// reset the connection while bytes were kept for it.
func TestWriteFailureIsTold(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	pushed, closed := make(chan bool, 1), make(chan error, 2)
	h := pushOnData(make([]byte, 16<<20), func(c *Conn) { c.Pause(); pushed <- c.Pending() > 0 })
	h.closed = func(_ *Conn, err error) { closed <- err }
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, c, "go")
	if !wait(t, pushed, "the write") {
		t.Fatal("the kernel took all, the test tests nothing")
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	if err := wait(t, closed, "Closed"); !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("Closed(%v), want connection reset", err)
	}
	if n := conns(g); n != 0 {
		t.Errorf("%d connections left", n)
	}
	none(t, closed, "Closed twice")
}

// TestCloseInCallback: a handler may close its connection wherever it is
// called, and hears no more of it.
func TestCloseInCallback(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Data", "EOF", "Drained"} {
		for _, how := range []string{"Close", "Reset", "Finish"} {
			t.Run(how+" in "+where, func(t *testing.T) {
				t.Parallel()
				g := group(t, 1)
				ends := make(chan string, 10)
				end := func(in string, c *Conn) {
					if in != where {
						return
					}
					ends <- in
					ending(c, how)
				}
				h := &script{
					data:    func(c *Conn, _ []byte) { end("Data", c); c.Write(make([]byte, 8<<20)) },
					eof:     func(c *Conn) { end("EOF", c) },
					drained: func(c *Conn) { end("Drained", c) },
					closed:  func(_ *Conn, err error) { ends <- "Closed" },
				}
				c := dial(t, serve(t, g, "tcp", accepts(with(h))))
				mustWrite(t, c, "go")
				if where == "EOF" {
					_ = c.(*net.TCPConn).CloseWrite()
				}
				_, _ = io.Copy(io.Discard, c) // ends by our end or a reset
				_ = c.Close()
				eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
				if got := wait(t, ends, where); got != where {
					t.Errorf("ended in %s, want %s", got, where)
				}
				none(t, ends, "a further event")
			})
		}
	}
}

func ending(c *Conn, how string) {
	switch how {
	case "Close":
		c.Close()
	case "Reset":
		c.Reset()
	case "Finish":
		c.Finish()
	}
}

// TestPanicCostsOneConnection, wherever the handler fails.
func TestPanicCostsOneConnection(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Data", "EOF", "Drained", "posted"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			g := groupExpecting(t, 1, "this handler fails")
			fail := func(in string) {
				if in == where {
					panic("this handler fails")
				}
			}
			closed := make(chan error, 2)
			h := &script{
				data: func(c *Conn, _ []byte) {
					fail("Data")
					c.Write(make([]byte, 8<<20))
					c.Loop().Post(func() { fail("posted") })
				},
				eof:     func(*Conn) { fail("EOF") },
				drained: func(*Conn) { fail("Drained") },
				closed:  func(_ *Conn, err error) { closed <- err },
			}
			ln := serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil))))
			good := dial(t, ln)
			mustWrite(t, good, "before")
			mustRead(t, good, "before")
			bad := dial(t, serve(t, g, "tcp", accepts(with(h))))
			mustWrite(t, bad, "go")
			if where == "EOF" {
				_ = bad.(*net.TCPConn).CloseWrite()
			}
			if where != "posted" { // that is nobody's
				_, _ = io.Copy(io.Discard, bad) // ends by our end or a reset
				if err := wait(t, closed, "Closed"); !errors.Is(err, errPanic) {
					t.Errorf("Closed(%v), want %v", err, errPanic)
				}
			}
			mustWrite(t, good, "after")
			mustRead(t, good, "after")
		})
	}
}
