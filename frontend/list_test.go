package frontend

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestSessions(t *testing.T) {
	server, cfg := certificate(t, "imap.test")
	d, asked, answer := gated(t)
	r := newRig(t, plan{addrs: []string{d.addr()}, config: Config{TLS: "starttls"}, tls: server, loops: 2})
	relayed := r.greeted()
	answer <- ""
	relayed.login("alice")
	<-asked
	relayed.send("n NOOP\r\n")
	relayed.want("n OK")
	secure := r.greeted()
	secure.send("s STARTTLS\r\n")
	secure.want("s OK")
	secure.secure(cfg)
	secure.send("n NOOP\r\n")
	secure.want("n OK")
	logging := r.greeted()
	logging.send("l LOGIN Bob " + secretWord + "\r\n")
	<-asked

	want := map[string]string{
		relayed.LocalAddr().String(): "relay alice mail/s1 ",
		secure.LocalAddr().String():  "login  / TLSv1.3",
		logging.LocalAddr().String(): "connect bob mail/s1 ",
	}
	now := time.Now()
	r.e.Sessions(func(s Session) bool {
		if got := fmt.Sprintf("%s %s %s/%s %s", s.State, s.User, s.Backend, s.Server, s.TLS); got != want[s.Src] {
			t.Errorf("%s is listed as %q, want %q", s.Src, got, want[s.Src])
		}
		if s.Proto != "tcpv4" || s.Frontend != "imap" || s.FDClient < 0 || (s.FDServer >= 0) != (s.State != "login") {
			t.Errorf("listed as %+v", s)
		}
		if age := now.Sub(s.Start); age < -time.Second || age > patience || s.Expires <= 0 || s.Idle < -time.Second || s.Idle > patience {
			t.Errorf("age %v, idle %v, expires in %v", age, s.Idle, s.Expires)
		}
		if s.State == "relay" && (s.In != int64(len("n NOOP\r\n")) || s.Out == 0) {
			t.Errorf("in %d, out %d", s.In, s.Out)
		}
		delete(want, s.Src)
		return true
	})
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	n := 0
	r.e.Sessions(func(Session) bool { n++; return false })
	r.e.UserSessions("alice", func(s Session) bool { n += 10; return s.User == "alice" })
	r.e.UserSessions("bob", func(Session) bool { n += 100; return true }) // not in yet
	if n != 11 {
		t.Errorf("called %d times, want once and once for alice", n)
	}
	answer <- ""
	logging.want("l OK")
}

// Lists, kicks and reloads while clients come and go, for the race detector,
// and for the counts to be right behind it.
func TestListsDuringLogins(t *testing.T) {
	d1, d2 := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}, loops: 3})
	const users, rounds = 6, 12
	stop := make(chan struct{})
	var busy, done sync.WaitGroup
	for i := range users {
		done.Add(1)
		go func() {
			defer done.Done()
			for range rounds {
				c := r.dial()
				c.send(fmt.Sprintf("l LOGIN user%d %s\r\nn NOOP\r\nx LOGOUT\r\n", i, secretWord))
				c.gone()
				_ = c.Close()
			}
		}()
	}
	watch := func(f func(i int)) {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		}()
	}
	watch(func(int) {
		r.e.Sessions(func(s Session) bool {
			if s.ID == 0 || s.Name == "" || s.Frontend != "imap" || s.State == "relay" && (s.Server == "" || s.User == "") {
				t.Errorf("listed as %+v", s)
			}
			_, _ = r.e.Session(s.ID)
			return true
		})
	})
	watch(func(i int) {
		r.e.UserSessions(fmt.Sprint("user", i%users), func(s Session) bool { return s.User != "" })
		if i%8 == 0 {
			r.e.Kick(fmt.Sprint("user", i%users))
		}
	})
	watch(func(i int) {
		next := r.set
		next.Config.TimeoutClient += time.Duration(i%2) * time.Second
		r.fe.Update(next)
		r.e.SetLimits(*r.e.Limits())
	})
	done.Wait()
	close(stop)
	busy.Wait()
	if got := r.fe.SessTot.Load(); got != users*rounds || r.e.ConnsTot.Load() != users*rounds {
		t.Errorf("%d logins, %d connections, want %d", got, r.e.ConnsTot.Load(), users*rounds)
	}
	// Each user has stayed at one server.
	s1, s2 := r.be.Server("s1"), r.be.Server("s2")
	if got := d1.logins.Load() + d2.logins.Load(); got != s1.AuthOK.Load()+s2.AuthOK.Load() || s1.Stot.Load()+s2.Stot.Load() != r.be.Stot.Load() {
		t.Errorf("%d logins at the servers; counted %d and %d", got, s1.AuthOK.Load(), s2.AuthOK.Load())
	}
}

func TestProto(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1:1": "tcpv4", "[2001:db8::1]:1": "tcpv6", "": "unix"} {
		ap, _ := netip.ParseAddrPort(addr)
		if got := proto(ap); got != want {
			t.Errorf("proto(%q) = %q, want %q", addr, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for ms, want := range map[int64]string{0: "0.000s", 7: "0.007s", 61_234: "61.234s"} {
		if got := duration(ms); got != want {
			t.Errorf("duration(%d) = %q, want %q", ms, got, want)
		}
	}
}
