package balancer

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// shared is a Setup of one server whose limits are shared with others.
func shared(set func(*ServerConfig)) Setup {
	s := queued(1, 0)
	s.Shared = true
	set(&s.Servers[0].Config)
	return s
}

// Who shares a limit has nothing of it before it is given some; when it is, who
// waits is let in, and the owner hears of those who wait.
func TestAllow(t *testing.T) {
	s := shared(func(c *ServerConfig) { c.Maxconn = 10 })
	asked, alarms := 0, 0
	s.OnFull = func() { asked++ }
	b := NewBackend(start, "mail", 3, s)
	b.SetAlarm(func(time.Time) { alarms++ })
	s1 := b.Server("s1")
	g, h := mustWait(t, b, "alice"), mustWait(t, b, "bob")
	if is := s1.Share(start, MaxconnLimit); asked != 2 || is != (Share{All: 10, Waiting: 2}) {
		t.Errorf("asked %d times, %+v", asked, is)
	}
	if used := s1.Allow(start, MaxconnLimit, 1); used != 0 || alarms != 1 {
		t.Errorf("%d used, %d alarms", used, alarms)
	}
	b.Serve(start)
	p := mustClaim(t, b, g)
	s1.Allow(start, MaxconnLimit, 2)
	b.Serve(start)
	q := mustClaim(t, b, h)
	if used := s1.Allow(start, MaxconnLimit, 1); used != 2 || alarms != 2 {
		t.Errorf("with less %d used, want 2; %d alarms", used, alarms)
	}
	i := mustWait(t, b, "carol")
	p.End(start)
	if i.isWoken() {
		t.Error("let in above what is allowed")
	}
	s.Servers[0].Config.Maxconn = 1
	b.Update(start, s)
	if is := s1.Share(start, MaxconnLimit); is != (Share{All: 1, Here: 1, Used: 1, Waiting: 1}) {
		t.Errorf("after a reload %+v", is)
	}
	s1.SetMaxconn(0)
	s1.SetMaxconn(10)
	if is := s1.Share(start, MaxconnLimit); is.Here != 1 {
		t.Errorf("after an order %+v, want the claim of before", is)
	}
	q.End(start)
	mustClaim(t, b, i).End(start)
	wantEmpty(t, b)
}

// Without timeout_queue nobody waits, but the owner hears of it.
func TestAllowWithoutQueue(t *testing.T) {
	s := shared(func(c *ServerConfig) { c.Maxlogins = 2 })
	s.Config.TimeoutQueue = 0
	asked := 0
	s.OnFull = func() { asked++ }
	b := NewBackend(start, "mail", 3, s)
	g := newGuest("alice")
	if _, err := b.PlaceOrWait(start, Ask{Key: "alice"}, &g.w, g); err != ErrFull || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	b.Server("s1").Allow(start, MaxloginsLimit, 1)
	p := mustPlace(t, b, "alice")
	p.End(start)
}

// Nothing is added above what is allowed, however many come while it changes:
// what Allow returns, and what it allows, is the most there is.
func TestAllowIsExact(t *testing.T) {
	b := NewBackend(start, "mail", 3, shared(func(c *ServerConfig) { c.Maxconn = 1000 }))
	s1 := b.Server("s1")
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if p, err := b.Place(start, Ask{Key: fmt.Sprint("u", i)}); err == nil {
					p.End(start)
				}
			}
		})
	}
	for i := range 5000 {
		n := int64(i % 4)
		bound := max(n, s1.Allow(start, MaxconnLimit, n))
		for range 3 {
			if now := s1.Scur.Load(); now > bound {
				t.Fatalf("%d sessions, at most %d", now, bound)
			}
		}
	}
	close(stop)
	clients.Wait()
}

// A claim that moves to another peer brings no tokens: those of all peers
// together do not become more.
func TestAllowedRate(t *testing.T) {
	b := NewBackend(start, "mail", 3, shared(func(c *ServerConfig) { c.LoginRate = 100 }))
	s1 := b.Server("s1")
	takes := func(now time.Time) (n int) {
		for {
			p, err := b.Place(now, Ask{Key: "alice"})
			if err != nil {
				return n
			}
			p.End(now)
			n++
		}
	}
	if n := takes(start); n != 0 {
		t.Errorf("%d logins before it has a claim", n)
	}
	s1.Allow(start, LoginRateLimit, 50)
	if n := takes(start); n != 0 {
		t.Errorf("%d logins at once of a new claim", n)
	}
	now := start.Add(400 * time.Millisecond)
	s1.Allow(now, LoginRateLimit, 100)
	if n := takes(now); n != 20 {
		t.Errorf("%d logins after 400 ms at 50 per second, want 20", n)
	}
	s1.Allow(now, LoginRateLimit, 10)
	if n := takes(now.Add(10 * time.Second)); n != 10 {
		t.Errorf("%d logins after a pause at 10 per second, want 10", n)
	}
	s1.Allow(now, LoginRateLimit, 0)
	if n := takes(now.Add(20 * time.Second)); n != 0 {
		t.Errorf("%d logins without a claim", n)
	}
	alone := NewBackend(start, "mail", 3, shared(func(c *ServerConfig) { c.LoginRate = 100 }))
	alone.Server("s1").Allow(start, LoginRateLimit, 100)
	b = alone
	if n := takes(start); n != 100 {
		t.Errorf("%d logins at once of the whole limit, want 100", n)
	}
}

// A claim on maxconn has its part of minconn and fullconn too.
func TestDynamicClaim(t *testing.T) {
	s := shared(func(c *ServerConfig) { c.Maxconn, c.Minconn = 100, 10 })
	s.Config.Fullconn = 1000
	b := NewBackend(start, "mail", 3, s)
	s1 := b.Server("s1")
	s1.Allow(start, MaxconnLimit, 50)
	for conns, want := range map[int64]int64{0: 5, 100: 10, 499: 49, 500: 50, 5000: 50} {
		b.Scur.Store(conns)
		if got, _ := s1.Limit(); got != want {
			t.Errorf("half a claim with %d sessions: %d, want %d", conns, got, want)
		}
	}
	s1.Allow(start, MaxconnLimit, 0)
	if got, some := s1.Limit(); got != 0 || !some {
		t.Errorf("without a claim: %d, %t, want 0 and a limit", got, some)
	}
}
