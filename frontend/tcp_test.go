package frontend

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// raw is a plan for mode tcp.
func raw(addrs ...string) plan {
	return plan{addrs: addrs, config: Config{Mode: modeTCP, TLS: "none"}, key: "src"}
}

// echo is a server that speaks first, then says back what it hears, and goes on
// after the client's end.
func echo(t *testing.T, greeting string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveEach(t, ln, func(c net.Conn) {
		_, _ = io.WriteString(c, greeting)
		_, _ = io.Copy(c, c)
		_, _ = io.WriteString(c, "bye")
	})
}

// serveEach has f talk with each client until the test ends, and returns the
// address.
func serveEach(t *testing.T, ln net.Listener, f func(net.Conn)) string {
	done := make(chan struct{})
	go func() { // ends with the listener
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the client
				defer c.Close() //nolint:errcheck // the test is over with it
				_ = c.SetDeadline(time.Now().Add(3 * patience))
				f(c)
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// Whoever speaks first, the bytes go through as they are, and so do the ends.
func TestTCP(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	text := strings.Repeat("* BYE {5}\r\n\x00\xff no IMAP", 10_000)
	for _, mode := range []string{"none", "implicit"} {
		for _, first := range []string{"server", "client"} {
			t.Run(mode+" "+first, func(t *testing.T) {
				t.Parallel()
				hello := ""
				if first == "server" {
					hello = "220 hello\r\n"
				}
				p := raw(echo(t, hello))
				p.config.TLS, p.tls = mode, server
				r := newRig(t, p)
				c := r.dial()
				end := c.Conn.(*net.TCPConn).CloseWrite
				if mode == "implicit" {
					end = c.secure(cfg).CloseWrite
				}
				if hello != "" {
					c.want(hello)
				}
				go func() { // the answer is read meanwhile
					c.send(text)
					_ = end()
				}()
				if got := c.gone(); got != text+"bye" {
					t.Errorf("%d bytes came back, want %d", len(got), len(text)+3)
				}
				_ = c.Close()
				log := r.ended("closed")
				if log["state"] != "--" || log["srv"] != "s1" || log["in"] != float64(len(text)) || log["user"] != nil {
					t.Errorf("logged %v", log)
				}
			})
		}
	}
}

// Nothing is ever put into a stream that is not IMAP.
func TestTCPIsNotTold(t *testing.T) {
	r := newRig(t, raw(echo(t, "hello\r\n")))
	c := r.dial()
	c.want("hello")
	r.e.CloseServer(r.be.Servers()[0], 0, 0)
	if said := c.gone(); said != "" {
		t.Errorf("it was told %q", said)
	}
}

// A source keeps its server, whatever port it comes from.
func TestTCPSticks(t *testing.T) {
	p := raw(echo(t, "one\r\n"), echo(t, "two\r\n"))
	p.balance = "roundrobin"
	r := newRig(t, p)
	first := r.dial()
	line := first.line()
	for range 4 {
		c := r.dial()
		c.want(line)
		_ = c.Close()
	}
	_ = first.Close()
	if e, ok := r.table.Lookup(time.Now(), "127.0.0.1"); !ok || e.Server == "" {
		t.Errorf("the table has %+v, %v", e, ok)
	}
}

// A connect that fails is tried again and then elsewhere; without a server the
// connection is closed.
func TestTCPServerAway(t *testing.T) {
	r := newRig(t, raw("127.0.0.1:1"))
	c := r.dial()
	if said := c.gone(); said != "" {
		t.Errorf("it was told %q", said)
	}
	if end := r.ended("connect_refused: connection refused"); end["state"] != "SC" || end["srv"] != "s1" {
		t.Errorf("logged %v", end)
	}
	r.be.Servers()[0].SetAdmin(time.Now(), balancer.Maint)
	r.dial().gone()
	if end := r.ended("no_server"); end["state"] != "SC" {
		t.Errorf("logged %v", end)
	}
}

// secret is a TLS server of that name which says it.
func secret(t *testing.T, name string) (addr string, client *tls.Config) {
	t.Helper()
	server, client := certificate(t, name)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	return serveEach(t, ln, func(c net.Conn) {
		_, _ = io.WriteString(c, name+"\r\n")
		_, _ = io.Copy(io.Discard, c)
	}), client
}

// backend adds a backend with one server to a rig.
func (r *rig) backend(name, addr string, table *sticktable.Table) *Backend {
	r.t.Helper()
	b := balancer.NewBackend(time.Now(), name, 9, balancer.Setup{
		Config: balancer.Config{Balance: "hash"}, Table: table,
		Servers: []balancer.ServerSpec{{Name: "t1", Config: balancer.DefaultServerConfig()}},
	})
	sc, cfg := upstream.DefaultServerConfig(), upstream.Config{TimeoutConnect: patience, TimeoutLogin: patience}
	sc.Addr = addr
	target, err := upstream.NewTarget(r.t.Context(), &cfg, &sc, r.e.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	return NewBackend(b, map[*balancer.Server]*upstream.Target{b.Servers()[0]: target}, time.Hour)
}

// The name in the ClientHello chooses the backend, in whatever pieces it comes,
// and the server does the handshake itself.
func TestTCPPassesTLSOn(t *testing.T) {
	a, cfgA := secret(t, "a.test")
	b, cfgB := secret(t, "b.test")
	p := raw(a)
	p.limits.HandshakeTimeout = 200 * time.Millisecond
	r := newRig(t, p)
	s := r.set
	s.Config.UseBackend = []Route{{SNI: "*.B.test", Backend: "nowhere"}, {SNI: "B.*", Backend: "b"}}
	s.Backends = map[string]*Backend{"b": r.backend("b", b, nil)}
	r.fe.Update(s)
	for _, size := range []int{1, 100, 1 << 20} {
		for name, cfg := range map[string]*tls.Config{"a.test": cfgA, "b.test": cfgB} {
			c := r.dial()
			c.Conn = &prefixed{Conn: c.Conn, size: size}
			c.secure(cfg)
			c.want(name)
			_ = c.Close()
		}
	}
	t.Run("no TLS goes to the default", func(t *testing.T) {
		c := r.dial()
		c.send("EHLO me\r\n")
		c.gone()
		_ = c.Close()
		r.eventually("nine bytes went there", func() bool {
			return r.be.Servers()[0].Bin.Load() > 0 && slices.ContainsFunc(r.logs.lines(t), func(l map[string]any) bool {
				return l["in"] == float64(len("EHLO me\r\n")) && l["be"] == "mail"
			})
		})
	})
	t.Run("half a hello is given up", func(t *testing.T) {
		c := r.dial()
		c.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
		if said := c.gone(); said != "" {
			t.Errorf("it was told %q", said)
		}
		r.ended("tls_timeout")
	})
	t.Run("an endless hello too", func(t *testing.T) {
		c := r.dial()
		c.send("\x16\x03\x01\x40\x00\x01\x00\xff\xfc" + strings.Repeat("x", 16<<10-4) + "\x16\x03\x01\x40\x00" + strings.Repeat("x", 10))
		_, _ = io.Copy(io.Discard, c.Conn) // the end, or a reset
		r.ended("tls_handshake")
	})
	t.Run("who waits for the server gets the default", func(t *testing.T) {
		c := r.dial()
		r.eventually("it is connected", func() bool {
			s, ok := r.session(func(s Session) bool { return s.State == "relay" })
			return ok && s.Backend == "mail"
		})
		_ = c.Close()
	})
}

// Sessions on a reload's new backends keep the timeouts of their own backend.
func TestRoutes(t *testing.T) {
	d, other := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	s := r.set
	s.Config.Route = []Route{{Domain: "example.org", Backend: "other"}, {User: "Admin*", Src: []string{"127.0.0.0/8"}, Backend: "other"}, {User: "bob", Bind: "elsewhere", Backend: "other"}}
	s.Backends = map[string]*Backend{"other": r.backend("other", other.addr(), nil)}
	r.fe.Update(s)
	for user, want := range map[string]string{"alice": "mail", "Alice@Example.ORG": "other", "administrator": "other", "bob": "mail", "x@sub.example.org": "mail"} {
		c := r.greeted()
		c.login(user)
		got, ok := r.session(func(s Session) bool { return s.User == strings.ToLower(user) })
		if !ok || got.Backend != want {
			t.Errorf("%s is on %+v, want %s", user, got, want)
		}
		_ = c.Close()
	}
}

// A route's tag keeps its users on servers that have it, and moves those who
// have no session; a route without one does not.
func TestRouteByTag(t *testing.T) {
	one, two := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{one.addr(), two.addr()}, balance: "first", tags: [][]string{{"hdd"}, {"ssd"}}})
	s := r.set
	s.Config.Route = []Route{{User: "a*", Backend: "mail", Tag: "ssd"}}
	s.Backends = map[string]*Backend{"mail": r.be}
	on := func(user, want string) *client {
		c := r.greeted()
		c.login(user)
		if got, ok := r.session(func(s Session) bool { return s.User == user }); !ok || got.Server != want {
			t.Errorf("%s is on %+v, want %s", user, got, want)
		}
		return c
	}
	early := on("alice", "s1")
	r.fe.Update(s)
	on("bob", "s1")
	on("anna", "s2")
	on("alice", "s1") // he has a session there
	r.e.Kick("alice")
	early.want("* BYE")
	r.eventually("alice's sessions end", func() bool {
		e, _ := r.table.Lookup(time.Now(), "alice")
		return e.Sessions == 0
	})
	on("alice", "s2")
}

func TestRouteHolds(t *testing.T) {
	r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}})
	q := Question{User: "alice@example.org", SNI: "Imap.Example.org.", Bind: ":143", Source: netip.MustParseAddr("::ffff:127.0.0.1")}
	for _, c := range []struct {
		route Route
		want  bool
	}{
		{Route{User: "alice*"}, true}, {Route{User: "ALICE@*"}, true}, {Route{User: "bob*"}, false},
		{Route{Domain: "example.org"}, true}, {Route{Domain: "*.org"}, true}, {Route{Domain: "example"}, false},
		{Route{SNI: "imap.example.org"}, true}, {Route{SNI: "*.example.org"}, true}, {Route{SNI: "example.org"}, false},
		{Route{Bind: ":143"}, true}, {Route{Bind: ":993"}, false},
		{Route{Src: []string{"10.0.0.0/8", "127.0.0.1"}}, true}, {Route{Src: []string{"10.0.0.0/8"}}, false},
		{Route{User: "alice*", SNI: "imap.*", Bind: ":993"}, false}, {Route{User: "alice*", SNI: "imap.*", Bind: ":143"}, true},
	} {
		s := r.set
		c.route.Backend = "mail"
		s.Config.Route, s.Backends = []Route{c.route}, map[string]*Backend{"mail": r.be}
		r.fe.Update(s)
		if _, n := r.fe.Route(q); (n == 1) != c.want {
			t.Errorf("%+v: route %d, want it to hold: %v", c.route, n, c.want)
		}
	}
	if be, n := r.fe.Route(Question{}); be != r.be || n != 0 {
		t.Error(fmt.Sprint("who fits no route does not go to the default, but by route ", n))
	}
}

// A connection for a full server waits for its place, as a login does.
func TestTCPQueues(t *testing.T) {
	r := newRig(t, raw(echo(t, "hello\r\n")))
	s := balancer.DefaultServerConfig()
	s.Maxconn = 1
	cfg := r.be.Config()
	cfg.TimeoutQueue = patience
	r.be.Update(time.Now(), balancer.Setup{Config: cfg, Table: r.table, Servers: []balancer.ServerSpec{{Name: "s1", Config: s}}})
	first := r.dial()
	first.want("hello")
	second := r.dial()
	second.send("early")
	r.eventually("the second one waits", func() bool {
		_, ok := r.session(func(s Session) bool { return s.State == "queue" })
		return ok
	})
	_ = first.Close()
	second.want("hello")
	_ = second.Close()
}

// Ways are what an operator is told of a user whose connection is not there.
func TestWays(t *testing.T) {
	r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}})
	other := r.backend("other", "127.0.0.1:1", nil)
	s := r.set
	s.Config.Route = []Route{{SNI: "A.test", User: "a*", Backend: "other"}, {Domain: "example.org", Backend: "other", Tag: "ssd"}, {Src: []string{"10.0.0.0/8"}, Bind: ":143", Backend: "other"}}
	s.Backends = map[string]*Backend{"other": other}
	r.fe.Update(s)
	for user, want := range map[string]string{
		"alice@example.org": "other 1 sni = a.test; other 2 ssd; ", "bob@example.org": "other 2 ssd; ",
		"bob": "other 3 src in [10.0.0.0/8], bind = :143; mail 0 ; ",
	} {
		got := ""
		for _, w := range r.fe.Ways(Question{User: user}) {
			got += fmt.Sprint(w.Backend.Name, " ", w.Route, " ", w.If, w.Tag, "; ")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", user, got, want)
		}
	}
}

// A name keeps its server, whoever asks for it and however it is written.
func TestTCPSticksBySNI(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	p := raw(echo(t, "one\r\n"), echo(t, "two\r\n"))
	p.balance, p.key, p.tls, p.config.TLS = "roundrobin", "sni", server, "implicit"
	r := newRig(t, p)
	line := ""
	for _, name := range []string{"imap.test", "IMAP.test", "imap.test"} {
		c := r.dial()
		cfg.ServerName = name
		c.secure(cfg)
		if line == "" {
			line = c.line()
		} else {
			c.want(line)
		}
		_ = c.Close()
	}
	if _, ok := r.table.Lookup(time.Now(), "imap.test"); !ok {
		t.Error("the table has no entry of the name")
	}
}
