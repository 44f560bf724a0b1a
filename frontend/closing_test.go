package frontend

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/relay"
)

// crowd logs in n users at a rig with two servers, user0 on s1, user1 on s2 …
func crowd(t *testing.T, n, loops int) (r *rig, clients []*client, servers [2]*imapd) {
	t.Helper()
	servers = [2]*imapd{newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")}
	r = newRig(t, plan{addrs: []string{servers[0].addr(), servers[1].addr()}, loops: loops})
	for i := range n {
		if err := r.table.Set(time.Now(), fmt.Sprint("user", i), fmt.Sprint("s", i%2+1)); err != nil {
			t.Fatal(err)
		}
		c := r.greeted()
		c.login(fmt.Sprint("user", i))
		clients = append(clients, c)
	}
	return r, clients, servers
}

func TestKick(t *testing.T) {
	r, clients, _ := crowd(t, 3, 2)
	for range 3 {
		c := r.greeted()
		c.login("User0") // as the user writes himself
		clients = append(clients, c)
	}
	for user, want := range map[string]int{"nobody": 0, "user0": 4} {
		if n := r.e.Kick(user); n != want {
			t.Errorf("Kick(%q) = %d, want %d", user, n, want)
		}
	}
	for i, c := range clients {
		if i != 1 && i != 2 {
			c.want("* BYE [UNAVAILABLE] Session closed by the administrator")
			c.gone()
			continue
		}
		c.send("n NOOP\r\n")
		c.want("n OK")
	}
	if r.ended("killed")["state"] != "KD" || r.e.Conns.Load() != 2 {
		t.Errorf("%d connections", r.e.Conns.Load())
	}
}

// Many are found by what they are called or where they come from, whatever else
// goes on, and ended over some time; nobody else is.
func TestKickIf(t *testing.T) {
	r, clients, _ := crowd(t, 9, 2)
	pre := r.greeted()
	odd := func(user string, src netip.Addr) bool {
		return strings.HasPrefix(user, "user") && (user[4]-'0')%2 == 1 && src.IsLoopback()
	}
	if n := r.e.KickIf(odd, 300*time.Millisecond); n != 4 {
		t.Errorf("KickIf = %d, want 4", n)
	}
	for i, c := range clients {
		if i%2 == 1 {
			c.want("* BYE [UNAVAILABLE]")
			c.gone()
			continue
		}
		c.send("n NOOP\r\n")
		c.want("n OK")
	}
	s1 := r.be.Server("s1")
	if n := r.e.KickServer(s1, 0); n != 5 {
		t.Errorf("KickServer = %d, want 5", n)
	}
	if n := r.e.KickIf(func(string, netip.Addr) bool { return true }, 0); n != 1 {
		t.Errorf("KickIf of all = %d, want the one before login", n)
	}
	pre.gone()
}

// Where the table keeps domains together, a kick is still for one user.
func TestKickByDomain(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, key: "domain"})
	alice, bob := r.greeted(), r.greeted()
	alice.login("alice@example.org")
	bob.login("bob@example.org")
	n := 0
	r.e.UserSessions("example.org", func(Session) bool { n++; return true })
	if kicked := r.e.Kick("Alice@example.org"); kicked != 1 || n != 2 {
		t.Errorf("kicked %d of %d", kicked, n)
	}
	alice.want("* BYE")
	alice.gone()
	bob.send("n NOOP\r\n")
	bob.want("n OK")
}

// Where a template keeps several names together, a kick is for one of them.
func TestKickByTemplate(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, key: "{user|strip '*'}"})
	alice, master := r.greeted(), r.greeted()
	alice.login("alice")
	master.login("alice*master")
	if e, _ := r.table.Lookup(time.Now(), "alice"); e.Sessions != 2 {
		t.Errorf("%d sessions under the key, want those of both names", e.Sessions)
	}
	if kicked := r.e.Kick("Alice*master"); kicked != 1 {
		t.Errorf("kicked %d, want 1", kicked)
	}
	master.want("* BYE")
	master.gone()
	alice.send("n NOOP\r\n")
	alice.want("n OK")
}

func TestShutdown(t *testing.T) {
	r, clients, _ := crowd(t, 2, 2)
	pre := r.greeted()
	user, _ := r.session(func(s Session) bool { return s.User == "user0" })
	before, _ := r.session(func(s Session) bool { return s.State == "login" })
	for _, s := range []Session{user, before} {
		if got, ok := r.e.Session(s.ID); !ok || got.Name != s.Name {
			t.Errorf("Session(%d) = %+v, %v", s.ID, got, ok)
		}
		if !r.e.Shutdown(s.ID) {
			t.Errorf("Shutdown of %+v found nothing", s)
		}
		if r.e.Shutdown(s.ID) {
			t.Error("Shutdown again found something")
		}
		if _, ok := r.e.Session(s.ID); ok {
			t.Error("still there")
		}
	}
	for _, id := range []uint64{0, 1, 1<<loopBits - 1, ^uint64(0), user.ID + 1<<loopBits} {
		if _, ok := r.e.Session(id); ok || r.e.Shutdown(id) {
			t.Errorf("id %x names something", id)
		}
	}
	clients[0].want("* BYE [UNAVAILABLE]")
	clients[0].gone()
	pre.want("* BYE [UNAVAILABLE]")
	pre.gone()
	clients[1].send("n NOOP\r\n")
	clients[1].want("n OK")
}

// A connection in the middle of a TLS handshake, or of a login, can be ended
// like any other.
func TestShutdownInBetween(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	d, asked, answer := gated(t)
	r := newRig(t, plan{addrs: []string{d.addr()}, config: Config{TLS: "starttls"}, tls: server})
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\n")
	<-asked
	other := r.greeted()
	other.send("s STARTTLS\r\n")
	other.want("s OK")
	for _, state := range []string{"connect", "tls"} {
		r.eventually("it is listed", func() bool { _, ok := r.session(func(s Session) bool { return s.State == state }); return ok })
		s, _ := r.session(func(s Session) bool { return s.State == state })
		if !r.e.Shutdown(s.ID) {
			t.Errorf("Shutdown of %+v found nothing", s)
		}
	}
	c.want("* BYE [UNAVAILABLE]")
	c.gone()
	if got := other.gone(); got != "" {
		t.Errorf("in clear behind STARTTLS: %q", got)
	}
	answer <- "" // too late
	r.eventually("the server's side is closed", func() bool { return d.open.Load() == 0 })
}

func TestShutdownServer(t *testing.T) {
	r, clients, servers := crowd(t, 6, 2)
	if n := r.e.ShutdownServer(r.be.Server("s1")); n != 3 {
		t.Errorf("ShutdownServer = %d, want 3", n)
	}
	for i, c := range clients {
		if i%2 == 0 {
			c.want("* BYE [UNAVAILABLE]")
			c.gone()
		}
	}
	if r.be.Server("s1").Scur.Load() != 0 || r.be.Server("s2").Scur.Load() != 3 {
		t.Errorf("sessions %d and %d", r.be.Server("s1").Scur.Load(), r.be.Server("s2").Scur.Load())
	}
	r.eventually("the server's side is closed", func() bool { return servers[0].open.Load() == 0 })
	if n := r.e.ShutdownServer(r.be.Server("s1")); n != 0 {
		t.Errorf("ShutdownServer again = %d", n)
	}
}

// Spread over some time, the sessions end one after the other, and all of them
// in the end; those that leave meanwhile do no harm.
func TestCloseServerSpread(t *testing.T) {
	const spread = 400 * time.Millisecond
	r, clients, _ := crowd(t, 20, 1)
	begun := time.Now()
	r.e.CloseServer(r.be.Server("s1"), relay.ServerDown, spread)
	_ = clients[0].Close()
	var first, last time.Duration
	for i := 18; i > 0; i -= 2 { // the newest are closed first
		clients[i].want("* BYE [UNAVAILABLE] Server is going down")
		clients[i].gone()
		if last = time.Since(begun); first == 0 {
			first = last
		}
	}
	if last < spread/2 {
		t.Errorf("the last of them ended after %v, the first after %v, spread over %v", last, first, spread)
	}
	r.eventually("s1 is empty", func() bool { return r.be.Server("s1").Scur.Load() == 0 })
	if n := r.be.Server("s2").Scur.Load(); n != 10 {
		t.Errorf("%d sessions on s2", n)
	}
	r.ended("server_down")
}

func TestCloseAll(t *testing.T) {
	server, _ := certificate(t, "imap.test")
	for _, spread := range []time.Duration{0, 300 * time.Millisecond} {
		r, clients, _ := crowd(t, 4, 2)
		clients = append(clients, r.greeted())
		more := r.set
		more.Config.TLS, more.TLS = "implicit", server
		r.fe.Update(more)
		silent := r.dial() // in its handshake
		r.eventually("it is listed", func() bool { _, ok := r.session(func(s Session) bool { return s.State == "tls" }); return ok })
		r.fe.KeepListeners(nil)
		r.e.CloseAll(spread)
		for i, c := range clients {
			c.want("* BYE [UNAVAILABLE] Ser")
			if rest := c.gone(); rest != "" {
				t.Errorf("client %d then got %q", i, rest)
			}
		}
		if got := silent.gone(); got != "" {
			t.Errorf("in clear to the port for TLS: %q", got)
		}
		r.eventually("all are gone", func() bool { return r.e.Conns.Load() == 0 })
		r.ended("stopping")
	}
}

// A user who is placed elsewhere while sessions live, because their server
// went down, has one home behind that.
func TestElsewhere(t *testing.T) {
	r, clients, _ := crowd(t, 2, 2)
	r.be.Server("s1").SetHealth(time.Now(), balancer.Health{Text: "DOWN"})
	c := r.greeted()
	c.login("user0")
	clients[0].want("* BYE [UNAVAILABLE] Mailbox moved")
	clients[0].gone()
	if r.ended("moved")["user"] != "user0" {
		t.Error("another user was moved")
	}
	if n := r.be.Server("s2").Scur.Load(); n != 2 {
		t.Errorf("%d sessions on s2, want 2", n)
	}
}

// Whatever a client leaves in the middle of, the server is let go at once, the
// place is given back, and no stranger stays in the table.
func TestClientLeaves(t *testing.T) {
	leave := map[string]func(*client){
		"closes": func(c *client) { _ = c.Close() },
		"half":   func(c *client) { _ = c.Conn.(interface{ CloseWrite() error }).CloseWrite() },
		"resets": func(c *client) { _ = c.Conn.(interface{ SetLinger(int) error }).SetLinger(0); _ = c.Close() },
	}
	for how, leave := range leave {
		t.Run(how+" before the greeting", func(t *testing.T) {
			t.Parallel()
			d := newServer(t, "127.0.0.1:0")
			here, on := make(chan struct{}), make(chan struct{})
			d.onGreet(func() { close(here); <-on })
			checkLeave(t, d, here, leave)
			close(on)
		})
		t.Run(how+" before the answer", func(t *testing.T) {
			t.Parallel()
			d := newServer(t, "127.0.0.1:0")
			here, on := make(chan struct{}), make(chan struct{})
			d.onLogin(func(_, _ string) string { close(here); <-on; return "" })
			checkLeave(t, d, here, leave)
			close(on)
		})
		t.Run(how+" before the retry", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{addrs: []string{closedPort(t)}, retries: 3})
			c := r.greeted()
			c.send("l LOGIN alice " + secretWord + "\r\n")
			r.eventually("a retry is due", func() bool { return r.be.Server("s1").Wretr.Load() == 1 })
			leave(c)
			r.eventually("the connection is gone", func() bool { return r.e.Conns.Load() == 0 })
			if _, ok := r.table.Lookup(time.Now(), "alice"); ok {
				t.Error("an entry without a login")
			}
		})
	}
}

func checkLeave(t *testing.T, d *imapd, here chan struct{}, leave func(*client)) {
	t.Helper()
	r := newRig(t, plan{addrs: []string{d.addr()}})
	c := r.greeted()
	c.send("l LOGIN alice " + secretWord + "\r\n")
	<-here
	leave(c)
	r.eventually("the connection is gone", func() bool { return r.e.Conns.Load() == 0 })
	if n := r.be.Scur.Load(); n != 0 {
		t.Errorf("%d places taken", n)
	}
	if _, ok := r.table.Lookup(time.Now(), "alice"); ok {
		t.Error("an entry without a login")
	}
	r.e.workers[0].loop.Do(func() {
		if n := r.e.workers[0].loop.Conns(); n > 1 { // the client's may linger
			t.Errorf("%d descriptors", n)
		}
	})
}

// The reasons of the relay come through with the bytes counted.
func TestEndsOfSessions(t *testing.T) {
	r, clients, servers := crowd(t, 4, 1)
	_ = clients[0].Close()
	r.ended("client_closed")
	_ = clients[2].Conn.(interface{ SetLinger(int) error }).SetLinger(0)
	_ = clients[2].Close()
	r.ended("client_aborted")
	servers[1].hangUp()
	for _, i := range []int{1, 3} {
		clients[i].want("* BYE [UNAVAILABLE] Server connection lost")
		clients[i].gone()
		_ = clients[i].Close()
	}
	end := r.ended("server_closed")
	ok := strings.Replace(loggedIn, "L OK", "l OK", 1)
	if end["in"] != float64(0) || end["out"] != float64(len(ok)) || end["state"] != "SD" {
		t.Errorf("logged %v", end)
	}
	s2 := r.be.Server("s2")
	r.eventually("both are counted", func() bool { return s2.SrvAbrt.Load() == 2 && r.fe.Out.Load() == int64(4*len(ok)) })
	if r.be.Server("s1").CliAbrt.Load() != 1 || r.e.Out.Load() != r.fe.Out.Load() || r.be.Bout.Load() != r.fe.Out.Load() {
		t.Errorf("cli_abrt %d, out %d, %d, %d", r.be.Server("s1").CliAbrt.Load(), r.e.Out.Load(), r.fe.Out.Load(), r.be.Bout.Load())
	}
}
