package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReceivesKeepTheirOrder: what the loop reads by itself does not overtake
// what a ring is receiving.
func TestReceivesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	all := noise(5, 40*ringBufSize)
	var got []byte
	ended := make(chan bool, 1)
	h := &script{
		data: func(c *Conn, p []byte) {
			got = append(got, p...)
			c.Pause()
			c.Resume() // asks for a receive
			if c.loop.ring != nil {
				c.loop.submit() // as a write does that finds no room
			}
		},
		eof: func(c *Conn) { c.Close(); ended <- true },
	}
	c := dial(t, serve(t, g, "tcp", accepts(with(h))))
	said, free := make(chan bool), make(chan bool)
	go g.Loops[0].Do(func() { close(said); <-free }) // ends below
	wait(t, said, "the loop to be held up")
	mustWrite(t, c, string(all))
	_ = c.(*net.TCPConn).CloseWrite()
	close(free)
	wait(t, ended, "the end")
	if !bytes.Equal(got, all) {
		t.Errorf("%d bytes came, want the same %d", len(got), len(all))
	}
}

// TestPendingAtEOF: Pending tells at an end of what Data wrote in the same
// call, though the end came with the last bytes, as it may under TLS.
func TestPendingAtEOF(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		g := group(t, 1)
		opened, pending := make(chan *Conn, 1), make(chan int, 1)
		_ = dial(t, serve(t, g, "unix", accepts(func(c *Conn, _ netip.AddrPort) Handler { // TCP takes more when it has had time
			opened <- c
			return &script{}
		}))) // reads nothing
		to := wait(t, opened, "the connection")
		g.Loops[0].Do(func() {
			for err := error(nil); err == nil; {
				_, err = writeFD(to.FD(), make([]byte, 1<<10))
			}
		})
		h := &script{
			data: func(_ *Conn, p []byte) { to.Write(p) },
			eof:  func(*Conn) { pending <- to.Pending() },
		}
		started := make(chan bool, 1)
		ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, func(*Conn, error) { started <- true })))
		b := &batch{Conn: dial(t, ln), free: 2}
		c := tls.Client(b, client)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		b.send(t)
		wait(t, started, "the handshake")
		mustWrite(t, c, "last words")
		_ = c.CloseWrite()
		b.send(t)
		if n := wait(t, pending, "EOF"); n != len("last words") {
			t.Errorf("Pending() = %d, want %d", n, len("last words"))
		}
	})
}

// TestDescriptorsCloseInTime: a connection that is closed makes room for the
// next at once, in a process of its own.
func TestDescriptorsCloseInTime(t *testing.T) {
	t.Parallel()
	if _, out := child(t); out != nil {
		if s := line(t, out); s != "fine" {
			t.Error(s)
		}
		return
	}
	g := group(t, 1)
	l := g.Loops[0]
	opened := make(chan *Conn, 10)
	a := accepts(func(c *Conn, _ netip.AddrPort) Handler { opened <- c; return &script{} })
	a.exhausted = func(error) []byte { return nil } // the kernel wants a descriptor before it looks for a client
	ln := serve(t, g, "tcp", a)
	for range 2 {
		dial(t, ln)
	}
	one, two := wait(t, opened, "a connection"), wait(t, opened, "a connection")
	limit := unix.Rlimit{Cur: uint64(openFiles(t) + 10), Max: uint64(openFiles(t) + 10)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	l.Do(func() {
		dial(t, ln) // waits in the kernel
		var all []int
		for {
			fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if errors.Is(err, unix.EMFILE) {
				break
			}
			all = append(all, fd)
		}
		defer func() {
			for _, fd := range all {
				_ = unix.Close(fd)
			}
		}()
		one.Close()
		ln.accept()
		select {
		case c := <-opened:
			c.Close()
		default:
			t.Error("not accepted")
		}
		two.Close()
		for range 2 {
			if _, err := l.Dial(AddrFrom(ln.AddrPort()), netip.Addr{}, &SocketConfig{}, &script{}); err != nil {
				t.Error(err)
			}
		}
	})
	if !t.Failed() {
		fmt.Println("fine")
	}
}

// TestListenerLetsGo: its address is free when it is closed, though the loop
// has much else to do.
func TestListenerLetsGo(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	busy := serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil))))
	var clients []net.Conn
	for range 200 {
		c := dial(t, busy)
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		clients = append(clients, c)
	}
	ln := serve(t, g, "tcp", accepts(with(&script{})))
	said, free := make(chan bool), make(chan bool)
	go g.Loops[0].Do(func() { // ends below
		close(said)
		<-free
		ln.close()
		again, err := net.Listen("tcp", ln.Addr())
		if err != nil {
			t.Error(err)
			return
		}
		_ = again.Close()
	})
	wait(t, said, "the loop to be held up")
	for _, c := range clients {
		mustWrite(t, c, "y")
	}
	close(free)
	for _, c := range clients {
		mustRead(t, c, "y")
	}
}

// TestManyRefusedSends: more sends are refused at once than what follows from
// them has room in the queue.
func TestManyRefusedSends(t *testing.T) {
	entries := ringEntries
	ringEntries = 8
	g := group(t, 1)
	ringEntries = entries
	opened := make(chan *Conn, 1)
	ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler { opened <- c; return &script{} }))
	var clients []net.Conn
	var conns []*Conn
	for range 4 * 8 {
		clients = append(clients, dial(t, ln))
		conns = append(conns, wait(t, opened, "the connection"))
	}
	lens := make([]int, len(conns))
	g.Loops[0].Do(func() {
		for i, c := range conns {
			for err := error(nil); err == nil; {
				var n int
				n, err = writeFD(c.FD(), make([]byte, 1<<10))
				lens[i] += n
			}
		}
		for i, c := range conns {
			c.Write(fmt.Appendf(nil, "behind %d", i))
		}
	})
	for i, c := range clients {
		mustRead(t, c, strings.Repeat("\x00", lens[i])+fmt.Sprintf("behind %d", i))
	}
}

// TestOneReceive: a connection is received from once at a time, though the queue
// is full when its receive is asked for, and its own bytes are refused then.
func TestOneReceive(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	l := g.Loops[0]
	opened, went, got := make(chan *Conn, 1), make(chan bool, 1), make(chan string, 10)
	c := dial(t, serve(t, g, "unix", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		opened <- c
		return &script{data: func(c *Conn, p []byte) {
			if string(p) != "go" {
				got <- string(p)
				return
			}
			for err := error(nil); err == nil; {
				_, err = writeFD(c.FD(), make([]byte, 1<<10))
			}
			c.Write([]byte("x"))
			for l.ring != nil && !l.ring.full() {
				l.ring.next(opCancel, -1, ofNothing).addr = 1 // of nothing
			}
			went <- true
		}}
	})))
	s := wait(t, opened, "the connection")
	mustWrite(t, c, "go")
	wait(t, went, "the word")
	l.Do(s.Pause)
	for _, word := range []string{"first ", "second"} {
		mustWrite(t, c, word)
		for range 3 { // turns in which a receive ends
			l.Do(func() {})
		}
	}
	l.Do(s.Resume)
	all := ""
	for len(all) < 12 {
		all += wait(t, got, "what was sent in the pause")
	}
	if all != "first second" {
		t.Errorf("got %q", all)
	}
}
