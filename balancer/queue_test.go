package balancer

import (
	"errors"
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// guest is one who waits. woken has one element for each wait that ended.
type guest struct {
	w     Waiter
	name  string
	woken chan struct{}
	log   *[]string // of names in the order they were woken, if not nil
}

func newGuest(name string) *guest { return &guest{name: name, woken: make(chan struct{}, 1)} }

func (g *guest) Woken() {
	if g.log != nil {
		*g.log = append(*g.log, g.name)
	}
	g.woken <- struct{}{}
}

func (g *guest) isWoken() bool { return len(g.woken) > 0 }

// queued is a Setup of n servers with a maxconn.
func queued(n, maxconn int) Setup {
	s := setup(n, "hash", newTable())
	s.Config.TimeoutQueue = time.Minute
	for i := range s.Servers {
		s.Servers[i].Config.Maxconn = maxconn
	}
	return s
}

// mustWait has a guest ask for a place that there is not.
func mustWait(t *testing.T, b *Backend, key string) *guest {
	t.Helper()
	g := newGuest(key)
	if p, err := b.PlaceOrWait(start, Ask{Key: key}, &g.w, g); !errors.Is(err, ErrWaiting) {
		t.Fatalf("PlaceOrWait(%q) = %v, %v, want ErrWaiting", key, p.Server, err)
	}
	return g
}

// mustClaim takes what a guest was woken for.
func mustClaim(t *testing.T, b *Backend, g *guest) *Placement {
	t.Helper()
	select {
	case <-g.woken:
	default:
		t.Fatalf("%s was not woken", g.name)
	}
	p, err := b.Claim(start, Ask{Key: g.name}, &g.w)
	if err != nil {
		t.Fatalf("Claim of %s = %v", g.name, err)
	}
	return &p
}

// wantEmpty is for the end: nobody waits and nobody is there.
func wantEmpty(t *testing.T, b *Backend) {
	t.Helper()
	if b.queue.waiting.Load() != 0 || b.Qcur.Load() != 0 || b.Scur.Load() != 0 {
		t.Errorf("at the end %d wait, %d of them at the backend, %d sessions", b.queue.waiting.Load(), b.Qcur.Load(), b.Scur.Load())
	}
	for _, s := range b.Servers() {
		if s.Qcur.Load() != 0 || s.Scur.Load() != 0 || s.Logins.Load() != 0 {
			t.Errorf("at the end %s has %d waiting, %d sessions, %d logins", s.Name, s.Qcur.Load(), s.Scur.Load(), s.Logins.Load())
		}
	}
}

// A user who has a home waits there, others anywhere; the place that is left
// goes to who came first, in whichever line.
func TestQueueServesByAge(t *testing.T) {
	b := NewBackend(start, "mail", 3, queued(1, 2))
	p, q := begin(t, b, "alice"), begin(t, b, "bob")
	free := mustWait(t, b, "carol")
	bound := mustWait(t, b, "alice")
	later := mustWait(t, b, "dave")
	s := b.Server("s1")
	if s.Qcur.Load() != 1 || b.Qcur.Load() != 2 || later.w.AheadBackend != 1 || bound.w.AheadServer != 0 {
		t.Errorf("%d wait for the server, %d for any; ahead of dave %d", s.Qcur.Load(), b.Qcur.Load(), later.w.AheadBackend)
	}
	if _, err := b.Place(start, Ask{Key: "eve"}); !errors.Is(err, ErrFull) {
		t.Errorf("Place = %v, want ErrFull", err)
	}
	p.End(start)
	if !free.isWoken() || bound.isWoken() {
		t.Fatal("the place was not given to who waits longest")
	}
	c := mustClaim(t, b, free)
	q.End(start)
	a := mustClaim(t, b, bound)
	if !a.Sticky || later.isWoken() {
		t.Errorf("alice is not on her server again, or dave came too early")
	}
	c.End(start)
	d := mustClaim(t, b, later)
	a.End(start)
	d.End(start)
	wantEmpty(t, b)
}

// Who waits finds out that his home is another one by now.
func TestWaitingUserIsMoved(t *testing.T) {
	s := queued(2, 1)
	b := NewBackend(start, "mail", 3, s)
	p := begin(t, b, "alice")
	g := mustWait(t, b, "alice")
	home, other := p.Server, b.Server("s1")
	if other == home {
		other = b.Server("s2")
	}
	if b.HasMoved(start, Ask{Key: "alice"}, home) {
		t.Error("moved before anybody moved him")
	}
	if err := s.Table.Set(start, "alice", other.Name); err != nil {
		t.Fatal(err)
	}
	if !b.HasMoved(start, Ask{Key: "alice"}, home) {
		t.Error("not moved, though the table says so")
	}
	b.Leave(start, &g.w)
	p.End(start)
	wantEmpty(t, b)
}

// A place that was given and not taken yet is nobody else's.
func TestQueueIsNotOvertaken(t *testing.T) {
	b := NewBackend(start, "mail", 3, queued(1, 1))
	p := begin(t, b, "alice")
	g := mustWait(t, b, "bob")
	p.End(start)
	if _, err := b.Place(start, Ask{Key: "carol"}); !errors.Is(err, ErrFull) {
		t.Errorf("Place = %v, want ErrFull", err)
	}
	mustClaim(t, b, g).End(start)
	wantEmpty(t, b)
}

// Who leaves frees the way, also when a place was on its way to him.
func TestQueueLeave(t *testing.T) {
	b := NewBackend(start, "mail", 3, queued(1, 1))
	p := begin(t, b, "alice")
	first, second, third := mustWait(t, b, "bob"), mustWait(t, b, "carol"), mustWait(t, b, "dave")
	b.Leave(start, &second.w)
	b.Leave(start, &second.w)
	p.End(start)
	if !first.isWoken() {
		t.Fatal("the first was not woken")
	}
	b.Leave(start, &first.w)
	mustClaim(t, b, third).End(start)
	if second.isWoken() {
		t.Error("one who left was woken")
	}
	wantEmpty(t, b)
}

func TestQueueIsBounded(t *testing.T) {
	s := queued(1, 1)
	s.Servers[0].Config.Maxqueue = 2
	b := NewBackend(start, "mail", 3, s)
	p := begin(t, b, "alice")
	var all []*guest
	for _, key := range []string{"alice", "alice", "bob", "carol"} {
		all = append(all, mustWait(t, b, key))
	}
	for _, key := range []string{"alice", "dave"} { // the server's queue, the backend's
		var w Waiter
		if _, err := b.PlaceOrWait(start, Ask{Key: key}, &w, newGuest(key)); !errors.Is(err, ErrQueueFull) {
			t.Errorf("one too many: %v, want ErrQueueFull", err)
		}
	}
	for _, g := range all {
		b.Leave(start, &g.w)
	}
	p.End(start)
	s.Config.TimeoutQueue = 0
	b.Update(start, s)
	p = begin(t, b, "alice")
	if _, err := b.PlaceOrWait(start, Ask{Key: "bob"}, new(Waiter), newGuest("bob")); !errors.Is(err, ErrFull) {
		t.Errorf("without timeout_queue: %v, want ErrFull", err)
	}
	p.End(start)
	wantEmpty(t, b)
}

// What a change of his server means for one who waits for it.
func TestQueueOfAServerThatChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(b *Backend, s *Server)
		busy   bool // a user with a session waits on
	}{
		{"down", func(_ *Backend, s *Server) { s.SetHealth(start, down) }, false},
		{"maint", func(_ *Backend, s *Server) { s.SetAdmin(start, Maint) }, false},
		{"drain", func(_ *Backend, s *Server) { s.SetAdmin(start, Drain) }, true},
		{"removed", func(b *Backend, _ *Server) {
			next := queued(2, 1)
			next.Table, next.Servers = b.Table(), next.Servers[1:]
			b.Update(start, next)
		}, false},
	} {
		b := NewBackend(start, "mail", 3, queued(2, 1))
		if err := errors.Join(b.Table().Set(start, "idle", "s1"), b.Table().Set(start, "busy", "s1")); err != nil {
			t.Fatal(err)
		}
		s1 := b.Server("s1")
		p := begin(t, b, "busy")
		busy, idle := mustWait(t, b, "busy"), mustWait(t, b, "idle")
		c.change(b, s1)
		ticket := busy.w.ticket
		for _, g := range []*guest{busy, idle} {
			if !g.isWoken() {
				t.Fatalf("%s: %s was not woken", c.name, g.name)
			}
			<-g.woken
			if _, err := b.Claim(start, Ask{Key: g.name}, &g.w); !errors.Is(err, ErrAgain) {
				t.Fatalf("%s: Claim of %s = %v, want ErrAgain", c.name, g.name, err)
			}
		}
		q, err := b.PlaceOrWait(start, Ask{Key: "busy"}, &busy.w, busy)
		switch {
		case c.busy && (!errors.Is(err, ErrWaiting) || busy.w.ticket != ticket):
			t.Errorf("%s: user with a session: %v, want that he waits on", c.name, err)
		case !c.busy && (err != nil || q.Server.Name != "s2"):
			t.Errorf("%s: user with a session: %v, want a place on s2", c.name, err)
		}
		b.Leave(start, &busy.w)
		if err == nil {
			q.End(start)
		}
		q, err = b.PlaceOrWait(start, Ask{Key: "idle"}, &idle.w, idle)
		if err != nil || q.Server.Name != "s2" {
			t.Errorf("%s: user without a session: %v, want a place on s2", c.name, err)
		} else {
			q.End(start)
		}
		p.End(start)
		wantEmpty(t, b)
	}
}

// When the last server goes nobody waits on.
func TestQueueWithoutServers(t *testing.T) {
	b := NewBackend(start, "mail", 3, queued(1, 1))
	p := begin(t, b, "alice")
	g, h := mustWait(t, b, "bob"), mustWait(t, b, "carol")
	b.Server("s1").SetHealth(start, down)
	for _, g := range []*guest{g, h} {
		if !g.isWoken() {
			t.Fatalf("%s was not woken", g.name)
		}
		if _, err := b.PlaceOrWait(start, Ask{Key: g.name}, &g.w, g); !errors.Is(err, ErrNoServer) {
			t.Errorf("PlaceOrWait of %s = %v, want ErrNoServer", g.name, err)
		}
	}
	p.End(start)
	wantEmpty(t, b)
}

// A server that comes back, and a limit that is raised, let in who waits.
func TestQueueIsServedByChanges(t *testing.T) {
	s := queued(2, 1)
	b := NewBackend(start, "mail", 3, s)
	b.SetAlarm(func(time.Time) { b.Serve(start) })
	b.Server("s2").SetHealth(start, down)
	p := begin(t, b, "alice")
	var all []*Placement
	g := mustWait(t, b, "bob")
	b.Server("s2").SetHealth(start, up)
	all = append(all, mustClaim(t, b, g))
	g = mustWait(t, b, "carol")
	s.Servers[1].Config.Maxconn = 2
	b.Update(start, s)
	all = append(all, mustClaim(t, b, g))
	g = mustWait(t, b, "dave")
	b.Server("s1").SetMaxconn(0)
	all = append(all, mustClaim(t, b, g), p)
	for _, p := range all {
		p.End(start)
	}
	wantEmpty(t, b)
}

// Two logins of one new user are woken by two servers: both go to one.
func TestQueueKeepsOneHome(t *testing.T) {
	b := NewBackend(start, "mail", 3, queued(2, 1))
	p, q := begin(t, b, "alice"), begin(t, b, "bob")
	one, two := mustWait(t, b, "carol"), mustWait(t, b, "carol")
	p.End(start)
	q.End(start)
	c := mustClaim(t, b, one)
	<-two.woken
	if _, err := b.Claim(start, Ask{Key: "carol"}, &two.w); !errors.Is(err, ErrAgain) {
		t.Fatalf("Claim of the second = %v, want ErrAgain", err)
	}
	if r, err := b.PlaceOrWait(start, Ask{Key: "carol"}, &two.w, two); !errors.Is(err, ErrWaiting) || r.Server != c.Server {
		t.Fatalf("the second: %v, want that it waits for the first's server", err)
	}
	c.End(start)
	mustClaim(t, b, two).End(start)
	wantEmpty(t, b)
}

// 10,000 who wait are let in in the order they came, and cost little.
func TestQueueOfTenThousand(t *testing.T) {
	const n = 10_000
	b := NewBackend(start, "mail", 3, queued(1, 1))
	p := begin(t, b, "first")
	var log, want []string
	all := make([]*guest, n)
	for i := range all {
		all[i] = mustWait(t, b, fmt.Sprint("u", i))
		all[i].log = &log
		want = append(want, all[i].name)
	}
	for _, g := range all {
		p.End(start)
		p = mustClaim(t, b, g)
	}
	p.End(start)
	if fmt.Sprint(log) != fmt.Sprint(want) {
		t.Error("not in the order they came")
	}
	if size := unsafe.Sizeof(Waiter{}); size > 128 {
		t.Errorf("a Waiter has %d bytes", size)
	}
	wantEmpty(t, b)
}
