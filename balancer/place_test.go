package balancer

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"imaplb/sticktable"
)

var start = time.UnixMilli(1_700_000_000_000)

func newTable() *sticktable.Table {
	return sticktable.New("users", sticktable.Config{Size: 100_000, Expire: time.Hour}, "lb1")
}

// setup is n servers s1, s2 … of weight 100.
func setup(n int, balance string, table *sticktable.Table) Setup {
	s := Setup{Config: Config{Balance: balance}, Table: table}
	for i := range n {
		s.Servers = append(s.Servers, ServerSpec{Name: fmt.Sprint("s", i+1), Config: DefaultServerConfig()})
	}
	return s
}

func mustPlace(t *testing.T, b *Backend, key string) Placement {
	t.Helper()
	p, err := b.Place(start, Ask{Key: key})
	if err != nil {
		t.Fatalf("Place(%q) = %v", key, err)
	}
	return p
}

func begin(t *testing.T, b *Backend, key string) *Placement {
	t.Helper()
	p := mustPlace(t, b, key)
	if err := p.Begin(start); err != nil {
		t.Fatalf("Begin(%q) = %v", key, err)
	}
	return &p
}

var down = Health{Text: "DOWN", Check: "L4CON", Failed: true}
var up = Health{Up: true, Text: "UP", Check: "L4OK"}

func TestUserStaysOnHisServer(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(5, "roundrobin", newTable()))
	first := begin(t, b, "alice")
	for range 10 {
		p := mustPlace(t, b, "alice")
		if p.Server != first.Server || !p.Sticky {
			t.Fatalf("placed on %s, sticky %v, want %s of the first session", p.Server.Name, p.Sticky, first.Server.Name)
		}
		p.End(start)
	}
	first.End(start)
	if p := mustPlace(t, b, "alice"); p.Server != first.Server {
		t.Fatalf("after his last session he is on %s, want %s", p.Server.Name, first.Server.Name)
	}
}

// What the states of his server mean for a user, as a table.
func TestStates(t *testing.T) {
	for _, c := range []struct {
		name              string
		set               func(s *Server)
		fresh, busy, idle bool // may a new user, one with sessions, one without be placed there
		text              string
	}{
		{"ready", func(*Server) {}, true, true, true, "no check"},
		{"up", func(s *Server) { s.SetHealth(start, up) }, true, true, true, "UP"},
		{"down", func(s *Server) { s.SetHealth(start, down) }, false, false, false, "DOWN"},
		{"weight 0", func(s *Server) { s.SetWeight(start, 0) }, false, true, true, "no check"},
		{"drain", func(s *Server) { s.SetAdmin(start, Drain) }, false, true, false, "DRAIN"},
		{"drain, checked", func(s *Server) {
			s.SetAdmin(start, Drain)
			s.SetHealth(start, Health{Up: true, Text: "UP 1/3"})
		}, false, true, false, "DRAIN 1/3"},
		{"drain and down", func(s *Server) { s.SetAdmin(start, Drain); s.SetHealth(start, down) }, false, false, false, "DOWN"},
		{"maint", func(s *Server) { s.SetAdmin(start, Maint) }, false, false, false, "MAINT"},
		{"maint and down", func(s *Server) { s.SetHealth(start, down); s.SetAdmin(start, Maint) }, false, false, false, "MAINT"},
	} {
		table := newTable()
		b := NewBackend(start, "mail", 3, setup(2, "hash", table))
		home, other := b.Server("s1"), b.Server("s2")
		table.Set(start, "idle", "s1")
		table.Enter(start, "busy", "s1")
		c.set(home)
		other.SetAdmin(start, Drain) // nobody new there, but no other home either
		for key, want := range map[string]bool{"new": c.fresh, "busy": c.busy, "idle": c.idle} {
			p, err := b.Place(start, Ask{Key: key})
			if got := err == nil && p.Server == home; got != want {
				t.Errorf("%s: %s user placed there: %v (%v), want %v", c.name, key, got, err, want)
			}
			if !want && !errors.Is(err, ErrNoServer) {
				t.Errorf("%s: %s user: %v, want ErrNoServer", c.name, key, err)
			}
		}
		st := home.State()
		if got := st.Text(); got != c.text {
			t.Errorf("%s: text %q, want %q", c.name, got, c.text)
		}
	}
}

func TestDrainMovesAUserAfterHisLastSession(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(2, "hash", newTable()))
	p := begin(t, b, "alice")
	p.Server.SetAdmin(start, Drain)
	q := begin(t, b, "alice")
	if q.Server != p.Server {
		t.Fatal("a user with a session was moved away from a server in drain")
	}
	p.End(start)
	q.End(start)
	moved := begin(t, b, "alice")
	if moved.Server == p.Server || moved.Sticky {
		t.Fatalf("a user without sessions is on %s, want the other server", moved.Server.Name)
	}
	p.Server.SetAdmin(start, Ready)
	if again := mustPlace(t, b, "alice"); again.Server != moved.Server {
		t.Fatal("the user went back when his old server did")
	}
}

func TestDownServerIsLeftForGood(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(3, "hash", newTable()))
	p := begin(t, b, "alice")
	p.Server.SetHealth(start, down)
	q := begin(t, b, "alice")
	if q.Server == p.Server {
		t.Fatal("placed on a server that is down")
	}
	p.End(start)
	p.Server.SetHealth(start, up)
	if again := mustPlace(t, b, "alice"); again.Server != q.Server {
		t.Fatal("the user went back when his old server did")
	}
}

// The session that logged in too late, when its user has a new home, ends.
func TestBeginOnAMovedUser(t *testing.T) {
	table := newTable()
	b := NewBackend(start, "mail", 3, setup(2, "hash", table))
	p := mustPlace(t, b, "alice")
	p.Server.SetHealth(start, down)
	q := begin(t, b, "alice")
	if err := p.Begin(start); !errors.Is(err, ErrMoved) {
		t.Fatalf("Begin = %v, want ErrMoved", err)
	}
	p.End(start)
	if e, _ := table.Lookup(start, "alice"); e.Server != q.Server.Name || e.Sessions != 1 {
		t.Fatalf("entry %+v, want one session on %s", e, q.Server.Name)
	}
}

func TestFullServers(t *testing.T) {
	s := setup(2, "hash", newTable())
	s.Servers[0].Config.Maxconn, s.Servers[1].Config.Maxconn = 2, 3
	b := NewBackend(start, "mail", 3, s)
	var all []*Placement
	for i := range 5 {
		all = append(all, begin(t, b, fmt.Sprint("u", i)))
	}
	if _, err := b.Place(start, Ask{Key: "u9"}); !errors.Is(err, ErrFull) {
		t.Fatalf("Place of a new user = %v, want ErrFull", err)
	}
	all[0].Server.SetAdmin(start, Drain)
	if _, err := b.Place(start, Ask{Key: "u0"}); !errors.Is(err, ErrFull) {
		t.Fatalf("Place of a user whose server is full = %v, want ErrFull", err)
	}
	all[0].Server.SetAdmin(start, Ready)
	all[1].End(start)
	if p := mustPlace(t, b, "u9"); p.Server != all[1].Server {
		t.Fatalf("placed on %s, want %s, which has room", p.Server.Name, all[1].Server.Name)
	}
	if n := b.Server("s1").Scur.Load() + b.Server("s2").Scur.Load(); n != 5 {
		t.Fatalf("sessions now %d, want 5", n)
	}
}

func TestCountersBalance(t *testing.T) {
	table := newTable()
	b := NewBackend(start, "mail", 3, setup(1, "hash", table))
	s := b.Server("s1")
	p := begin(t, b, "alice")
	failed := mustPlace(t, b, "stranger")
	if s.Scur.Load() != 2 || b.Scur.Load() != 2 || b.Smax.Load() != 2 || s.Smax.Load() != 2 {
		t.Fatalf("sessions now %d and %d, want 2", s.Scur.Load(), b.Scur.Load())
	}
	failed.End(start)
	failed.End(start)
	p.End(start)
	p.End(start)
	if s.Scur.Load() != 0 || b.Scur.Load() != 0 || s.Stot.Load() != 2 || b.Stot.Load() != 2 || b.Lbtot.Load() != 2 {
		t.Fatalf("scur %d %d, stot %d %d, lbtot %d, want 0 0 2 2 2",
			s.Scur.Load(), b.Scur.Load(), s.Stot.Load(), b.Stot.Load(), b.Lbtot.Load())
	}
	if _, ok := table.Lookup(start, "stranger"); ok {
		t.Fatal("a login that failed left an entry")
	}
	if e, ok := table.Lookup(start, "alice"); !ok || e.Sessions != 0 {
		t.Fatalf("entry %+v, %v, want alice's without sessions", e, ok)
	}
	if s.Lastsess.Load() != start.Unix() || s.Rate.Value(start) != 2 {
		t.Fatalf("lastsess %d, rate %d", s.Lastsess.Load(), s.Rate.Value(start))
	}
}

func TestRedispatch(t *testing.T) {
	table := newTable()
	b := NewBackend(start, "mail", 3, setup(3, "hash", table))

	first := mustPlace(t, b, "alice")
	old := first.Server
	if err := b.Redispatch(start, &first, Ask{Key: first.Key}); err != nil || first.Server == old {
		t.Fatalf("first placement: Redispatch = %v to %s, want another server", err, first.Server.Name)
	}
	if old.Scur.Load() != 0 || old.Wredis.Load() != 1 || b.Wredis.Load() != 1 || b.Scur.Load() != 1 {
		t.Fatalf("scur %d, wredis %d, want 0 and 1", old.Scur.Load(), old.Wredis.Load())
	}
	if err := first.Begin(start); err != nil {
		t.Fatalf("Begin on the new server = %v", err)
	}
	if err := b.Redispatch(start, &first, Ask{Key: first.Key}); !errors.Is(err, ErrHome) {
		t.Fatalf("Redispatch of a session that has begun = %v, want ErrHome", err)
	}

	second := mustPlace(t, b, "alice")
	if err := b.Redispatch(start, &second, Ask{Key: second.Key}); !errors.Is(err, ErrHome) || second.Server != first.Server {
		t.Fatalf("user with a session: Redispatch = %v, want ErrHome", err)
	}
	first.Server.SetHealth(start, down)
	if err := b.Redispatch(start, &second, Ask{Key: second.Key}); err != nil || second.Server == first.Server {
		t.Fatalf("server is down: Redispatch = %v, want another server", err)
	}

	first.Server.SetHealth(start, up)
	table.Set(start, "bob", "s1")
	third := mustPlace(t, b, "bob")
	if err := b.Redispatch(start, &third, Ask{Key: third.Key}); !errors.Is(err, ErrHome) {
		t.Fatalf("user without sessions, server up: Redispatch = %v, want ErrHome", err)
	}
	table.Set(start, "bob", "s2")
	if err := b.Redispatch(start, &third, Ask{Key: third.Key}); err != nil || third.Server.Name != "s2" || !third.Sticky {
		t.Fatalf("user moved meanwhile: Redispatch = %v to %s, want s2", err, third.Server.Name)
	}
}

// A user whose very first login is under way twice: the one that moves takes
// the other along.
func TestRedispatchOfTwoFirstLogins(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(3, "hash", newTable()))
	one, two := mustPlace(t, b, "alice"), mustPlace(t, b, "alice")
	if err := b.Redispatch(start, &one, Ask{Key: one.Key}); err != nil {
		t.Fatal(err)
	}
	if err := b.Redispatch(start, &two, Ask{Key: two.Key}); err != nil || two.Server != one.Server {
		t.Fatalf("Redispatch = %v to %s, want %s like the first", err, two.Server.Name, one.Server.Name)
	}
	if err := errors.Join(one.Begin(start), two.Begin(start)); err != nil {
		t.Fatal(err)
	}
}

func TestRedispatchNowhere(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(1, "hash", newTable()))
	p := mustPlace(t, b, "alice")
	if err := b.Redispatch(start, &p, Ask{Key: p.Key}); !errors.Is(err, ErrNoServer) || p.Server.Scur.Load() != 1 {
		t.Fatalf("Redispatch with one server = %v, scur %d, want ErrNoServer and the place kept", err, p.Server.Scur.Load())
	}
	p.End(start)
	if b.Scur.Load() != 0 {
		t.Fatal("a place was lost")
	}
}

// Whatever logins, state changes and reloads do at once, a user's live
// sessions are never counted on two servers that both keep him, and all
// counters return to zero.
func TestOneHomeUnderConcurrency(t *testing.T) {
	table := newTable()
	b := NewBackend(start, "mail", 3, setup(4, "roundrobin", table))
	var live [10]sync.Map // of each user: *Placement → nothing
	var sessions sync.WaitGroup
	stop := chaos(func(i int) {
		s := b.Servers()[i%4]
		s.SetAdmin(start, Drain)
		s.SetAdmin(start, Ready)
		b.Update(start, setup(4, "roundrobin", table))
	})
	for w := range 8 {
		sessions.Go(func() {
			for i := range 500 {
				u := (w + i) % len(live)
				p, err := b.Place(start, Ask{Key: fmt.Sprint("u", u)})
				if err != nil {
					continue
				}
				if i%7 == 0 {
					b.Redispatch(start, &p, Ask{Key: p.Key})
				}
				if p.Begin(start) == nil {
					live[u].Store(&p, nil)
					live[u].Range(func(other, _ any) bool {
						if o := other.(*Placement); o.Server != p.Server {
							t.Errorf("u%d has sessions on %s and %s", u, o.Server.Name, p.Server.Name)
						}
						return true
					})
					live[u].Delete(&p)
				}
				p.End(start)
			}
		})
	}
	sessions.Wait()
	stop()
	if b.Scur.Load() != 0 {
		t.Errorf("backend has %d sessions, want 0", b.Scur.Load())
	}
	for _, s := range b.Servers() {
		if s.Scur.Load() != 0 {
			t.Errorf("%s has %d sessions, want 0", s.Name, s.Scur.Load())
		}
	}
	table.Range(start, func(e sticktable.Entry) bool {
		if e.Sessions != 0 {
			t.Errorf("%s has %d sessions in the table, want 0", e.Key, e.Sessions)
		}
		return true
	})
}

// chaos runs f again and again, with 0, 1 and so on, until stop has returned.
func chaos(f func(i int)) (stop func()) {
	quit, runs := make(chan struct{}), sync.WaitGroup{}
	runs.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
				f(i)
			}
		}
	})
	return func() { close(quit); runs.Wait() }
}
