package frontend

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// imapd is an IMAP server as far as the tests need one. Shared: any goroutine may call any method.
type imapd struct {
	t  *testing.T
	ln net.Listener
	wg sync.WaitGroup

	open   atomic.Int64 // connections now
	logins atomic.Int64 // good ones

	mu    sync.Mutex                     // guards the fields below
	greet func()                         // called before the greeting, if set
	login func(user, pass string) string // the answer to a login; "" is the good one
	got   []byte                         // what all clients sent behind their logins
	conns []net.Conn
}

const (
	serverCaps = "IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN"
	loggedIn   = "L OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n"
)

func newServer(t *testing.T, addr string) *imapd {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &imapd{t: t, ln: ln}
	d.wg.Add(1)
	go d.serve()
	t.Cleanup(func() {
		_ = ln.Close()
		d.hangUp()
		d.wg.Wait()
	})
	return d
}

func (d *imapd) onGreet(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.greet = f
}

func (d *imapd) onLogin(f func(user, pass string) string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.login = f
}

// hangUp closes all connections.
func (d *imapd) hangUp() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		_ = c.Close()
	}
}

func (d *imapd) addr() string { return d.ln.Addr().String() }

func (d *imapd) serve() {
	defer d.wg.Done()
	for {
		c, err := d.ln.Accept()
		if err != nil {
			return
		}
		d.mu.Lock()
		d.conns = append(d.conns, c)
		d.mu.Unlock()
		d.open.Add(1)
		d.wg.Add(1)
		go d.client(c)
	}
}

func (d *imapd) client(c net.Conn) {
	defer d.wg.Done()
	defer d.open.Add(-1)
	defer c.Close() //nolint:errcheck // the test is over with it
	_ = c.SetDeadline(time.Now().Add(3 * patience))
	in := bufio.NewReader(c)
	d.mu.Lock()
	greet := d.greet
	d.mu.Unlock()
	if greet != nil {
		greet()
	}
	_, _ = io.WriteString(c, "* OK [CAPABILITY "+serverCaps+"] ready\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if tag != "L" {
			_, _ = io.WriteString(c, tag+" OK done\r\n")
			continue
		}
		if d.answerLogin(c, rest) {
			d.relay(c, in)
			return
		}
	}
}

// answerLogin reports whether the client is in.
func (d *imapd) answerLogin(c net.Conn, line string) bool {
	f := strings.Fields(line)
	d.mu.Lock()
	login := d.login
	d.mu.Unlock()
	answer := ""
	if login != nil && len(f) == 3 {
		answer = login(strings.Trim(f[1], `"`), strings.Trim(f[2], `"`))
	}
	if answer == "" {
		answer = loggedIn
	}
	in := strings.Contains(answer, "L OK")
	if in {
		d.logins.Add(1)
	}
	_, _ = io.WriteString(c, answer)
	return in
}

// relay answers every line with its tag and OK, LOGOUT with a BYE before it.
func (d *imapd) relay(c net.Conn, in *bufio.Reader) {
	for {
		line, err := in.ReadBytes('\n')
		d.mu.Lock()
		d.got = append(d.got, line...)
		d.mu.Unlock()
		if err != nil {
			return
		}
		tag, rest, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		if string(rest) == "LOGOUT" {
			_, _ = io.WriteString(c, "* BYE\r\n"+string(tag)+" OK\r\n")
			return
		}
		_, _ = io.WriteString(c, string(tag)+" OK\r\n")
	}
}

// received is what all clients have sent behind their logins.
func (d *imapd) received() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.got)
}

// client is the client's side of a connection.
type client struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, s); err != nil {
		c.t.Fatalf("client cannot send: %v", err)
	}
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatalf("client got %q: %v", s, err)
	}
	return s
}

// want reads a line that begins so.
func (c *client) want(prefix string) string {
	c.t.Helper()
	s := c.line()
	if !strings.HasPrefix(s, prefix) {
		c.t.Fatalf("client got %q, want %q", s, prefix)
	}
	return s
}

// login logs in and wants it to work.
func (c *client) login(user string) {
	c.t.Helper()
	c.send("l LOGIN " + user + " " + secretWord + "\r\n")
	c.want("l OK ")
}

// gone waits for the end of the connection, reset or not, and returns what
// came before it.
func (c *client) gone() string {
	c.t.Helper()
	b, err := io.ReadAll(c.in)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		c.t.Fatalf("still connected after %q", b)
	}
	return string(b)
}
