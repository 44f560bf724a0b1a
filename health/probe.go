package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const sockerr = "SOCKERR" // no descriptor or port to connect with: the fault is on this side

// Seen is what a probe met at a server that is well.
type Seen struct {
	Check string // "L4OK", "L6OK" or "L7OK"
	Desc  string // more in words; "" is nothing
	Caps  string // capabilities of an IMAP server; "" is none told
}

// fault is a check that failed above the transport layer.
type fault struct {
	check string // "L6TOUT", "L6RSP", "L7TOUT", "L7RSP" or "L7STS"
	desc  string // one line
}

func (f *fault) Error() string { return f.check + ": " + f.desc }

// Target is how a check reaches a server: as logins do.
type Target struct {
	Network, Address string      // net.Dial's: "tcp" and "host:port", or "unix" and a path
	Source           net.Addr    // local address, nil is the kernel's choice
	TLS              *tls.Config // nil is none
	StartTLS         bool        // TLS by STARTTLS
	Preamble         []byte      // sent before anything else: a PROXY header
}

// NewProbe returns a probe of that kind; user and password are for "login".
//
//   - "tcp" connects and hangs up;
//   - "tls" does the TLS handshake too, by STARTTLS where logins do;
//   - "imap" reads the greeting, asks for the capabilities and logs out;
//   - "login" logs in as a test user, selects INBOX and logs out.
func NewProbe(kind string, t Target, user string, password []byte) Probe {
	dialer := net.Dialer{LocalAddr: t.Source, KeepAlive: -1}
	return func(ctx context.Context) (Seen, error) {
		conn, err := dialer.DialContext(ctx, t.Network, t.Address)
		if err != nil {
			return Seen{}, err
		}
		defer conn.Close()
		if deadline, ok := ctx.Deadline(); ok {
			_ = conn.SetDeadline(deadline) // an open connection has deadlines
		}
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
		v := &visit{conn: conn, target: &t, layer: "L4"}
		v.read(conn)
		seen, err := v.look(ctx, kind, user, password)
		if tcp, ok := conn.(*net.TCPConn); ok && !v.left {
			_ = tcp.SetLinger(0) // a reset leaves no port in TIME_WAIT
		}
		return seen, err
	}
}

// Bounds of what a server may say to a check.
const (
	maxLine = 8 << 10  // bytes of a line
	maxTalk = 64 << 10 // bytes in all
)

// visit is one check under way. Owned by its goroutine.
type visit struct {
	conn   net.Conn
	r      *bufio.Reader
	target *Target
	layer  string // what is being tried: "L4", "L6" or "L7"
	left   bool   // the server has closed the connection, or is about to
}

// read takes the server's bytes from r from now on.
func (v *visit) read(r io.Reader) { v.r = bufio.NewReaderSize(io.LimitReader(r, maxTalk), maxLine) }

// look does the check.
func (v *visit) look(ctx context.Context, kind, user string, password []byte) (Seen, error) {
	if len(v.target.Preamble) > 0 {
		if _, err := v.conn.Write(v.target.Preamble); err != nil {
			return Seen{}, v.failed(err)
		}
	}
	switch {
	case kind == "tcp":
		return Seen{Check: "L4OK"}, nil
	case kind == "tls" && !v.target.StartTLS:
		return Seen{Check: "L6OK"}, v.handshake(ctx)
	}
	if v.target.TLS != nil && !v.target.StartTLS {
		if err := v.handshake(ctx); err != nil {
			return Seen{}, err
		}
	}
	m := &mail{visit: v}
	if len(password) > 0 {
		m.secrets = append(m.secrets, password)
	}
	if err := m.greeting(ctx); err != nil || kind == "tls" {
		return Seen{Check: "L6OK"}, err
	}
	if kind == "login" {
		return m.login(user, password)
	}
	return m.capable()
}

// handshake does the TLS handshake.
func (v *visit) handshake(ctx context.Context) error {
	v.layer = "L6"
	if v.target.TLS == nil { // the configuration does not let this be
		return &fault{"L6RSP", "no TLS is configured"}
	}
	conn := tls.Client(v.conn, v.target.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return v.failed(err)
	}
	v.conn = conn
	v.read(conn)
	return nil
}

// failed is an error of the connection in the words of the layer that was
// tried. What the system says of a host is told, what a server says is not.
func (v *visit) failed(err error) error {
	var errno syscall.Errno
	var cert *tls.CertificateVerificationError
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case v.layer == "L4":
		return err
	case timeout:
		return &fault{v.layer + "TOUT", "no answer in time"}
	case errors.As(err, &cert):
		return &fault{v.layer + "RSP", "certificate: " + firstLine(cert.Err.Error())}
	case errors.As(err, &errno):
		return &fault{v.layer + "RSP", errno.Error()}
	case v.layer == "L6":
		return &fault{"L6RSP", "TLS handshake failed"}
	case errors.Is(err, bufio.ErrBufferFull):
		return &fault{"L7RSP", "line too long"}
	}
	return &fault{v.layer + "RSP", "connection closed"}
}

// word is HAProxy's word for the result of a check, with the cause in the
// system's own words.
func word(seen Seen, err error) (check, desc string) {
	var errno syscall.Errno
	var dns *net.DNSError
	var above *fault
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case err == nil:
		return seen.Check, seen.Desc
	case errors.As(err, &above):
		return above.check, above.desc
	case timeout || errors.Is(err, syscall.ETIMEDOUT):
		return "L4TOUT", "connection timed out"
	case errors.As(err, &dns):
		return "L4CON", "name not resolved"
	case !errors.As(err, &errno):
		return "L4CON", "cannot connect"
	case errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.EADDRNOTAVAIL:
		return sockerr, errno.Error()
	}
	return "L4CON", errno.Error()
}
