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

// HelloComplete reports whether b holds a whole ClientHello, or something that
// cannot become one. A hello has at most MaxHello bytes.
func HelloComplete(b []byte) bool { return helloComplete(b) }

// MaxHello is the longest ClientHello in bytes.
const MaxHello = maxHello

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
