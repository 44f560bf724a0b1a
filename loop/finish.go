package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

// Finish sends what is kept and our end, then waits a moment for the other
// side's end before it closes, so that a reset cannot overtake the last bytes.
// The handler hears no more of the connection.
func (c *Conn) Finish() {
	if c.fd < 0 {
		return
	}
	c.h = nil // what is sent below may fail
	c.flush()
	if c.tls != nil && c.tls.hs != nil {
		c.Close()
		return
	}
	if c.tls == nil && c.out == nil && c.mode&gotEOF != 0 {
		c.Close() // says our end as well
		return
	}
	c.CloseWrite()
	if c.fd < 0 || c.Done() {
		c.Close()
		return
	}
	f := &finish{conn: c, left: maxLinger}
	c.h = f
	c.mode &^= paused
	c.rewant()
	if c.fd >= 0 {
		c.loop.SetTimer(&f.timer, time.Now().Add(lingerTime), f)
	}
}

// FinishQuiet is Finish for when the other side is known to have nothing more
// to say. If indeed nothing of it waits unread, the connection is closed at
// once, which says our end as well.
func (c *Conn) FinishQuiet() {
	if c.fd < 0 {
		return
	}
	c.h = nil
	c.flush()
	if c.out == nil && c.mode&(gotEOF|sentEOF) == 0 && (c.tls == nil || c.tls.hs == nil) {
		if n, err := unix.IoctlGetInt(c.FD(), unix.SIOCINQ); err == nil && n == 0 {
			c.closeNotify()
			c.flush()
			if c.out == nil {
				c.Close()
				return
			}
		}
	}
	c.Finish()
}

// closeNotify says the end of our bytes under TLS.
func (c *Conn) closeNotify() {
	if c.tls != nil && c.tls.hs == nil {
		_ = c.tls.conn.CloseWrite() // an error means that the connection breaks soon anyway
		c.flushTLS()
	}
}

const (
	lingerTime = 2 * time.Second
	maxLinger  = 256 << 10 // bytes of a talkative client that are thrown away
)

// finish throws away what still comes on a finished connection.
type finish struct {
	conn  *Conn
	timer Timer
	left  int
}

func (f *finish) Data(_ *Conn, p []byte) {
	if f.left -= len(p); f.left < 0 {
		f.conn.Pause() // the timer closes it; a reset now could overtake the last bytes
	}
}

func (f *finish) EOF(c *Conn) {
	if c.Done() {
		f.end()
	}
}

func (f *finish) Drained(c *Conn)       { f.EOF(c) }
func (f *finish) Closed(*Conn, error)   { f.conn.loop.StopTimer(&f.timer) }
func (f *finish) Expired(now time.Time) { f.conn.Close() }

func (f *finish) end() {
	f.conn.loop.StopTimer(&f.timer)
	f.conn.Close()
}
