package loop

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// tlsState is the TLS of a connection. Owned by the loop, but for hs while its
// goroutine runs.
type tlsState struct {
	conn *tls.Conn
	pipe pipe
	hs   *handshake // nil once the handshake is done
	eof  bool       // the other side's close_notify was seen
}

// pipe is the net.Conn below a tls.Conn. crypto/tls leaves a connection usable
// if Read returns a temporary timeout, and wants Write to take everything.
type pipe struct {
	loop *Loop
	hs   *handshake // while the handshake runs, it does the reading and writing
	in   []byte     // records that crypto/tls has not asked for yet
}

// errLater tells crypto/tls that there is nothing to read at present. It keeps
// only errors that are not temporary.
var errLater net.Error = laterError{}

type laterError struct{}

func (laterError) Error() string   { return "loop: nothing to read yet" }
func (laterError) Timeout() bool   { return true }
func (laterError) Temporary() bool { return true }

func (p *pipe) Read(b []byte) (int, error) {
	if p.hs != nil {
		return p.hs.read(b)
	}
	if len(p.in) == 0 {
		return 0, errLater
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.hs != nil {
		return p.hs.write(b)
	}
	p.loop.out = append(p.loop.out, b...)
	return len(b), nil
}

func (p *pipe) Close() error                     { return nil }
func (p *pipe) LocalAddr() net.Addr              { return nil }
func (p *pipe) RemoteAddr() net.Addr             { return nil }
func (p *pipe) SetDeadline(time.Time) error      { return nil }
func (p *pipe) SetReadDeadline(time.Time) error  { return nil }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// received decrypts what came and hands it on. What a pause leaves over is
// kept, at most one read's worth.
func (t *tlsState) received(c *Conn, p []byte) {
	if len(t.pipe.in) > 0 { // cannot be unless a Resume is under way
		p = append(t.pipe.in[:len(t.pipe.in):len(t.pipe.in)], p...)
	}
	t.pipe.in = p
	t.deliver(c)
	if len(t.pipe.in) > 0 {
		t.pipe.in = append([]byte(nil), t.pipe.in...)
	} else {
		t.pipe.in = nil
	}
}

// deliver hands on what is decrypted until there is no more or the connection
// is paused.
func (t *tlsState) deliver(c *Conn) {
	for c.fd >= 0 && c.mode&paused == 0 && !t.eof {
		n, err := t.conn.Read(c.loop.plain)
		if n > 0 {
			c.flushTLS() // what crypto/tls answered by itself; Data may write elsewhere
			c.h.Data(c, c.loop.plain[:n])
		}
		switch {
		case err == nil, c.fd < 0:
		case errors.Is(err, errLater):
			return
		case errors.Is(err, io.EOF):
			t.eof = true
			t.pipe.in = nil
			c.loop.settleAll() // Data may have written a moment ago, and EOF asks for Pending
			c.eof()
			return
		default:
			c.flushTLS() // the alert that crypto/tls wrote
			c.fail(err)
			return
		}
	}
}

// flushTLS writes the records that crypto/tls produced in this call.
func (c *Conn) flushTLS() {
	l := c.loop
	if len(l.out) == 0 {
		return
	}
	out := l.out
	l.out = l.out[:0]
	if c.fd >= 0 {
		c.write(out)
	}
	// One huge write must not hold its memory for ever.
	if cap(l.out) > 4*readSize {
		l.out = nil
	}
}

// TLSInfo is what the log and the session want to know of a connection's TLS.
type TLSInfo struct {
	Version    uint16 // as crypto/tls numbers them, 0 for none
	Resumed    bool
	ServerName string
	ALPN       string
	PeerCert   *x509.Certificate // the other side's, nil if it has shown none
}

// TLS describes the connection's TLS once the handshake is done. It is not
// cheap: call it once.
func (c *Conn) TLS() TLSInfo {
	if c.tls == nil || c.tls.hs != nil {
		return TLSInfo{}
	}
	s := c.tls.conn.ConnectionState()
	i := TLSInfo{Version: s.Version, Resumed: s.DidResume, ServerName: s.ServerName, ALPN: s.NegotiatedProtocol}
	if len(s.PeerCertificates) > 0 {
		i.PeerCert = s.PeerCertificates[0]
	}
	return i
}

// IsTimeout reports whether err is the kernel's or a TLS timeout.
func IsTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}

// Handshaking reports whether a TLS handshake is under way.
func (c *Conn) Handshaking() bool { return c.tls != nil && c.tls.hs != nil }
