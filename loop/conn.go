package loop

import (
	"io"
	"net/netip"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// Handler is told what happens on a connection. Its methods run on the loop
// and must not block.
type Handler interface {
	// Data hands over bytes that arrived, decrypted. p is valid during the
	// call only, and only until another connection is resumed. More Data may follow in the same turn unless the connection
	// was paused or closed.
	Data(c *Conn, p []byte)
	// EOF says that the other side will send no more. The connection can
	// still be written to.
	EOF(c *Conn)
	// Drained says that all bytes that Write had kept are with the kernel.
	// Behind CloseWrite it is called a last time, for bytes and end.
	Drained(c *Conn)
	// Closed says that the connection broke, and why. It is closed. It is
	// not called for Close and Finish.
	Closed(c *Conn, err error)
}

// What a descriptor is waited for.
type interest uint8

const (
	wantRead interest = 1 << iota
	wantWrite
)

// Conn is one stream socket, plain or under TLS. Owned by its loop.
type Conn struct {
	loop *Loop
	h    Handler
	tls  *tlsState // nil for plain
	out  *pending  // what the socket did not take yet; nil when there is none
	fd   int32     // -1 when closed
	has  interest  // what the poller has, or what is armed
	mode mode
	send uint8 // its place in ring.sends, counted from 1; 0 for none
}

// pending are bytes that wait for the socket.
type pending struct {
	b    []byte
	sent int // bytes of b that are written
}

// mode is a set of what a connection went through.
type mode uint8

const (
	paused     mode = 1 << iota // Data must wait for Resume
	gotEOF                      // the other side sent its end
	sentEOF                     // our end is sent, or will be behind out
	connecting                  // connect(2) has not been answered
	much                        // the last read was as large as a ring's buffer
)

// add takes a new descriptor into the loop. The caller counts it.
func (l *Loop) add(fd int, h Handler, want interest) (*Conn, error) {
	c := &Conn{loop: l, h: h, fd: int32(fd)}
	l.conns.put(fd, c)
	if err := c.want(want); err != nil {
		l.conns.delete(fd)
		_ = unix.Close(fd) // it carried nothing yet
		return nil, err
	}
	return c, nil
}

// Loop is the loop that owns the connection.
func (c *Conn) Loop() *Loop { return c.loop }

// FD is the descriptor's number for display, -1 when closed.
func (c *Conn) FD() int { return int(c.fd) }

// SetHandler makes h the handler from the next event on.
func (c *Conn) SetHandler(h Handler) { c.h = h }

// Pending is the number of bytes that Write keeps because the socket did not
// take them. Who has more to write should wait for Drained.
func (c *Conn) Pending() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b) - c.out.sent
}

// LocalAddr is our own address, zero for a unix socket. It is a system call.
func (c *Conn) LocalAddr() netip.AddrPort {
	sa, err := unix.Getsockname(c.FD())
	if err != nil {
		return netip.AddrPort{}
	}
	return addrPort(sa)
}

// want tells the poller what to wait for. A descriptor that is waited for
// neither way is taken out, since epoll reports a hang-up even if nobody asked.
func (c *Conn) want(w interest) error {
	if w == c.has {
		return nil
	}
	if c.loop.ring != nil {
		c.await(w)
		return nil
	}
	p, pa := c.loop.poller, netpoll.PollAttachment{FD: c.FD()}
	var err error
	switch {
	case w == 0:
		err = p.Delete(c.FD())
	case c.has == 0 && w == wantRead:
		err = p.AddRead(&pa, false)
	case c.has == 0 && w == wantWrite:
		err = p.AddWrite(&pa, false)
	case c.has == 0:
		err = p.AddReadWrite(&pa, false)
	case w == wantRead:
		err = p.ModRead(&pa, false)
	case w == wantWrite: // netpoll has no ModWrite
		if err = p.Delete(c.FD()); err == nil {
			err = p.AddWrite(&pa, false)
		}
	default:
		err = p.ModReadWrite(&pa, false)
	}
	if err == nil {
		c.has = w
	}
	return err
}

// rewant brings the poller in line with the connection's state.
func (c *Conn) rewant() {
	if c.fd < 0 {
		return
	}
	var w interest
	if c.mode&(paused|gotEOF) == 0 {
		w |= wantRead
	}
	if c.out != nil || c.mode&connecting != 0 && c.has&wantWrite != 0 {
		w |= wantWrite
	}
	if err := c.want(w); err != nil {
		c.fail(err)
	}
}

// Pause stops Data and EOF until Resume.
func (c *Conn) Pause() {
	if c.fd >= 0 && c.mode&paused == 0 {
		c.mode |= paused
		c.rewant()
	}
}

// Resume undoes Pause. Bytes that TLS has read already are handed over during
// the call.
func (c *Conn) Resume() {
	if c.fd < 0 || c.mode&paused == 0 {
		return
	}
	c.mode &^= paused
	if c.tls != nil && c.tls.hs == nil {
		c.tls.deliver(c)
		c.flushTLS()
	}
	c.rewant()
}

// Paused reports whether the connection waits for Resume.
func (c *Conn) Paused() bool { return c.mode&paused != 0 }

// readable takes what the socket has.
func (c *Conn) readable() {
	if c.mode&(paused|gotEOF) != 0 {
		return
	}
	for range turns {
		n, err := readFD(c.FD(), c.loop.buf)
		c.mode &^= much
		switch {
		case n > 0:
			if n >= ringBufSize {
				c.mode |= much
			}
			c.received(c.loop.buf[:n])
		case n == 0 && err == nil:
			c.eof()
			return
		case err == unix.EAGAIN || err == unix.EINTR:
			return
		default:
			c.broken(err)
			return
		}
		// A read that left room has emptied the socket; a further one would
		// be a system call to learn that.
		if n < len(c.loop.buf) || c.fd < 0 || c.mode&paused != 0 {
			return
		}
	}
}

func (c *Conn) received(p []byte) {
	switch {
	case c.tls == nil:
		c.h.Data(c, p)
	case c.tls.hs != nil:
		c.tls.hs.feed(c, p)
	default:
		c.tls.received(c, p)
		c.flushTLS()
	}
}

// eof notes the end of the other side's bytes. Under TLS it may be met twice:
// as a close_notify, and as the end of the stream.
func (c *Conn) eof() {
	if c.mode&gotEOF != 0 {
		return
	}
	c.mode |= gotEOF
	if c.Handshaking() {
		c.rewant()
		c.tls.hs.end(c, io.ErrUnexpectedEOF)
		return
	}
	c.h.EOF(c)
	c.rewant()
}

// broken takes an error of the socket. During a TLS handshake it is the
// handshake that failed: it may know better why, from an alert.
func (c *Conn) broken(err error) {
	if !c.Handshaking() {
		c.fail(err)
		return
	}
	c.mode |= gotEOF
	c.rewant()
	if c.Handshaking() {
		c.tls.hs.end(c, err)
	}
}

// Done reports whether both sides have sent their end and all of ours is out.
func (c *Conn) Done() bool {
	return c.fd < 0 || c.mode&(gotEOF|sentEOF) == gotEOF|sentEOF && c.out == nil
}

// Close closes the connection now; kept bytes are lost. It can be called again.
func (c *Conn) Close() {
	if c.fd < 0 {
		return
	}
	if c.tls != nil && c.tls.hs != nil {
		c.tls.hs.abort() // from here on its goroutine leaves the descriptor alone
	}
	fd, l, has := c.FD(), c.loop, c.has
	l.conns.delete(fd)
	l.count.Add(-1)
	c.dropOut()
	c.fd, c.has = -1, 0
	c.tls = nil
	if l.ring != nil {
		delete(l.kept, c)
		l.closeSoon(fd, l.conns.gen(fd), has)
		return
	}
	// close(2) takes the descriptor out of the poller as well, since nobody
	// else holds a copy of it.
	_ = unix.Close(fd) // the bytes are out or lost, nothing is left to do about it
}

// Reset closes the connection so that the other side gets a reset.
func (c *Conn) Reset() {
	if c.fd >= 0 {
		_ = unix.SetsockoptLinger(c.FD(), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.Close()
}

// fail closes the connection and tells the handler.
func (c *Conn) fail(err error) {
	if c.fd < 0 {
		return
	}
	h := c.h
	c.Close()
	if h != nil { // nil while Accepted runs, and behind Finish
		h.Closed(c, err)
	}
}
