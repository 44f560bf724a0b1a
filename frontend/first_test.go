package frontend

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imaplb/proxyproto"
)

// fromClient is the header of a proxy for a client at 192.0.2.1.
func fromClient(version string, more func(*proxyproto.Header)) string {
	h := proxyproto.Header{Source: netip.MustParseAddrPort("192.0.2.1:4711"), Dest: netip.MustParseAddrPort("192.0.2.9:993")}
	if more != nil {
		more(&h)
	}
	return string(proxyproto.Append(nil, version, &h))
}

// proxied accepts headers from the clients of the tests.
func proxied(mode string) Config {
	return Config{TLS: mode, RequireTLS: mode == "starttls", AcceptProxy: []string{"127.0.0.0/8"}, ProxyTimeout: patience}
}

// The client of a PROXY header is the client everywhere, in whatever pieces the
// header comes and whatever comes with it.
func TestProxyHeader(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	for _, mode := range []string{"none", "implicit"} {
		for _, version := range []string{"v1", "v2"} {
			for _, size := range []int{1, 7, 1 << 20} {
				t.Run(fmt.Sprint(mode, version, size), func(t *testing.T) {
					t.Parallel()
					d := newServer(t, "127.0.0.1:0")
					r := newRig(t, plan{addrs: []string{d.addr()}, config: proxied(mode), tls: server})
					c := r.dial()
					if mode == "implicit" {
						// The ClientHello comes in one piece with the header.
						c.Conn = &prefixed{Conn: c.Conn, first: fromClient(version, nil), size: size}
						c.secure(cfg)
					} else {
						all := fromClient(version, nil) + "l LOGIN alice " + secretWord + "\r\n"
						for from := 0; from < len(all); from += size {
							c.send(all[from:min(from+size, len(all))])
						}
					}
					c.want("* OK ")
					if mode == "implicit" {
						c.login("alice")
					} else {
						c.want("l OK ")
					}
					s, ok := r.session(func(s Session) bool { return s.State == "relay" })
					if !ok || s.Src != "192.0.2.1:4711" {
						t.Errorf("listed as %+v", s)
					}
					_ = c.Close()
					if end := r.ended("client_closed"); end["src"] != "192.0.2.1:4711" {
						t.Errorf("logged %v", end)
					}
				})
			}
		}
	}
}

// prefixed sends first in front of the first write, in pieces of size.
type prefixed struct {
	net.Conn
	first string
	size  int
}

func (p *prefixed) Write(b []byte) (int, error) {
	all := append([]byte(p.first), b...)
	p.first = ""
	for len(all) > 0 {
		n, err := p.Conn.Write(all[:min(p.size, len(all))])
		if err != nil {
			return 0, err
		}
		all = all[n:]
	}
	return len(b), nil
}

// A client whose TLS a proxy has ended may log in without another, and the
// server hears of it.
func TestProxyHeaderTLS(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, config: proxied("starttls"), tls: server})
	c := r.dial()
	c.send(fromClient("v2", func(h *proxyproto.Header) { h.TLS, h.TLSVersion, h.ServerName = true, "TLSv1.3", "imap.test" }))
	if greeting := c.want("* OK "); strings.Contains(greeting, "STARTTLS") || strings.Contains(greeting, "LOGINDISABLED") {
		t.Errorf("greeting %q", greeting)
	}
	c.login("alice")
	_ = c.Close()
	if end := r.ended("client_closed"); end["tls"] != "TLSv1.3" {
		t.Errorf("logged %v", end)
	}

	plain := r.dial() // and one whose TLS nobody vouches for must not
	plain.send(fromClient("v2", nil))
	if greeting := plain.want("* OK "); !strings.Contains(greeting, "LOGINDISABLED") {
		t.Errorf("greeting %q", greeting)
	}
	_ = plain.Close()
}

// The name that a proxy's client asked for chooses his backend as one that is
// asked for here would.
func TestProxyHeaderName(t *testing.T) {
	d, other := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, config: proxied("none")})
	s := r.set
	s.Config.Route = []Route{{SNI: "imap.example.org", Backend: "other"}}
	s.Backends = map[string]*Backend{"other": r.backend("other", other.addr(), nil)}
	r.fe.Update(s)
	for name, want := range map[string]string{"IMAP.example.org": "other", "example.org": "mail", "": "mail"} {
		c := r.dial()
		c.send(fromClient("v2", func(h *proxyproto.Header) { h.TLS, h.ServerName = true, name }))
		c.want("* OK ")
		c.login("alice")
		if got, ok := r.session(func(s Session) bool { return s.State == "relay" }); !ok || got.Backend != want {
			t.Errorf("who asked for %q is on %+v, want %s", name, got, want)
		}
		_ = c.Close()
		r.eventually("he has left", func() bool { return r.e.Conns.Load() == 0 })
	}
}

// A proxy's own connection keeps its address.
func TestProxyHeaderLocal(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}, config: proxied("none")})
		c := r.dial()
		c.send(string(proxyproto.AppendLocal(nil, version)))
		c.want("* OK ")
		_ = c.Close()
		if end := r.ended("client_closed"); !strings.HasPrefix(fmt.Sprint(end["src"]), "127.0.0.1:") {
			t.Errorf("logged %v", end)
		}
	}
}

// What is no header where one must stand, and a header where none may, closes
// the connection without a word and is counted.
func TestBadProxyHeader(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	listed, unlisted := proxied, func(mode string) Config {
		c := proxied(mode)
		c.AcceptProxy = []string{"192.0.2.0/24"}
		return c
	}
	for _, c := range []struct {
		name, mode, sent, greeting string
		config                     func(string) Config
	}{
		{"IMAP instead", "none", "a NOOP\r\n", "", listed},
		{"TLS instead", "implicit", "\x16\x03\x01\x00\x05hello", "", listed},
		{"malformed", "none", "PROXY TCP4 here there 1 2\r\n", "", listed},
		{"endless", "none", "PROXY TCP4 " + strings.Repeat("1", 200), "", listed},
		{"damaged on its way", "none", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x13\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1\x03\x00\x04\x01\x02\x03\x04", "", listed},
		{"v1 from anybody", "none", fromClient("v1", nil), "* OK ", unlisted},
		{"v2 from anybody", "none", fromClient("v2", nil), "* OK ", unlisted},
		{"v2 from anybody before STARTTLS", "starttls", fromClient("v2", nil), "* OK ", unlisted},
		{"v2 from anybody before TLS", "implicit", fromClient("v2", nil), "", unlisted},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}, config: c.config(c.mode), tls: server})
			x := r.dial()
			if c.greeting != "" {
				x.want(c.greeting)
			}
			x.send(c.sent)
			if said := x.gone(); said != "" {
				t.Errorf("it was told %q", said)
			}
			if end := r.ended("proxy_header"); end["state"] != "PL" {
				t.Errorf("logged %v", end)
			}
			if n := r.fe.Malformed.Load(); n != 1 {
				t.Errorf("counted %d", n)
			}
		})
	}
	t.Run("others come as ever", func(t *testing.T) {
		d := newServer(t, "127.0.0.1:0")
		for _, mode := range []string{"none", "implicit"} {
			r := newRig(t, plan{addrs: []string{d.addr()}, config: unlisted(mode), tls: server})
			c := r.dial()
			if mode == "implicit" {
				c.secure(cfg)
			}
			c.want("* OK ")
			c.send("P")
			c.send("ROXY NOOP\r\n") // a tag like any other
			c.want("PROXY OK")
			c.login("alice")
			_ = c.Close()
		}
	})
}

func TestProxyHeaderTooLate(t *testing.T) {
	config := proxied("none")
	config.ProxyTimeout = 50 * time.Millisecond
	r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}, config: config})
	c := r.dial()
	c.send("PROXY TC")
	if said := c.gone(); said != "" {
		t.Errorf("it was told %q", said)
	}
	if end := r.ended("proxy_timeout"); end["state"] != "cL" {
		t.Errorf("logged %v", end)
	}
}

func TestTLSVersion(t *testing.T) {
	for name, want := range map[string]uint16{"TLSv1.3": tls.VersionTLS13, "TLSv1.2": tls.VersionTLS12, "": tlsUnknown, "SSLv3": tlsUnknown} {
		if got := tlsVersion(name); got != want {
			t.Errorf("%q is %x, want %x", name, got, want)
		}
	}
}

func FuzzProxyHeader(f *testing.F) {
	for _, version := range []string{"v1", "v2"} {
		f.Add([]byte(fromClient(version, nil)), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, split int) {
		// Wherever it is split, it is told the same.
		if len(b) == 0 {
			return
		}
		at := (split%len(b) + len(b)) % len(b)
		n, err := proxyproto.Size(b[:at])
		whole, errWhole := proxyproto.Size(b)
		if (n > 0 && whole != n) || (err != nil && errWhole == nil) {
			t.Fatalf("%d of %d: %d %v, then %d %v: %q", at, len(b), n, err, whole, errWhole, bytes.Clone(b))
		}
	})
}
