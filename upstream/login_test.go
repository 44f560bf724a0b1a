package upstream

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"imaplb/auth"
	"imaplb/loop"
)

// accepts is a server that lets alice in.
func accepts(p *peer) {
	p.say(hello)
	p.want(idLine)
	p.want(aliceLogin)
	p.say("* ID NIL\r\nI OK\r\n* OK [ALERT] disk\r\nL OK [CAPABILITY IMAP4rev1 IDLE] in\r\n* 5 EXISTS\r\n")
	p.gone()
}

func TestLogin(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			addr := "127.0.0.1:0"
			if network == "unix" {
				addr = filepath.Join(t.TempDir(), "imap")
			}
			r.serve(network, addr, accepts)
			res := r.login()
			if res.Outcome != OK || res.Err != nil || res.Conn == nil {
				t.Fatalf("outcome %v, err %v", res.Outcome, res.Err)
			}
			got := fmt.Sprintf("%s|%s|%s", res.Caps.Append(nil), res.Untagged, res.Text)
			if want := "IMAP4rev1 IDLE|* OK [ALERT] disk\r\n|in"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			// What came behind the OK may be in the result, or still to come.
			if !strings.HasPrefix("* 5 EXISTS\r\n", string(res.Rest)) {
				t.Errorf("rest %q", res.Rest)
			}
			if res.Connect < 0 || res.Login <= 0 || res.Where != "" {
				t.Errorf("connect %v, login %v, where %q", res.Connect, res.Login, res.Where)
			}
		})
	}
}

func TestSourceAddress(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.server.Source = "127.0.0.2"
	r.scripted(func(p *peer) {
		if host, _, _ := net.SplitHostPort(p.RemoteAddr().String()); host != "127.0.0.2" {
			t.Errorf("connected from %s, want 127.0.0.2", host)
		}
		accepts(p)
	})
	if res := r.login(); res.Outcome != OK {
		t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
	}
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	gone := filepath.Join(t.TempDir(), "gone")
	for _, addr := range []string{ln.Addr().String(), "unix:" + gone} {
		for _, mode := range []string{"none", "starttls", "implicit"} {
			r.server.Addr, r.server.TLS, r.server.ServerName = addr, mode, "mail1.test"
			res := r.login()
			if res.Outcome != ConnectRefused || res.Err == nil || res.Conn != nil {
				t.Errorf("%s, TLS %s: outcome %v, err %v", addr, mode, res.Outcome, res.Err)
			}
		}
	}
}

// A listener whose queue is full answers no SYN, like a host that is off.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.server.Addr = fullListener(t)
	r.config.TimeoutConnect = 200 * time.Millisecond
	for _, mode := range []string{"none", "implicit"} {
		r.server.TLS = mode
		begun := time.Now()
		res := r.login()
		if res.Outcome != ConnectTimeout || res.Err != nil || time.Since(begun) < r.config.TimeoutConnect {
			t.Errorf("TLS %s: outcome %v, err %v after %v", mode, res.Outcome, res.Err, time.Since(begun))
		}
	}
}

// fullListener is the address of a listener that takes no more connections.
func fullListener(t *testing.T) string {
	t.Helper()
	socket := func() int {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Close(fd) })
		return fd
	}
	ln := socket()
	if err := syscall.Bind(ln, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(ln, 0); err != nil {
		t.Fatal(err)
	}
	sa, err := syscall.Getsockname(ln)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		_ = syscall.Connect(socket(), sa) // in progress, for ever
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

func TestSilence(t *testing.T) {
	silences := []struct {
		name, tls string
		script    func(*peer)
		outcome   Outcome
		err       bool
	}{
		{"no greeting", "none", func(*peer) {}, ConnectTimeout, true},
		{"half a greeting", "none", func(p *peer) { p.say("* OK rea") }, ConnectTimeout, true},
		{"no TLS", "implicit", func(*peer) {}, ConnectTimeout, true},
		{"no CAPABILITY", "none", func(p *peer) { p.say("* OK\r\n") }, LoginTimeout, false},
		{"no answer to STARTTLS", "starttls", func(p *peer) { p.say("* OK\r\n") }, LoginTimeout, false},
		{"no TLS behind STARTTLS", "starttls", func(p *peer) { p.say("* OK\r\n"); p.line(); p.say("S OK\r\n") }, LoginTimeout, false},
		{"no answer to LOGIN", "none", func(p *peer) { p.say(hello) }, LoginTimeout, false},
		{"no answer but chatter", "none", func(p *peer) { p.say(hello + "I OK\r\n* OK wait\r\n") }, LoginTimeout, false},
	}
	for _, s := range silences {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.server.TLS = s.tls
			r.config.TimeoutConnect, r.config.TimeoutLogin = 250*time.Millisecond, 250*time.Millisecond
			r.scripted(func(p *peer) {
				s.script(p)
				p.gone() // ends when the attempt closes its descriptor
			})
			res := r.login()
			if res.Outcome != s.outcome || (res.Err != nil) != s.err {
				t.Errorf("outcome %v, err %v; want %v, %v", res.Outcome, res.Err, s.outcome, s.err)
			}
		})
	}
}

func TestServerLeavesAtEachStep(t *testing.T) {
	steps := []struct {
		name, tls string
		script    func(*peer)
	}{
		{"at once", "none", func(*peer) {}},
		{"before TLS", "implicit", func(p *peer) { _, _ = p.in.ReadByte() }},
		{"after the greeting", "none", func(p *peer) { p.say("* OK\r\n"); p.line() }},
		{"before STARTTLS", "starttls", func(p *peer) { p.say("* OK\r\n"); p.line() }},
		{"after STARTTLS", "starttls", func(p *peer) { p.say("* OK\r\n"); p.line(); p.say("S OK\r\n"); _, _ = p.in.ReadByte() }},
		{"after LOGIN", "none", func(p *peer) { p.say(hello); p.line(); p.line() }},
		{"after ID", "none", func(p *peer) { p.say(hello); p.line(); p.line(); p.say("I OK\r\n") }},
	}
	ways := map[string]func(*peer){"closes": func(p *peer) { _ = p.Close() }, "resets": (*peer).reset}
	for _, s := range steps {
		for how, leave := range ways {
			t.Run(how+" "+s.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.server.TLS = s.tls
				r.scripted(func(p *peer) { s.script(p); leave(p) })
				res := r.login()
				if res.Outcome != Lost && (res.Outcome != TLSFailed || s.tls == "none") || res.Conn != nil || res.Outcome.Retry() {
					t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
				}
			})
		}
	}
}

// Where says how far a login came, for the one who looks for the fault.
func TestWhere(t *testing.T) {
	places := []struct {
		tls    string
		script func(*peer)
		want   string
	}{
		{"none", func(*peer) {}, "/none"},
		{"none", func(p *peer) { p.say("* OK\r\n"); p.line() }, "capability/banner"},
		{"none", func(p *peer) { p.say("* OK\r\n"); p.line(); p.say("C OK\r\n"); p.line() }, "capability+login/banner"},
		{"none", func(p *peer) { p.say(hello); p.line(); p.line() }, "id+login/banner"},
		{"none", func(p *peer) { p.say(hello); p.line(); p.line(); p.say("L NO\r\n") }, "id+login/login"},
		{"starttls", func(p *peer) { p.say("* OK\r\n"); p.line() }, "starttls/banner"},
		{"starttls", func(p *peer) { p.say("* OK\r\n"); p.line(); p.say("S OK\r\n"); _, _ = p.in.ReadByte() }, "starttls/starttls"},
	}
	for _, c := range places {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.server.TLS = c.tls
			r.scripted(c.script)
			if res := r.login(); strings.TrimPrefix(res.Where, "none") != c.want {
				t.Errorf("outcome %v, where %q, want %q", res.Outcome, res.Where, c.want)
			}
		})
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.scripted(func(p *peer) {
		p.say(hello)
		p.want(idLine)
		p.want(aliceLogin)
		p.say("I OK\r\nL NO [EXPIRED] change your\x07 password\r\n")
		p.gone()
	})
	res := r.login()
	if res.Outcome != Refused || string(res.Code) != "EXPIRED" || string(res.Text) != "change your password" || res.Conn != nil {
		t.Errorf("outcome %v, code %q, text %q", res.Outcome, res.Code, res.Text)
	}
}

// The answer to a synchronising literal is sent byte by byte by a slow server.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dribble := func(p *peer, s string) {
		for i := range len(s) {
			p.say(s[i : i+1])
		}
	}
	r.scripted(func(p *peer) {
		dribble(p, "* OK [CAPABILITY IMAP4rev1] hi\r\n")
		p.want("L LOGIN {6}\r\n")
		dribble(p, "+ go on\r\n")
		p.want("al\"ice {4}\r\n")
		dribble(p, "+ go on\r\n")
		p.want("p\\ss\r\n")
		dribble(p, "L OK in\r\n")
		p.gone()
	})
	target := r.target()
	_, results := r.startAt(target, request(credentials(auth.MechNone, `al"ice`, `p\ss`)))
	if res := r.wait(results); res.Outcome != OK {
		t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
	}
}

func (r *rig) target() *Target {
	r.t.Helper()
	t, err := NewTarget(r.t.Context(), &r.config, &r.server, &r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// A login that has come through too many proxies is not passed on, and the
// server is not even connected to.
func TestLooping(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.scripted(func(*peer) { t.Error("connected") })
	req := request(credentials(auth.MechNone, "alice", secretWord))
	req.TTL = 1
	a, results := r.startAt(r.target(), req)
	if res := r.wait(results); res.Outcome != Looping || res.Conn != nil || a.FD() != -1 {
		t.Errorf("outcome %v", res.Outcome)
	}
	target, none := r.target(), make(chan *Result, 1)
	r.loop.Do(func() { Start(r.loop, target, req, r.slots, waiter{none}).Cancel() })
	r.none(none)
}

// none makes sure that nothing comes: what was on the way has passed the loop
// by now.
func (r *rig) none(results chan *Result) {
	r.t.Helper()
	r.loop.Do(func() {})
	if len(results) > 0 {
		r.t.Error("a result after Cancel")
	}
}

func TestCancelAtEachStep(t *testing.T) {
	steps := []struct {
		name, tls string
		script    func(*peer)
	}{
		{"connected", "none", func(*peer) {}},
		{"in TLS", "implicit", func(p *peer) { _, _ = p.in.ReadByte() }},
		{"greeted", "none", func(p *peer) { p.say("* OK\r\n"); p.line() }},
		{"in STARTTLS", "starttls", func(p *peer) { p.say("* OK\r\n"); p.line(); p.say("S OK\r\n"); _, _ = p.in.ReadByte() }},
		{"logging in", "none", func(p *peer) { p.say(hello); p.line(); p.line() }},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.server.TLS = s.tls
			here, gone := make(chan struct{}), make(chan struct{})
			r.scripted(func(p *peer) {
				s.script(p)
				close(here)
				p.gone() // the descriptor is closed
				close(gone)
			})
			a, results := r.start()
			<-here
			r.loop.Do(func() { a.Cancel(); a.Cancel() })
			<-gone
			r.none(results)
		})
	}
	t.Run("connecting", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.server.Addr = fullListener(t)
		a, results := r.start()
		r.loop.Do(a.Cancel)
		r.none(results)
	})
}

// No password leaves the exchange but to the server: not in what is kept of
// the result, however it is printed.
func TestNoPasswordInResult(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, answer := range []string{"L OK in\r\n", "L NO no\r\n", "L BAD no\r\n", "x\r\n", "* BYE\r\n", "L NO [EXPIRED]\r\n"} {
		r.scripted(func(p *peer) {
			p.say(hello)
			p.want(idLine)
			p.want(aliceLogin)
			p.say("I OK\r\n" + answer)
		})
		res := r.login()
		text := fmt.Sprintf("%v %s %s %s %s %v %s", res.Outcome, res.Text, res.Code, res.Untagged, res.Rest, res.Err, res.Where)
		if strings.Contains(text, secretWord) || bytes.Contains(fmt.Appendf(nil, "%+v", credentials(auth.MechNone, "alice", secretWord)), []byte(secretWord)) {
			t.Errorf("answer %q: password in %q", answer, text)
		}
	}
}

// What the loop cannot give is no fault of the server.
func TestOutOfPorts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.scripted(func(*peer) { t.Error("connected") })
	r.server.Source = "192.0.2.1" // not ours: EADDRNOTAVAIL
	if res := r.login(); res.Outcome != LocalFailure || res.Err == nil || !loop.IsExhausted(res.Err) {
		t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
	}
}
