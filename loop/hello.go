package loop

import (
	"crypto/tls"
	"errors"
	"io"
)

// Feed hands over bytes that were taken from the connection before
// StartServerTLS, as if they came now.
func (c *Conn) Feed(p []byte) {
	if c.fd >= 0 && len(p) > 0 {
		c.received(p)
	}
}

// MaxHello is the longest ClientHello in bytes. It bounds what is kept of a
// client that has not finished its own, and of one that sends ahead during the
// handshake.
const MaxHello = 16 << 10

// HelloComplete reports whether b holds a whole ClientHello, or something that
// cannot become one and may as well be refused now. RFC 8446 section 5.1.
func HelloComplete(b []byte) bool {
	const handshakeType, clientHello = 22, 1
	var msg int     // bytes of handshake message seen
	want := 4       // bytes of it wanted: first its header
	var head []byte // first bytes of the message
	for len(b) > 0 {
		if b[0] != handshakeType {
			return true
		}
		if len(b) < 5 {
			return false
		}
		n := int(b[3])<<8 | int(b[4])
		if n == 0 || n > MaxHello {
			return true
		}
		frag := b[5:min(5+n, len(b))]
		if len(head) < 4 {
			head = append(head, frag[:min(4-len(head), len(frag))]...)
		}
		msg += len(frag)
		if len(head) == 4 {
			if head[0] != clientHello {
				return true
			}
			want = 4 + (int(head[1])<<16 | int(head[2])<<8 | int(head[3]))
		}
		if msg >= want {
			return true
		}
		if len(b) < 5+n {
			return false
		}
		b = b[5+n:]
	}
	return false
}

// ServerName is the name that a whole ClientHello asks for, "" if it asks for
// none or is no ClientHello. RFC 6066 section 3. crypto/tls reads it.
func ServerName(hello []byte) (name string) {
	cfg := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, errRead
	}}
	_ = tls.Server(&recorded{in: hello}, cfg).Handshake() // always errRead, or no hello
	return name
}

var errRead = errors.New("loop: ClientHello was read")

// recorded is a connection of which nothing but its first bytes is there.
type recorded struct {
	pipe
	in []byte
}

func (r *recorded) Read(b []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *recorded) Write(b []byte) (int, error) { return len(b), nil }
