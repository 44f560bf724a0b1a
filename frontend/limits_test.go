package frontend

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// At maxconn the next client waits in the kernel's queue until there is room.
func TestMaxconn(t *testing.T) {
	room := map[string]func(r *rig, first *client){
		"one leaves":    func(_ *rig, first *client) { _ = first.Close() },
		"limit raised":  func(r *rig, _ *client) { l := *r.e.Limits(); l.Maxconn = 3; r.e.SetLimits(l) },
		"limit dropped": func(r *rig, _ *client) { l := *r.e.Limits(); l.Maxconn = 0; r.e.SetLimits(l) },
	}
	for name, makeRoom := range room {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, plan{limits: Limits{Maxconn: 2}, loops: 2})
			first := r.greeted()
			r.greeted()
			third := r.dial()
			r.eventually("accepting pauses", func() bool { return r.e.MaxHits.Load() > 0 })
			if n := r.e.ConnsTot.Load(); n != 2 {
				t.Errorf("%d connections accepted, at most 2", n)
			}
			makeRoom(r, first)
			third.want("* OK ")
			if r.e.ConnsMax.Load() > 3 || r.e.Refused.Load() != 0 {
				t.Errorf("at most %d at once, %d refused", r.e.ConnsMax.Load(), r.e.Refused.Load())
			}
		})
	}
}

// The limit of one frontend is none of another's business.
func TestFrontendMaxconn(t *testing.T) {
	r := newRig(t, plan{config: Config{Maxconn: 1}, loops: 2})
	other := r.set
	other.Config.Maxconn = 0
	f := r.e.Add("other", 4, other)
	addr := r.listen(f, "127.0.0.1:0")
	t.Cleanup(func() { f.KeepListeners(nil) })

	first := r.greeted()
	second := r.dial()
	r.eventually("accepting pauses", func() bool { return r.e.MaxHits.Load() > 0 })
	here := r.addr
	r.addr = addr
	for range 5 {
		c := r.greeted()
		c.send("x LOGOUT\r\n")
		c.gone()
	}
	r.addr = here
	if n := r.fe.ConnsTot.Load(); n != 1 {
		t.Errorf("%d connections accepted, at most 1", n)
	}
	_ = first.Close()
	second.want("* OK ")

	// A reload may raise it.
	third := r.dial()
	r.eventually("the second alone is here", func() bool { return r.fe.ConnsTot.Load() == 2 })
	more := r.set
	more.Config.Maxconn = 2
	r.fe.Update(more)
	third.want("* OK ")
	if f.Conns.Load() != 0 || f.ConnsTot.Load() != 5 {
		t.Errorf("the other frontend has %d of %d", f.Conns.Load(), f.ConnsTot.Load())
	}
}

func TestHardMaxconn(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	for _, mode := range []string{"none", "implicit"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, plan{limits: Limits{HardMaxconn: 1}, config: Config{TLS: mode}, tls: server, loops: 2})
			first := r.dial()
			if mode == "implicit" {
				first.secure(cfg)
			}
			first.want("* OK ")
			second := r.dial()
			if mode == "implicit" {
				second.secure(cfg)
			}
			second.want("* BYE [UNAVAILABLE] Too many connections")
			if rest := second.gone(); rest != "" {
				t.Errorf("then %q", rest)
			}
			r.eventually("it is off the books", func() bool { return r.e.Conns.Load() == 1 && r.e.refusing.Load() == 0 })
			if r.fe.Refused.Load() != 1 || r.e.Refused.Load() != 1 {
				t.Errorf("refused %d and %d", r.fe.Refused.Load(), r.e.Refused.Load())
			}
			r.ended("descriptor_limit")
		})
	}
}

// Not even those who are told that there is no room may take all of it.
func TestRefusingIsBounded(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	r := newRig(t, plan{limits: Limits{HardMaxconn: 1}, config: Config{TLS: "implicit"}, tls: server, loops: 2})
	r.quiet = true // those closed without a word have no line
	const extra = 8
	all := []*client{r.dial()}
	r.eventually("the first is in", func() bool { _, ok := r.session(func(Session) bool { return true }); return ok })
	for range maxRefusing + extra {
		all = append(all, r.dial())
	}
	r.eventually("the rest is closed", func() bool {
		return r.e.ConnsTot.Load() == 1+maxRefusing+extra && r.e.Conns.Load() <= 1+maxRefusing
	})
	if r.e.Refused.Load() != maxRefusing+extra || r.e.refusing.Load() > maxRefusing {
		t.Errorf("refused %d, refusing %d", r.e.Refused.Load(), r.e.refusing.Load())
	}
	for _, c := range all {
		_ = c.Close()
	}
}

// A client that was told so and does not leave still has its descriptor.
func TestRefusedWhoStay(t *testing.T) {
	r := newRig(t, plan{limits: Limits{HardMaxconn: 1}})
	r.quiet = true
	all := []*client{r.greeted()}
	for range 2 * maxRefusing {
		c := r.dial()
		c.gone() // told, or closed without a word
		all = append(all, c)
	}
	if n := r.e.workers[0].loop.Conns(); n > 1+maxRefusing {
		t.Errorf("%d descriptors held, at most %d", n, 1+maxRefusing)
	}
	for _, c := range all {
		_ = c.Close()
	}
}

func TestLoginTimeout(t *testing.T) {
	r := newRig(t, plan{limits: Limits{LoginTimeout: 200 * time.Millisecond}})
	c := r.greeted()
	c.send("a NOOP\r\n")
	c.want("a OK")
	c.want("* BYE")
	c.gone()
	if end := r.ended("login_timeout"); end["state"] != "cL" {
		t.Errorf("logged %v", end)
	}
}

// The time for a login bounds all attempts at it together.
func TestLoginTimeoutDuringRetries(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{addrs: []string{closedPort(t)}, retries: 10, limits: Limits{LoginTimeout: 1500 * time.Millisecond}})
	c := r.greeted()
	_ = c.SetReadDeadline(time.Now().Add(4 * time.Second))
	c.send("a LOGIN alice " + secretWord + "\r\n")
	if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "a NO [UNAVAILABLE]") && !strings.HasPrefix(line, "* BYE") {
		t.Errorf("client got %q, %v", line, err)
	}
	_ = c.Close()
}

func TestHandshakeTimeout(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	for name, hello := range map[string]string{"silent": "", "half a hello": "\x16\x03\x01\x02\x00\x01"} {
		for _, mode := range []string{"implicit", "starttls"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, plan{limits: Limits{HandshakeTimeout: 200 * time.Millisecond}, config: Config{TLS: mode}, tls: server})
				c := r.dial()
				if mode == "starttls" {
					c.want("* OK ")
					c.send("a STARTTLS\r\n")
					c.want("a OK")
				}
				if _, err := io.WriteString(c, hello); err != nil {
					t.Fatal(err)
				}
				if got := c.gone(); got != "" {
					t.Errorf("client got %q", got)
				}
				if end := r.ended("tls_timeout"); end["state"] != "cL" || end["tls"] != nil {
					t.Errorf("logged %v", end)
				}
			})
		}
	}
}

func TestHandshakeFails(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	r := newRig(t, plan{config: Config{TLS: "implicit"}, tls: server})
	c := r.dial()
	c.send("a LOGIN alice " + secretWord + "\r\n") // in clear, to the port for TLS
	c.gone()
	r.eventually("it is counted", func() bool { return r.fe.TLSFailed.Load() == 1 && r.e.Conns.Load() == 0 })
	browser := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}} //nolint:gosec // never gets so far
	if err := tls.Client(r.dial(), browser).Handshake(); err == nil {
		t.Error("a browser was let in")
	}
	r.eventually("it is counted", func() bool { return r.fe.TLSFailed.Load() == 2 && r.e.Conns.Load() == 0 })
	if r.fe.TLSTot.Load() != 0 {
		t.Errorf("%d handshakes", r.fe.TLSTot.Load())
	}
}

// Who is thrown out for what he sent is counted, as HAProxy counts bad requests.
func TestMalformed(t *testing.T) {
	r := newRig(t, plan{})
	for _, bad := range []string{"x\r\nx\r\nx\r\n", strings.Repeat("y", 10_000), "\x16\x03\x01"} {
		c := r.greeted()
		c.send(bad)
		c.gone()
	}
	r.eventually("all have ended", func() bool { return r.e.Conns.Load() == 0 })
	if r.fe.Malformed.Load() != 3 || r.e.Malformed.Load() != 3 {
		t.Errorf("malformed %d and %d, want 3", r.fe.Malformed.Load(), r.e.Malformed.Load())
	}
}

// A client that asks and asks and does not read is stopped, not listened to
// until the memory is full of answers.
func TestClientThatDoesNotRead(t *testing.T) {
	r := newRig(t, plan{})
	c := r.greeted()
	const limit = 24 << 20 // of questions; the kernel takes a few MB of both
	ask := strings.Repeat("a CAPABILITY\r\n", 4000)
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	sent := 0
	for sent < limit {
		n, err := io.WriteString(c, ask)
		if sent += n; err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			break
		}
	}
	w, pending := r.e.workers[0], 0
	w.loop.Do(func() {
		for _, c := range w.slots {
			if c != nil {
				pending = c.cli.Pending()
			}
		}
	})
	if pending > 1<<20 {
		t.Errorf("after %d kB of questions, %d kB of answers wait in memory", sent>>10, pending>>10)
	}
	_ = c.Close()
}

// blocked runs f while the first loop does nothing.
func (r *rig) blocked(f func()) {
	r.t.Helper()
	here, on := make(chan struct{}), make(chan struct{})
	r.e.workers[0].loop.Post(func() { close(here); <-on })
	<-here
	f()
	close(on)
}

// A client that has gone before its long line is looked at takes nothing with
// it.
func TestBigInputOfAClientThatIsGone(t *testing.T) {
	r := newRig(t, plan{})
	for range 3 {
		c := r.greeted()
		r.blocked(func() {
			c.send("a NOOP\r\nb AUTHENTICATE XOAUTH2 " + strings.Repeat("A", smallInput+2000))
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		})
		r.eventually("it is gone", func() bool { return r.e.Conns.Load() == 0 })
	}
	if n := r.e.big.Load(); n != 0 {
		t.Errorf("%d places for long lines are lost", n)
	}
}

// Long tokens are taken from some clients at once, not from all.
func TestBigInput(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	token := strings.Repeat("A", smallInput+2000)
	c := r.greeted()
	c.send("a AUTHENTICATE XOAUTH2 " + token)
	r.eventually("it holds a place", func() bool { return r.e.big.Load() == 1 })
	r.e.big.Add(maxBig - 1)
	full := r.greeted()
	full.send("a AUTHENTICATE XOAUTH2 " + token)
	full.want("* BYE [UNAVAILABLE]")
	full.gone()
	r.ended("input_limit")
	r.e.big.Add(1 - maxBig)
	c.send("\r\n")
	c.want("a BAD")
	c.login("alice")
	if n := r.e.big.Load(); n != 0 {
		t.Errorf("%d places are held behind the login", n)
	}
}

func TestExhausted(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	for mode, want := range map[string]string{"none": byeFull, "implicit": ""} {
		r := newRig(t, plan{config: Config{TLS: mode}, tls: server})
		x := (*r.fe.listeners.Load())[0]
		if got := string(x.Exhausted(errors.New("too many open files"))); got != want {
			t.Errorf("TLS %s: said %q", mode, got)
		}
		if r.fe.Refused.Load() != 1 || r.e.Refused.Load() != 1 {
			t.Errorf("refused %d and %d", r.fe.Refused.Load(), r.e.Refused.Load())
		}
		x.Opened() // a connection lost before it got to its loop
		if h := x.Accepted(nil, x.ln.AddrPort()); h != nil || r.e.Conns.Load() != 0 {
			t.Errorf("handler %v, %d connections", h, r.e.Conns.Load())
		}
		r.quiet = true
	}
}

// A client over a unix socket has no address.
func TestUnixClient(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	path := t.TempDir() + "/imap"
	if got := r.listen(r.fe, "unix:"+path); got != "unix:"+path {
		t.Errorf("bound to %q", got)
	}
	raw, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	c := &client{t: t, Conn: raw, in: bufio.NewReader(raw)}
	c.want("* OK ")
	c.login("alice")
	if one, ok := r.session(func(Session) bool { return true }); !ok || one.Src != "unix" || one.Proto != "unix" {
		t.Errorf("listed as %+v", one)
	}
}
