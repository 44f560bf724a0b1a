package tests

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// patience is how long a client of the tests waits for an answer that should
// come at once; the machine may be busy.
const patience = 15 * time.Second

// client is an IMAP client that says exactly what it is told to. Owned by the
// goroutine of the test: its methods end the test when something fails.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	tag  int
}

// dial connects without TLS and reads nothing.
func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

// dialTLS connects with implicit TLS and reads nothing.
func dialTLS(t testing.TB, addr string, config *tls.Config) *client {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// greeted is dial and the greeting.
func greeted(t testing.TB, addr string) *client {
	t.Helper()
	c := dial(t, addr)
	c.expect("* OK [CAPABILITY ")
	return c
}

// loggedIn is greeted and LOGIN.
func loggedIn(t testing.TB, addr, user string) *client {
	t.Helper()
	c := greeted(t, addr)
	c.ok("LOGIN %s %s", user, password)
	return c
}

// send writes text as it is.
func (c *client) send(text string) {
	c.t.Helper()
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("send %q: %v", short(text), err)
	}
}

// line reads a line, without its CRLF.
func (c *client) line() string {
	c.t.Helper()
	return c.lineWithin(patience)
}

func (c *client) lineWithin(limit time.Duration) string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(limit))
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("got %q, then %v, want a line", s, err)
	}
	return strings.TrimRight(s, "\r\n")
}

// expect reads a line that begins with prefix.
func (c *client) expect(prefix string) string {
	c.t.Helper()
	s := c.line()
	if !strings.HasPrefix(s, prefix) {
		c.t.Fatalf("got line %q, want %q…", s, prefix)
	}
	return s
}

// silent waits for limit and returns what came nevertheless.
func (c *client) silent(limit time.Duration) string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(limit))
	_, err := c.r.Peek(1)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ""
	}
	if err != nil {
		c.t.Fatalf("wait: %v", err)
	}
	b, _ := c.r.Peek(c.r.Buffered()) // it holds that many
	return string(b)
}

// until reads lines to the first that begins with prefix and returns it and
// those before.
func (c *client) until(prefix string) (last string, before []string) {
	c.t.Helper()
	for {
		s := c.line()
		if strings.HasPrefix(s, prefix) {
			return s, before
		}
		before = append(before, s)
	}
}

// do sends a command with a tag of its own and returns the tagged answer,
// without the tag, and the lines before it.
func (c *client) do(format string, args ...any) (answer string, before []string) {
	c.t.Helper()
	c.tag++
	tag := fmt.Sprintf("c%d ", c.tag)
	c.send(tag + fmt.Sprintf(format, args...) + "\r\n")
	answer, before = c.until(tag)
	return strings.TrimPrefix(answer, tag), before
}

// ok is do for a command that must succeed.
func (c *client) ok(format string, args ...any) []string {
	c.t.Helper()
	answer, before := c.do(format, args...)
	if !strings.HasPrefix(answer, "OK") {
		c.t.Fatalf("%s: got %q, want OK", strings.Fields(format)[0], answer)
	}
	return before
}

// refused is do for a command whose answer must begin with want.
func (c *client) refused(want, format string, args ...any) {
	c.t.Helper()
	if answer, _ := c.do(format, args...); !strings.HasPrefix(answer, want) {
		c.t.Fatalf("%s: got %q, want %q…", strings.Fields(format)[0], answer, want)
	}
}

// startTLS changes to TLS.
func (c *client) startTLS(config *tls.Config) {
	c.t.Helper()
	c.ok("STARTTLS")
	conn := tls.Client(c.conn, config)
	conn.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		c.t.Fatalf("TLS handshake behind STARTTLS: %v", err)
	}
	conn.SetDeadline(time.Time{})
	c.conn, c.r = conn, bufio.NewReader(conn)
}

// closed reads to the end of the connection and returns what came before it. A
// reset is an end as well.
func (c *client) closed(limit time.Duration) string {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(limit))
	b, err := io.ReadAll(c.r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("connection still open after %v; got %q", limit, b)
	}
	return string(b)
}

// bye waits for a BYE that contains want and for the end of the connection.
func (c *client) bye(limit time.Duration, want string) {
	c.t.Helper()
	said := c.closed(limit)
	if !strings.HasPrefix(said, "* BYE") && !strings.Contains(said, "\r\n* BYE") || !strings.Contains(said, want) {
		c.t.Fatalf("connection ended with %q, want a BYE with %q", said, want)
	}
}

// alive makes sure that a working session answers.
func (c *client) alive() {
	c.t.Helper()
	c.ok("NOOP")
}

func (c *client) close() { c.conn.Close() }

// logout ends a session as a polite client does: it reads to the end. Closed
// with a byte unread, be it TLS's close_notify, the connection would be reset.
func (c *client) logout() {
	c.t.Helper()
	c.ok("LOGOUT")
	c.closed(patience)
	c.close()
}

// login does a whole LOGIN and LOGOUT and reports errors instead of ending a
// test: goroutines may call it.
func login(addr, user string) error { return leave(addr, user, "b OK") }

// leave does a LOGIN and LOGOUT, whose answer must have a line that begins so.
func leave(addr, user, want string) error {
	conn, err := enter(addr, user)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "b LOGOUT\r\n"); err != nil {
		return err
	}
	return skipTo(bufio.NewReader(conn), want)
}

// enter does a LOGIN and leaves the session open.
func enter(addr, user string) (conn net.Conn, err error) {
	conn, err = net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if err = skipTo(r, "* OK"); err == nil {
		_, err = io.WriteString(conn, "a LOGIN "+user+" "+password+"\r\n")
	}
	if err == nil {
		err = skipTo(r, "a OK")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// skipTo reads lines until one begins with want; a refusal is an error.
func skipTo(r *bufio.Reader, want string) error {
	for {
		s, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("wait for %q: %w", want, err)
		}
		if strings.HasPrefix(s, want) {
			return nil
		}
		if strings.HasPrefix(s, want[:2]) && want[:2] != "* " {
			return fmt.Errorf("got %q, want %q", s, want)
		}
	}
}

func base64String(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
