package balancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

func panicSetup(n int, threshold int) Setup {
	s := setup(n, "roundrobin", newTable())
	s.Config.PanicThreshold = threshold
	return s
}

func TestPanic(t *testing.T) {
	s := panicSetup(4, 50)
	var kinds []Kind
	s.OnChange = func(c Change) { kinds = append(kinds, c.Kind) }
	b := NewBackend(start, "mail", 3, s)
	alice := begin(t, b, "alice")
	home := alice.Server
	var others []*Server
	for _, s := range b.Servers() {
		if s != home {
			others = append(others, s)
		}
	}
	others[0].SetHealth(start, down)
	others[1].SetHealth(start, down)
	if b.InPanic() || !others[0].Away() {
		t.Fatal("half of the servers are up: want no panic at a threshold of 50")
	}
	home.SetHealth(start, down)
	if !b.InPanic() || home.Away() || others[0].Away() || b.Active() != 4 {
		t.Fatalf("1 of 4 is up: panic %v, home away %v, active %d", b.InPanic(), home.Away(), b.Active())
	}
	if p := mustPlace(t, b, "alice"); p.Server != home {
		t.Errorf("in panic alice is sent to %s, want her home", p.Server.Name)
	}
	seen := map[*Server]bool{}
	for i := range 8 {
		seen[mustPlace(t, b, fmt.Sprint("u", i)).Server] = true
	}
	if len(seen) != 4 {
		t.Errorf("new users go to %d servers, want all 4", len(seen))
	}
	p := mustPlace(t, b, "alice")
	if err := b.Redispatch(start, &p, Ask{Key: "alice"}); err != nil || p.Server == home || !p.Elsewhere {
		t.Errorf("a home that is down and does not answer: Redispatch = %v to %s, elsewhere %v", err, p.Server.Name, p.Elsewhere)
	}
	others[0].SetHealth(start, up)
	if b.InPanic() || !home.Away() {
		t.Error("half of the servers are up again: want no panic")
	}
	if want := []Kind{WentDown, WentDown, WentDown, PanicBegan, WentUp, PanicOver}; fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", kinds, want)
	}
}

func TestPanicLeavesOut(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(b *Backend)
		want bool
	}{
		{"all up", func(*Backend) {}, false},
		{"one of three", func(b *Backend) { away(b, "s1", "s2") }, true},
		{"none at all", func(b *Backend) { away(b, "s1", "s2", "s3") }, true},
		{"those in maint and drain do not count", func(b *Backend) {
			b.Server("s1").SetAdmin(start, Maint)
			b.Server("s2").SetAdmin(start, Drain)
		}, false},
		{"a backup server is up", func(b *Backend) {
			s := panicSetup(4, 50)
			s.Servers[3].Config.Backup = true
			b.Update(start, s)
			away(b, "s1", "s2", "s3")
		}, false},
		{"a reload turns it off", func(b *Backend) {
			away(b, "s1", "s2")
			b.Update(start, panicSetup(3, 0))
		}, false},
	} {
		b := NewBackend(start, "mail", 3, panicSetup(3, 50))
		c.set(b)
		if b.InPanic() != c.want {
			t.Errorf("%s: panic %v, want %v", c.name, b.InPanic(), c.want)
		}
	}
	b := NewBackend(start, "mail", 3, panicSetup(2, 100))
	away(b, "s1", "s2")
	b.Server("s1").SetAdmin(start, Maint)
	b.Server("s2").SetAdmin(start, Drain)
	if _, err := b.Place(start, Ask{Key: "alice"}); !errors.Is(err, ErrNoServer) {
		t.Errorf("Place where the operator lets nobody in = %v, want ErrNoServer", err)
	}
}

// walk is a world in which the owner of the sessions does what it has to:
// it ends those of a server that is away, and those elsewhere of a user who is
// placed anew.
type walk struct {
	t    *testing.T
	b    *Backend
	live map[string][]*Placement
}

func (w *walk) end(key string, ends func(*Placement) bool) {
	kept := w.live[key][:0]
	for _, p := range w.live[key] {
		if ends(p) {
			p.End(start)
			continue
		}
		kept = append(kept, p)
	}
	w.live[key] = kept
}

func (w *walk) changed(c Change) {
	for key := range w.live {
		w.end(key, func(p *Placement) bool {
			gone := c.Kind == PanicOver || p.Server == c.Server && c.Kind != SetWeight
			return gone && p.Server.Away() && !p.Server.KeepsSessions()
		})
	}
}

// leave ends the sessions on a server that is not home any more, before the
// first attempt at the new one.
func (w *walk) leave(key string, p *Placement) {
	if p.Elsewhere {
		w.end(key, func(q *Placement) bool { return q.Server != p.Server })
	}
}

func (w *walk) login(ask Ask, fails bool) {
	key := ask.Key
	p, err := w.b.Place(start, ask)
	if err != nil {
		return
	}
	w.leave(key, &p)
	if fails && w.b.Redispatch(start, &p, ask) != nil {
		p.End(start)
		return
	}
	w.leave(key, &p)
	if p.Begin(start) != nil {
		p.End(start)
		return
	}
	w.live[key] = append(w.live[key], &p)
}

// Whatever servers, agents and operators do, with backup servers and in panic:
// no user has sessions on two servers.
func TestOneHomeInAllStates(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := &walk{t: t, live: map[string][]*Placement{}}
		s := panicSetup(5, 60)
		s.Config.Balance = algorithms[rng.IntN(len(algorithms))]
		s.Servers[3].Config.Backup, s.Servers[4].Config.Backup = rng.IntN(2) == 0, rng.IntN(2) == 0
		s.Servers[1].Config.OnMarkedDown = "none"
		for i, tags := range [][]string{{"ssd"}, {"ssd", "hdd"}, {"hdd"}, nil, {"ssd"}} {
			s.Servers[i].Config.Tags = tags
		}
		s.OnChange = func(c Change) { w.changed(c) }
		w.b = NewBackend(start, "mail", 3, s)
		for step := range 300 {
			srv := w.b.Servers()[rng.IntN(5)]
			key := fmt.Sprint("u", rng.IntN(8))
			switch rng.IntN(10) {
			case 0:
				srv.SetHealth(start, down)
			case 1:
				srv.SetHealth(start, up)
			case 2:
				srv.SetAdmin(start, Admin(rng.IntN(3)))
			case 3:
				srv.SetAgent(start, Agent{Check: "L7OK", Weight: rng.IntN(150) - 1, Down: rng.IntN(4) == 0, Admin: Admin(rng.IntN(5) / 2)})
			case 4:
				w.end(key, func(*Placement) bool { return rng.IntN(2) == 0 })
			default:
				w.login(Ask{Key: key, Tag: []string{"", "", "ssd", "hdd"}[rng.IntN(4)]}, rng.IntN(6) == 0)
			}
			for key, all := range w.live {
				for _, p := range all {
					if p.Server != all[0].Server {
						t.Fatalf("seed %d, step %d, %s: %s has sessions on %s and %s", seed, step, s.Config.Balance, key, all[0].Server.Name, p.Server.Name)
					}
				}
			}
		}
	}
}
