package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// acceptBatch bounds the connections taken in a row while others wait.
const acceptBatch = 64

// Listener is a listening socket. It lives on one loop and deals what it
// accepts out to all. Its methods may be called from any goroutine.
type Listener struct {
	loop  *Loop
	group *Group
	fd    int
	addr  string // as bound: "ip:port" or "unix:/path"
	ap    netip.AddrPort
	proto string // "tcpv4", "tcpv6", "unix"
	h     Acceptor

	// Owned by the loop.
	paused bool
	closed bool
	armed  bool   // the ring awaits it
	gen    uint32 // tells it from connections that had the descriptor before
	retry  Timer  // armed while the descriptors have run out
	spare  int    // a descriptor to give up for a moment when none is left
}

// Acceptor takes the connections of a Listener.
type Acceptor interface {
	// Admit is asked on the listener's loop before each accept; false pauses
	// the listener until Listener.Resume.
	Admit() bool
	// Opened counts a connection, on the listener's loop.
	Opened()
	// Accepted gets a connection on the loop that owns it from now on. The
	// returned handler is its handler; nil closes it. c is nil if the
	// connection was lost before it got there.
	Accepted(c *Conn, from netip.AddrPort) Handler
	// Exhausted is told on the listener's loop that the process has no
	// descriptor left. Bytes returned are said to the client that was
	// refused.
	Exhausted(err error) []byte
}

// Listen binds addr, "ip:port", ":port" or "unix:/path". No connection is
// taken before Start.
func Listen(ctx context.Context, addr string, sc *SocketConfig) (*Listener, error) {
	network, host := "tcp", addr
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, host = "unix", path
		if err := removeStale(ctx, path); err != nil {
			return nil, err
		}
	} else if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Is4() {
		network = "tcp4" // "0.0.0.0" means IPv4 only, "[::]" and "" mean both
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // Go's default; it knows not all of our options, and costs
	nl, err := lc.Listen(ctx, network, host)
	if err != nil {
		return nil, fmt.Errorf("loop: listen: %w", err)
	}
	ln, err := adopt(nl, addr)
	if err == nil && network != "unix" {
		if err = sc.apply(ln.fd); err != nil {
			_ = unix.Close(ln.fd) // nobody knows of it yet
		}
	}
	if err != nil {
		return nil, err
	}
	return ln, nil
}

// adopt takes the descriptor out of a net.Listener and closes that, so that
// the runtime's own poller does not wake for every connection too.
func adopt(nl net.Listener, addr string) (*Listener, error) {
	defer nl.Close() //nolint:errcheck // the copy below is the listener from now on
	filer, ok := nl.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("loop: listen %s: %T has no descriptor", addr, nl)
	}
	if u, ok := nl.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	f, err := filer.File()
	if err != nil {
		return nil, fmt.Errorf("loop: listen %s: %w", addr, err)
	}
	defer f.Close() //nolint:errcheck // only the copy below is used
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("loop: listen %s: %w", addr, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd) // nobody knows of it yet
		return nil, fmt.Errorf("loop: listen %s: %w", addr, err)
	}
	ln := &Listener{fd: fd, addr: addr, proto: "unix", spare: -1}
	if t, ok := nl.Addr().(*net.TCPAddr); ok {
		ln.ap = netip.AddrPortFrom(t.AddrPort().Addr().Unmap(), t.AddrPort().Port())
		ln.addr, ln.proto = ln.ap.String(), "tcpv6"
		if ln.ap.Addr().Is4() {
			ln.proto = "tcpv4"
		}
	}
	return ln, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(ctx context.Context, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || st.Mode()&fs.ModeSocket == 0 {
		return nil // listening will say what is wrong
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close() // only wanted to know
		return fmt.Errorf("loop: listen unix:%s: another process listens there", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("loop: listen unix:%s: %w", path, err)
	}
	return nil
}

// Addr is the bound address, "ip:port" or "unix:/path".
func (ln *Listener) Addr() string { return ln.addr }

// AddrPort is the bound address of a TCP listener.
func (ln *Listener) AddrPort() netip.AddrPort { return ln.ap }

// Proto is "tcpv4", "tcpv6" or "unix".
func (ln *Listener) Proto() string { return ln.proto }

// Start begins to accept: on one loop of g, for all of them.
func (ln *Listener) Start(g *Group, h Acceptor) error {
	ln.group, ln.h, ln.loop = g, h, g.Loops[int(g.next.Add(1))%len(g.Loops)]
	var err error
	ln.loop.Do(func() {
		ln.reserve()
		ln.loop.listeners[ln.fd] = ln
		err = ln.await()
	})
	return err
}

// Close stops accepting. Connections live on. A unix socket's path is removed.
func (ln *Listener) Close() {
	if ln.loop == nil {
		_ = unix.Close(ln.fd) // never started
		return
	}
	ln.loop.Do(func() { ln.close() })
}

func (ln *Listener) close() {
	if ln.closed {
		return
	}
	ln.closed = true
	ln.loop.StopTimer(&ln.retry)
	delete(ln.loop.listeners, ln.fd)
	ln.closeFD()
	if ln.spare >= 0 {
		_ = unix.Close(ln.spare)
	}
	if path, ok := strings.CutPrefix(ln.addr, "unix:"); ok {
		_ = os.Remove(path) // gone already is as good
	}
}

// closeFD closes the socket. Its address is free for another one then, though
// the kernel may be slow to let go of what a ring awaits. Connections that
// nobody has accepted are reset, that is the meaning.
func (ln *Listener) closeFD() {
	if ln.loop.ring != nil {
		_ = unix.Shutdown(ln.fd, unix.SHUT_RDWR) // listens no more, and ends what is awaited
	}
	if ln.loop.ring != nil && ln.loop.broken == nil {
		ln.loop.submission(opClose, ln.fd, ofNothing).flags = sqeSkipSuccess
		ln.loop.submit()
		return
	}
	_ = unix.Close(ln.fd) // nothing can be done about it
}

// await has accept called when somebody connects.
func (ln *Listener) await() error {
	if ln.loop.ring == nil {
		c := Conn{loop: ln.loop, fd: int32(ln.fd)}
		return c.want(wantRead)
	}
	if !ln.armed && !ln.paused && !ln.closed {
		ln.armed = true
		ln.gen++
		ln.loop.submission(opPollAdd, ln.fd, tag(ofListener, ln.gen, ln.fd)).opArg = unix.POLLIN
	}
	return nil
}

// Resume asks Admit again after it said no.
func (ln *Listener) Resume() {
	ln.loop.Post(func() { ln.resume() })
}

func (ln *Listener) resume() {
	if !ln.paused || ln.closed {
		return
	}
	ln.paused = false
	if err := ln.await(); err != nil {
		ln.loop.log.Error("listener cannot resume", "addr", ln.addr, "err", err)
	}
}

func (ln *Listener) pause() {
	ln.paused = true
	if ln.loop.ring != nil {
		return // accept comes no more
	}
	c := Conn{loop: ln.loop, fd: int32(ln.fd), has: wantRead}
	if err := c.want(0); err != nil {
		ln.loop.log.Error("listener cannot pause", "addr", ln.addr, "err", err)
	}
}

// Expired ends the pause that running out of descriptors made.
func (ln *Listener) Expired(time.Time) {
	ln.reserve()
	ln.resume()
}

// reserve opens the spare descriptor, if there is one to have. Without it a
// client that is refused is told nothing.
func (ln *Listener) reserve() {
	if ln.spare < 0 {
		ln.spare, _ = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
}

// accept takes what waits, at most acceptBatch.
func (ln *Listener) accept() {
	for range acceptBatch {
		if ln.paused || ln.closed {
			return
		}
		if !ln.h.Admit() {
			ln.pause()
			return
		}
		fd, from, err := acceptFD(ln.fd)
		switch {
		case err == nil:
			ln.h.Opened()
			ln.deal(fd, from)
		case err == unix.EAGAIN:
			return
		case IsExhausted(err) && ln.loop.freed():
			// There is one again.
		case IsExhausted(err):
			ln.exhausted(err)
			return
		default:
			// ECONNABORTED and the network errors of accept(2): they are the
			// one connection's, not the listener's.
		}
	}
}

// deal gives a connection to the loop with the fewest.
func (ln *Listener) deal(fd int, from netip.AddrPort) {
	to := ln.group.Next()
	to.count.Add(1) // now, so that a burst is spread
	if to == ln.loop {
		to.take(fd, from, ln.h)
		return
	}
	to.Post(func() { to.take(fd, from, ln.h) })
}

func (l *Loop) take(fd int, from netip.AddrPort, h Acceptor) {
	c, err := l.add(fd, nil, wantRead)
	if err != nil {
		l.count.Add(-1)
		l.log.Error("accepted connection lost", "err", err)
		h.Accepted(nil, from)
		return
	}
	defer l.caught(c)
	handler := h.Accepted(c, from)
	switch {
	case handler == nil:
		c.Close()
	case c.h == nil: // else Accepted has set one, which may have changed since
		c.h = handler
	}
}

// exhaustedPause is how long a listener rests when no descriptor is left.
const exhaustedPause = 100 * time.Millisecond

// exhausted gives up the spare descriptor to tell one client, then rests.
func (ln *Listener) exhausted(err error) {
	say := ln.h.Exhausted(err)
	if ln.spare >= 0 {
		_ = unix.Close(ln.spare)
		fd, _, err := acceptFD(ln.fd)
		if err == nil {
			_, _ = unix.Write(fd, say) // a new socket takes a line; if not, the close says it
			_ = unix.Close(fd)
		}
		ln.spare = -1
		ln.reserve()
	}
	ln.pause()
	ln.loop.SetTimer(&ln.retry, time.Now().Add(exhaustedPause), ln)
}
