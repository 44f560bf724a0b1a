package loop

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// target is a server of the standard library on the network, and its address.
func target(t *testing.T, network string) (net.Listener, Addr) {
	t.Helper()
	addr := map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0", "unix": filepath.Join(t.TempDir(), "s")}[network]
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	text := ln.Addr().String()
	if network == "unix" {
		text = "unix:" + text
	}
	to, err := Resolve(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	if to.String() != text {
		t.Errorf("Resolve(%q) = %s", text, to)
	}
	return ln, to
}

// dialOn dials from the first loop of g.
func dialOn(t *testing.T, g *Group, to Addr, source netip.Addr, h Handler) (c *Conn, err error) {
	t.Helper()
	g.Loops[0].Do(func() { c, err = g.Loops[0].Dial(to, source, &SocketConfig{}, h) })
	return c, err
}

func TestDialSpeaksFirst(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			ln, to := target(t, network)
			g := group(t, 1)
			data, eof := make(chan string, 1), make(chan bool, 1)
			h := &connector{connected: func(c *Conn) {
				if !c.Established() {
					t.Error("Established() = false in Connected")
				}
				c.Write([]byte("hello"))
			}}
			h.data = func(_ *Conn, p []byte) { data <- string(p) }
			h.eof = func(c *Conn) { eof <- true; c.Close() }
			if _, err := dialOn(t, g, to, netip.Addr{}, h); err != nil {
				t.Fatal(err)
			}
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			mustRead(t, s, "hello")
			mustWrite(t, s, "welcome")
			if got := wait(t, data, "the answer"); got != "welcome" {
				t.Errorf("data = %q, want welcome", got)
			}
			_ = s.Close()
			wait(t, eof, "EOF")
		})
	}
}

func TestDialListensFirst(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			ln, to := target(t, network)
			g := group(t, 1)
			data := make(chan string, 1)
			h := &script{data: func(_ *Conn, p []byte) { data <- string(p) }}
			if _, err := dialOn(t, g, to, netip.Addr{}, h); err != nil {
				t.Fatal(err)
			}
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close() //nolint:errcheck // a test's server
			mustWrite(t, s, "* OK")
			if got := wait(t, data, "the greeting"); got != "* OK" {
				t.Errorf("data = %q, want * OK", got)
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	t.Parallel()
	for _, network := range networks {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			ln, to := target(t, network)
			_ = ln.Close()
			for _, speaks := range []bool{false, true} {
				g := group(t, 1)
				closed := make(chan error, 2)
				s := script{closed: func(_ *Conn, err error) { closed <- err }}
				var h Handler = &s
				if speaks {
					h = &connector{script: s, connected: func(*Conn) { t.Error("Connected to nobody") }}
				}
				_, err := dialOn(t, g, to, netip.Addr{}, h)
				if err == nil {
					err = wait(t, closed, "Closed")
				} else if !strings.HasPrefix(err.Error(), "loop: dial "+to.String()) {
					t.Errorf("the error %q does not say what failed", err)
				}
				if !IsRefused(err) || IsExhausted(err) || IsTimeout(err) {
					t.Errorf("%v is not taken for a refusal", err)
				}
				if n := conns(g); n != 0 {
					t.Errorf("%d connections left", n)
				}
				none(t, closed, "Closed twice")
			}
		})
	}
}

func TestDialFromSource(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ network, source string }{{"tcp", "127.0.0.7"}, {"tcp6", "::1"}} {
		ln, to := target(t, tc.network)
		g := group(t, 1)
		if _, err := dialOn(t, g, to, netip.MustParseAddr(tc.source), new(script)); err != nil {
			t.Fatal(err)
		}
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().String(); got != tc.source {
			t.Errorf("the server sees %s, want %s", got, tc.source)
		}
		_ = s.Close()
	}
	_, to := target(t, "tcp")
	if _, err := dialOn(t, group(t, 1), to, netip.MustParseAddr("192.0.2.254"), new(script)); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("from another's address: %v, want %v", err, unix.EADDRNOTAVAIL)
	}
}

// unanswered is an address whose connects wait: nobody accepts and the queue
// is full.
func unanswered(t *testing.T) Addr {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	to := AddrFrom(addrPort(sa))
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return to
}

// TestEndWhileConnecting is what a connect timeout does.
func TestEndWhileConnecting(t *testing.T) {
	t.Parallel()
	to := unanswered(t)
	for _, how := range []string{"Close", "Reset", "Finish"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			g := group(t, 1)
			h := &connector{connected: func(*Conn) { t.Error("Connected") }}
			h.closed = func(_ *Conn, err error) { t.Errorf("Closed(%v)", err) }
			c, err := dialOn(t, g, to, netip.Addr{}, h)
			if err != nil {
				t.Fatal(err)
			}
			g.Loops[0].Do(func() {
				if c.Established() {
					t.Error("established, the test tests nothing")
				}
				ending(c, how)
			})
			eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
		})
	}
}

// TestLateEventWhileConnecting: what a poller tells of a descriptor's former
// connection is not taken for the answer to a connect.
func TestLateEventWhileConnecting(t *testing.T) {
	t.Parallel()
	to := unanswered(t)
	g := group(t, 1)
	l := g.Loops[0]
	h := &connector{connected: func(*Conn) { t.Error("Connected") }}
	h.closed = func(_ *Conn, err error) { t.Errorf("Closed(%v)", err) }
	c, err := dialOn(t, g, to, netip.Addr{}, h)
	if err != nil {
		t.Fatal(err)
	}
	l.Do(func() {
		if l.ring != nil {
			l.complete(cqe{user: tag(ofWritable, l.conns.gen(c.FD())-1, c.FD())})
		} else {
			_ = l.event(c.FD(), unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP, 0) // always nil
		}
		if c.mode&connecting == 0 {
			t.Error("the connection stands, though nobody has answered")
		}
		c.Close()
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"127.0.0.1:143", "127.0.0.1:143"},
		{"[::ffff:127.0.0.1]:143", "127.0.0.1:143"},
		{"[2001:db8::1]:993", "[2001:db8::1]:993"},
		{"unix:/run/imap", "unix:/run/imap"},
		{"unix:" + strings.Repeat("x", 107), "unix:" + strings.Repeat("x", 107)},
		{"unix:" + strings.Repeat("x", 108), ""},
		{"unix:", ""},
		{"127.0.0.1", ""},
		{"127.0.0.1:65536", ""},
		{"127.0.0.1:-1", ""},
		{"127.0.0.1:imap", ""},
		{"", ""},
	} {
		a, err := Resolve(t.Context(), tc.in)
		if got := a.String(); got != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("Resolve(%q) = %q, %v; want %q", tc.in, got, err, tc.want)
		}
	}
}

// The zero Addr is nowhere.
func TestDialNowhere(t *testing.T) {
	t.Parallel()
	if _, err := (&Loop{}).Dial(Addr{}, netip.Addr{}, nil, nil); !IsRefused(err) {
		t.Errorf("dial of no address: %v", err)
	}
}
