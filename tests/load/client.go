package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"
)

// target is where a client connects to.
type target struct {
	addr string
	tls  *tls.Config // nil is plain
}

// clientTLS is what every client offers, so that every proxy ends up with the
// same handshake and the same cipher: TLS 1.3 with X25519 (Go's default would
// add ML-KEM, which OpenSSL 3.0 lacks). The chain is not verified, to keep the
// client cheap; the handshake's signature is.
func clientTLS(cache tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, ServerName: "localhost", MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: cache,
	}
}

const (
	clientBuffer = 1 << 10         // bytes; also the longest line of an answer
	sinkSize     = 256 << 10       // bytes skipped at once
	clientLife   = 5 * time.Minute // no connection outlives it, so that nothing hangs
	fakePassword = "not-a-password"
)

var (
	errRefused = errors.New("client: refused")
	errAnswer  = errors.New("client: unexpected answer")
)

// client is one IMAP connection, owned by the goroutine that uses it.
type client struct {
	conn net.Conn
	raw  syscall.RawConn // nil with TLS
	r    *bufio.Reader
	out  []byte
}

// dial connects and reads the greeting. The connection fails when life is over.
// r is reused if it is not nil.
func dial(t target, r *bufio.Reader, life time.Duration) (*client, error) {
	d := net.Dialer{KeepAlive: -1, Timeout: life}
	d.SetMultipathTCP(false)
	conn, err := d.Dial("tcp4", t.addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(life))
	c := &client{conn: conn, r: r}
	if t.tls != nil {
		c.conn = tls.Client(conn, t.tls)
	} else {
		c.raw, _ = conn.(*net.TCPConn).SyscallConn()
	}
	if c.r == nil {
		c.r = bufio.NewReaderSize(nil, clientBuffer)
	}
	c.r.Reset(c.conn)
	if err := c.greeting(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) greeting() error {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("client: greeting: %w", err)
	}
	if !bytes.HasPrefix(line, []byte("* OK")) {
		return errRefused
	}
	return nil
}

// resumed says whether the TLS handshake resumed an earlier session.
func (c *client) resumed() bool {
	conn, ok := c.conn.(*tls.Conn)
	return ok && conn.ConnectionState().DidResume
}

// sameTLS reports a handshake that differs from what every proxy must agree on
// for the figures to be comparable.
func (c *client) sameTLS() error {
	conn, ok := c.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	s := conn.ConnectionState()
	if s.Version != tls.VersionTLS13 || s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 || s.CurveID != tls.X25519 {
		return fmt.Errorf("client: TLS handshake agreed on %s, %s, %v",
			tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite), s.CurveID)
	}
	return nil
}

func (c *client) send(line string) error {
	c.out = append(c.out[:0], "a "...)
	c.out = append(c.out, line...)
	c.out = append(c.out, '\r', '\n')
	_, err := c.conn.Write(c.out)
	return err
}

// do sends a command and reads up to its tagged answer, which must be OK.
func (c *client) do(line string) error {
	if err := c.send(line); err != nil {
		return err
	}
	return c.tagged()
}

func (c *client) tagged() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("client: answer: %w", err)
		}
		if !bytes.HasPrefix(line, []byte("a ")) {
			continue
		}
		if !bytes.HasPrefix(line, []byte("a OK")) {
			return fmt.Errorf("%w: %.60q", errAnswer, line)
		}
		return nil
	}
}

func (c *client) login(user int) error {
	c.out = append(c.out[:0], "a LOGIN u"...)
	c.out = strconv.AppendInt(c.out, int64(user), 10)
	c.out = append(c.out, " "+fakePassword+"\r\n"...)
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.tagged()
}

// idle leaves the session in IDLE.
func (c *client) idle() error {
	if err := c.send("IDLE"); err != nil {
		return err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("client: idle: %w", err)
	}
	if line[0] != '+' {
		return fmt.Errorf("%w: %.60q", errAnswer, line)
	}
	return nil
}

// logout sends LOGOUT and waits until the other side has closed: the whole way
// of closing is part of the measured operation.
func (c *client) logout() error {
	if err := c.do("LOGOUT"); err != nil {
		return err
	}
	// How the other side closes is its own affair: some proxies send no
	// close_notify, some reset.
	_, _ = io.Copy(io.Discard, c.r)
	return c.conn.Close()
}

// fetch reads message 1 and returns the size of its body.
func (c *client) fetch(sink []byte) (int, error) {
	if err := c.send("FETCH 1 BODY[]"); err != nil {
		return 0, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, fmt.Errorf("client: fetch: %w", err)
	}
	size, _, ok := literalAtEnd(bytes.TrimRight(line, "\r\n"))
	if !ok {
		return 0, fmt.Errorf("%w: %.60q", errAnswer, line)
	}
	if err := c.skip(size, sink); err != nil {
		return 0, fmt.Errorf("client: literal: %w", err)
	}
	return size, c.tagged()
}

// skip reads and drops n bytes. Plain TCP drops them in the kernel, without a
// copy: the cheaper the client, the more of the machine the proxy has.
func (c *client) skip(n int, sink []byte) error {
	dropped, err := c.r.Discard(min(n, c.r.Buffered()))
	n -= dropped
	if err != nil {
		return err
	}
	if c.raw != nil {
		return skipTCP(c.raw, n, sink)
	}
	for n > 0 {
		m, err := c.conn.Read(sink[:min(n, len(sink))])
		if err != nil {
			return err
		}
		n -= m
	}
	return nil
}

// skipTCP drops n bytes with MSG_TRUNC; tcp(7). sink only lends its length.
func skipTCP(raw syscall.RawConn, n int, sink []byte) error {
	var fault error
	err := raw.Read(func(fd uintptr) bool {
		for n > 0 && fault == nil {
			m, _, err := syscall.Recvfrom(int(fd), sink[:min(n, len(sink))], syscall.MSG_TRUNC|syscall.MSG_DONTWAIT)
			switch {
			case err == syscall.EAGAIN:
				return false
			case err == syscall.EINTR:
			case err != nil:
				fault = err
			case m == 0:
				fault = io.ErrUnexpectedEOF
			default:
				n -= m
			}
		}
		return true
	})
	return errors.Join(err, fault)
}
