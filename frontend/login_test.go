package frontend

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/upstream"
)

// What is sent around the LOGIN, in one write or many, reaches whom it is for,
// byte for byte and in order.
func TestPipelining(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	behind := "c SELECT INBOX\r\n" + strings.Repeat("d NOOP with a tail\r\n", 20_000) + "e LOGOUT\r\n"
	for _, mode := range []string{"none", "starttls", "implicit"} {
		for _, size := range []int{1 << 30, 7000, 61} {
			t.Run(fmt.Sprint(mode, " ", size), func(t *testing.T) {
				t.Parallel()
				d := newServer(t, "127.0.0.1:0")
				r := newRig(t, plan{addrs: []string{d.addr()}, config: Config{TLS: mode, RequireTLS: true}, tls: server})
				c := r.dial()
				if mode == "starttls" {
					c.want("* OK [CAPABILITY IMAP4rev1 SASL-IR ID ENABLE LITERAL- STARTTLS LOGINDISABLED]")
					c.send("s STARTTLS\r\n")
					c.want("s OK")
				}
				if mode != "none" {
					c.secure(cfg)
				}
				if mode != "starttls" {
					c.want("* OK [CAPABILITY ")
				}
				if mode == "starttls" {
					c.send("t NOOP\r\n") // no greeting tells that the server's side of TLS stands, too
					c.want("t OK")
				}
				all := "a NOOP\r\nb LOGIN alice {9+}\r\n" + secretWord + "\r\n" + behind
				go func() { // the answers are read meanwhile, else both sides would wait
					for from := 0; from < len(all); from += size {
						c.send(all[from:min(from+size, len(all))])
					}
				}()
				c.want("a OK")
				if got := c.line(); got != "b OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n" {
					t.Errorf("login answered %q", got)
				}
				if want := "c OK\r\n" + strings.Repeat("d OK\r\n", 20_000) + "* BYE\r\ne OK\r\n"; c.gone() != want {
					t.Error("the answers differ")
				}
				if d.received() != behind {
					t.Errorf("server got %d bytes, want %d", len(d.received()), len(behind))
				}
				end := r.ended("logout")
				if end["be"] != "mail" || end["srv"] != "s1" || end["user"] != "alice" || end["in"] != float64(len(behind)) || (end["tls"] != nil) != (mode != "none") {
					t.Errorf("logged %v", end)
				}
			})
		}
	}
}

// What the server says behind its OK, in the same segment, is the client's.
func TestServerPipelines(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(_, _ string) string { return "* NO [ALERT] disk full\r\n" + loggedIn + "* 5 EXISTS\r\n" })
	r := newRig(t, plan{addrs: []string{d.addr()}})
	c := r.greeted()
	c.send("a CAPABILITY\r\nl LOGIN alice " + secretWord + "\r\n")
	for _, want := range []string{"* CAPABILITY ", "a OK", "* NO [ALERT] disk full\r\n", "* CAPABILITY IMAP4rev1 IDLE\r\n", "l OK Logged in\r\n", "* 5 EXISTS\r\n"} {
		c.want(want)
	}
}

func TestFailedThenGood(t *testing.T) {
	answers := map[string]string{
		"no":      "NO no such user",
		"expired": "NO [EXPIRED] change it",
		"full":    "NO [LIMIT] full",
		"later":   "NO [UNAVAILABLE] later",
		"bad":     "BAD what",
	}
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(user, _ string) string {
		if a := answers[user]; a != "" {
			return "L " + a + "\r\n"
		}
		return ""
	})
	r := newRig(t, plan{addrs: []string{d.addr()}})
	for user, want := range map[string]string{
		"no": "[AUTHENTICATIONFAILED]", "expired": "[EXPIRED] change it", "full": "[LIMIT]", "later": "[UNAVAILABLE]", "bad": "[UNAVAILABLE]",
	} {
		c := r.greeted()
		c.send("a LOGIN " + user + " " + secretWord + "\r\nb NOOP\r\n")
		c.want("a NO " + want)
		c.want("b OK")
		c.login("alice")
		c.send("x LOGOUT\r\n")
		c.gone()
		r.eventually("the place is given back", func() bool { return r.be.Scur.Load() == 0 })
		if _, ok := r.table.Lookup(time.Now(), user); ok {
			t.Errorf("%s has an entry without a login", user)
		}
	}
	s := r.be.Server("s1")
	got := []int64{s.AuthOK.Load(), s.AuthFail.Load(), s.AuthLimit.Load(), s.AuthTemp.Load(), s.LoginProto.Load(), r.fe.SessTot.Load()}
	if want := []int64{5, 2, 1, 1, 1, 10}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// A server may repeat the command that it does not like. The log does not.
func TestServerRepeatsThePassword(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(user, pass string) string { return "L BAD unknown command LOGIN " + user + " " + pass + "\r\n" })
	r := newRig(t, plan{addrs: []string{d.addr()}})
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [UNAVAILABLE]")
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	return ln.Addr().String()
}

func TestRedispatch(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{closedPort(t), d.addr()}, balance: "roundrobin", loops: 2})
	for i := range 6 {
		c := r.greeted()
		c.login(fmt.Sprint("user", i))
	}
	s1, s2 := r.be.Server("s1"), r.be.Server("s2")
	if d.logins.Load() != 6 || s2.Scur.Load() != 6 || s1.Scur.Load() != 0 || r.be.Scur.Load() != 6 {
		t.Errorf("%d logins; sessions %d and %d of %d", d.logins.Load(), s1.Scur.Load(), s2.Scur.Load(), r.be.Scur.Load())
	}
	if s1.Econ.Load() == 0 || s1.Wredis.Load() != s1.Econ.Load() || s1.Wretr.Load() != 0 {
		t.Errorf("econ %d, wredis %d, wretr %d", s1.Econ.Load(), s1.Wredis.Load(), s1.Wretr.Load())
	}
}

// A user who lives on a server that cannot be reached is not given to another
// one while its checks say that it is up.
func TestHomeAway(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{closedPort(t), d.addr()}})
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [UNAVAILABLE]")
	if d.logins.Load() != 0 {
		t.Error("logged in elsewhere")
	}
	// Once it is down, the same connection may log in at the other.
	r.be.Server("s1").SetHealth(time.Now(), balancer.Health{Text: "DOWN"})
	c.login("alice")
}

func TestRetry(t *testing.T) {
	t.Parallel()
	addr := closedPort(t)
	r := newRig(t, plan{addrs: []string{addr}, retries: 1})
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\n")
	s := r.be.Server("s1")
	r.eventually("a retry is due", func() bool { return s.Wretr.Load() == 1 })
	if one, ok := r.session(func(s Session) bool { return s.State == "connect" }); !ok || one.Server != "s1" || one.FDServer != -1 {
		t.Errorf("listed as %+v", one)
	}
	newServer(t, addr)
	c.want("l OK ")
	if s.Connect.Load() != 2 || s.Econ.Load() != 1 || s.Scur.Load() != 1 {
		t.Errorf("connects %d, failed %d, sessions %d", s.Connect.Load(), s.Econ.Load(), s.Scur.Load())
	}
}

// While a retry is waited for, the server goes down: the user need not wait
// for it any longer.
func TestDownDuringRetry(t *testing.T) {
	t.Parallel()
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{closedPort(t), d.addr()}, retries: 3})
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\n")
	s := r.be.Server("s1")
	r.eventually("a retry is due", func() bool { return s.Wretr.Load() == 1 })
	s.SetHealth(time.Now(), balancer.Health{Text: "DOWN"})
	c.want("l OK ")
	if s.Connect.Load() != 1 || r.be.Server("s2").Scur.Load() != 1 {
		t.Errorf("%d connects, sessions on s2 %d", s.Connect.Load(), r.be.Server("s2").Scur.Load())
	}
}

func TestNoServer(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.be.Server("s1").SetAdmin(time.Now(), balancer.Maint)
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [UNAVAILABLE]")
	if r.fe.Denied.Load() != 1 || r.e.Denied.Load() != 1 {
		t.Errorf("denied %d and %d", r.fe.Denied.Load(), r.e.Denied.Load())
	}
	r.be.Server("s1").SetAdmin(time.Now(), balancer.Ready)
	r.be.SetTargets(nil, time.Hour) // it leaves the configuration this moment
	c.send("b LOGIN alice " + secretWord + "\r\n")
	c.want("b NO [UNAVAILABLE]")
}

// gated is a server that answers a login when it is told to.
func gated(t *testing.T) (d *imapd, asked chan string, answer chan string) {
	d = newServer(t, "127.0.0.1:0")
	asked, answer = make(chan string, 10), make(chan string, 10)
	d.onLogin(func(user, _ string) string {
		asked <- user
		return <-answer
	})
	return d, asked, answer
}

// The user is given to another server while the first is asked: the session
// is not begun there, but at the new home.
func TestMovedWhileLoggingIn(t *testing.T) {
	d1, asked, answer := gated(t)
	d2 := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}, retries: 1})
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\nn NOOP\r\n")
	<-asked
	if err := r.table.Set(time.Now(), "alice", "s2"); err != nil {
		t.Fatal(err)
	}
	answer <- ""
	c.want("l OK ")
	c.want("n OK")
	r.eventually("the first connection is closed", func() bool { return d1.open.Load() == 0 })
	if d2.received() != "n NOOP\r\n" || r.be.Server("s2").Scur.Load() != 1 || r.be.Server("s1").Scur.Load() != 0 || r.be.Scur.Load() != 1 {
		t.Errorf("s2 got %q; sessions %d and %d", d2.received(), r.be.Server("s1").Scur.Load(), r.be.Server("s2").Scur.Load())
	}
}

// A server in maintenance gets no session, not even one whose login was under
// way when that began: nobody would end it.
func TestMaintWhileLoggingIn(t *testing.T) {
	d1, asked, answer := gated(t)
	d2 := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}, retries: 1})
	if err := r.table.Set(time.Now(), "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\n")
	<-asked
	s1 := r.be.Server("s1")
	s1.SetAdmin(time.Now(), balancer.Maint)
	r.e.ShutdownServer(s1)
	answer <- ""
	// In at the other server, or told to come again: both will do.
	line := c.line()
	if !strings.HasPrefix(line, "l OK ") && !strings.Contains(line, "[UNAVAILABLE]") {
		t.Errorf("client got %q", line)
	}
	if n := s1.Scur.Load(); n != 0 {
		t.Errorf("%d sessions on a server in maintenance", n)
	}
}

func TestServerTLSBroken(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	sc := upstream.DefaultServerConfig()
	sc.Addr, sc.TLS = d.addr(), "starttls" // which it does not offer
	target, err := upstream.NewTarget(t.Context(), &upstream.Config{TimeoutConnect: patience, TimeoutLogin: patience}, &sc, r.e.socket)
	if err != nil {
		t.Fatal(err)
	}
	r.be.SetTargets(map[*balancer.Server]*upstream.Target{r.be.Server("s1"): target}, time.Hour)
	c := r.greeted()
	c.send("a LOGIN alice " + secretWord + "\r\n")
	c.want("a NO [CONTACTADMIN]")
}

// What is known of a session that came under TLS.
func TestTLSSession(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	server, cfg := certificate(t, "imap.test")
	r := newRig(t, plan{addrs: []string{d.addr()}, config: Config{TLS: "implicit"}, tls: server})
	c := r.dial()
	c.secure(cfg)
	c.want("* OK ")
	c.login("Alice")
	one, ok := r.session(func(s Session) bool { return s.State == "relay" })
	if !ok || one.User != "alice" || one.TLS != "TLSv1.3" || one.Src != c.LocalAddr().String() || one.Server != "s1" || one.FDServer < 0 {
		t.Errorf("listed as %+v", one)
	}
	if r.fe.TLSNow.Load() != 1 || r.e.TLSNow.Load() != 1 {
		t.Errorf("TLS now: %d and %d", r.fe.TLSNow.Load(), r.e.TLSNow.Load())
	}
}
