package loop

import "golang.org/x/sys/unix"

// Write sends p, encrypted if the connection is under TLS. It never refuses:
// what the socket does not take is kept, and Drained called when it is gone.
// So who writes must stop its source while Pending is not zero. After Finish,
// CloseWrite or a failure it does nothing.
func (c *Conn) Write(p []byte) {
	if c.fd < 0 || c.mode&sentEOF != 0 || len(p) == 0 {
		return
	}
	if c.tls == nil {
		c.write(p)
		return
	}
	if c.tls.hs != nil {
		return // nobody could read it
	}
	// The collector below takes everything, so the error can only be TLS's
	// own, which is final.
	if _, err := c.tls.conn.Write(p); err != nil {
		c.fail(err)
		return
	}
	c.flushTLS()
}

// write sends raw bytes, and keeps what is refused.
func (c *Conn) write(p []byte) {
	if c.out != nil {
		c.out.b = append(c.out.b, p...)
		return
	}
	if c.loop.ring != nil && c.loop.enqueue(c, p) {
		return
	}
	n, err := writeFD(c.FD(), p)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		c.fail(err)
		return
	}
	if n < len(p) {
		c.keep(p[n:])
	}
}

// keep has bytes wait until the socket takes them.
func (c *Conn) keep(rest []byte) {
	if len(rest) > readSize/16 {
		c.out = &pending{b: append(c.loop.buffer(), rest...)}
	} else {
		c.out = &pending{b: append(make([]byte, 0, len(rest)), rest...)}
	}
	c.rewant()
}

// writable goes on with what was kept.
func (c *Conn) writable() {
	if c.mode&connecting != 0 && !c.connected() {
		return
	}
	out := c.out
	if out == nil {
		return
	}
	n, err := writeFD(c.FD(), out.b[out.sent:])
	if err != nil {
		if err != unix.EAGAIN && err != unix.EINTR {
			c.fail(err)
		}
		return
	}
	if out.sent += n; out.sent < len(out.b) {
		return
	}
	c.dropOut()
	if c.mode&sentEOF != 0 {
		c.shutdown()
	}
	// Drained often fills out again at once; the poller is told once, behind it.
	c.h.Drained(c)
	c.rewant()
}

func (c *Conn) dropOut() {
	if c.out != nil {
		c.loop.release(c.out.b)
		c.out = nil
	}
}

// CloseWrite sends the end of our bytes, behind those still kept. Under TLS
// the close_notify goes before it. RFC 8446 section 6.1.
func (c *Conn) CloseWrite() {
	if c.fd < 0 || c.mode&sentEOF != 0 {
		return
	}
	c.closeNotify()
	if c.fd < 0 {
		return
	}
	c.flush()
	c.mode |= sentEOF
	if c.out == nil {
		c.shutdown()
	}
}

func (c *Conn) shutdown() {
	// ENOTCONN: the other side has reset it; reading will tell.
	_ = unix.Shutdown(c.FD(), unix.SHUT_WR)
}
