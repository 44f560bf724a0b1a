package balancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// A pin decides before the table and the algorithm, but not over sessions that
// may go on, not while frozen, and not for a server that takes nobody.
func TestPinnedUserIsPlaced(t *testing.T) {
	const pin, home = "s1", "s2"
	tests := []struct {
		name     string
		entry    bool // on home
		sessions bool
		frozen   bool
		admin    Admin // of the pin's server
		down     bool  // it
		want     string
		sticky   bool
	}{
		{name: "unknown", want: pin},
		{name: "lives elsewhere", entry: true, want: pin},
		{name: "has sessions elsewhere", entry: true, sessions: true, want: home, sticky: true},
		{name: "frozen", entry: true, frozen: true, want: home, sticky: true},
		{name: "unknown while frozen", frozen: true, want: pin},
		{name: "in drain", admin: Drain, want: pin},
		{name: "in maint", admin: Maint, entry: true, want: home, sticky: true},
		{name: "down", down: true, entry: true, want: home, sticky: true},
		{name: "down, unknown", down: true, want: home},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := setup(2, "hash", newTable())
			s.Frozen = func() bool { return tt.frozen }
			pinned := ""
			s.Pinned = func(key string) string {
				if key != "alice" {
					return ""
				}
				return pinned
			}
			b := NewBackend(start, "mail", 3, s)
			if tt.entry {
				s.Table.Set(start, "alice", home)
			}
			if tt.sessions {
				begin(t, b, "alice")
			}
			pinned = pin
			b.Server(pin).SetAdmin(start, tt.admin)
			if tt.down {
				b.Server(pin).SetHealth(start, down)
			}
			e := b.Explain(start, Ask{Key: "alice"})
			p := mustPlace(t, b, "alice")
			if p.Server.Name != tt.want || p.Sticky != tt.sticky {
				t.Errorf("placed on %s, sticky %v, want %s, %v", p.Server.Name, p.Sticky, tt.want, tt.sticky)
			}
			if e.Server != p.Server || e.Sticky != p.Sticky || e.Pinned != (tt.want == pin) {
				t.Errorf("Explain = %+v, but placed on %s", e, p.Server.Name)
			}
			if entry, _ := s.Table.Lookup(start, "alice"); entry.Server != tt.want {
				t.Errorf("the table says %s, want %s", entry.Server, tt.want)
			}
		})
	}
}

// A pinned server that is full is waited for: the user goes nowhere else.
func TestPinnedServerIsFull(t *testing.T) {
	s := setup(2, "hash", newTable())
	s.Servers[0].Config.Maxconn = 1
	s.Pinned = func(string) string { return "s1" }
	b := NewBackend(start, "mail", 3, s)
	begin(t, b, "alice")
	if _, err := b.Place(start, Ask{Key: "bob"}); !errors.Is(err, ErrFull) {
		t.Errorf("Place = %v, want %v", err, ErrFull)
	}
	if e := b.Explain(start, Ask{Key: "bob"}); !errors.Is(e.Err, ErrFull) || !e.Pinned || e.Full != b.Server("s1") {
		t.Errorf("Explain = %+v, want full and pinned", e)
	}
}

// Whatever state the servers are in, Explain says what Place then does, and
// changes nothing.
func TestExplainIsPlace(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := setup(1+rng.IntN(4), "hash", newTable())
		frozen, pins := false, map[string]string{}
		s.Frozen = func() bool { return frozen }
		s.Pinned = func(key string) string { return pins[key] }
		for i := range s.Servers {
			s.Servers[i].Config.Maxconn = rng.IntN(4)
			s.Servers[i].Config.Maxlogins = rng.IntN(3)
			s.Servers[i].Config.LoginRate = 2 * rng.IntN(2)
			s.Servers[i].Config.Weight = 50 * rng.IntN(4)
			s.Servers[i].Config.Backup = rng.IntN(4) == 0
			s.Servers[i].Config.Tags = [][]string{nil, {"ssd"}, {"ssd", "hdd"}}[rng.IntN(3)]
		}
		s.Config.PanicThreshold = 50 * rng.IntN(2)
		b := NewBackend(start, "mail", 3, s)
		now := start
		var sessions, logins []*Placement
		for step := range 60 {
			server := b.Servers()[rng.IntN(len(b.Servers()))]
			key := fmt.Sprint("u", rng.IntN(5))
			now = now.Add(time.Duration(rng.IntN(300)) * time.Millisecond)
			switch rng.IntN(10) {
			case 0:
				server.SetAdmin(now, Admin(rng.IntN(int(numAdmin))))
			case 1:
				server.SetHealth(now, []Health{up, down}[rng.IntN(2)])
			case 2:
				frozen = !frozen
			case 3:
				pins[key] = []string{"", server.Name, "gone"}[rng.IntN(3)]
			case 4:
				if n := len(sessions); n > 0 {
					sessions[n-1].End(now)
					sessions = sessions[:n-1]
				}
			case 5:
				if n := len(logins); n > 0 {
					logins[n-1].End(now)
					logins = logins[:n-1]
				}
			}
			ask := Ask{Key: key, Tag: []string{"", "", "ssd", "hdd"}[rng.IntN(4)]}
			before, known := s.Table.Lookup(now, key)
			e := b.Explain(now, ask)
			if after, still := s.Table.Lookup(now, key); after != before || still != known {
				t.Fatalf("seed %d, step %d: Explain changed the entry", seed, step)
			}
			p, err := b.Place(now, ask)
			if err != nil {
				if !errors.Is(e.Err, err) || e.Server != nil || e.Full != nil && !(e.Full.Full() && errors.Is(err, ErrFull)) {
					t.Fatalf("seed %d, step %d: Explain = %+v, Place = %v", seed, step, e, err)
				}
				continue
			}
			if e.Server != p.Server || e.Sticky != p.Sticky {
				t.Fatalf("seed %d, step %d: Explain = %+v, placed on %s, sticky %v", seed, step, e, p.Server.Name, p.Sticky)
			}
			switch {
			case rng.IntN(4) == 0:
				logins = append(logins, &p) // for a while
			case p.Begin(now) == nil:
				sessions = append(sessions, &p)
			default:
				p.End(now)
			}
		}
	}
}

// The first of the order that takes new users is the one that the hash takes.
func TestHashOrder(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(6, "hash", nil))
	b.Server("s3").SetAdmin(start, Drain)
	b.Server("s5").SetHealth(start, down)
	for i := range 200 {
		key := fmt.Sprint("u", i)
		p := mustPlace(t, b, key)
		for _, s := range b.HashOrder(key) {
			if s.takesNew() {
				if s != p.Server {
					t.Errorf("%s: placed on %s, the order says %s", key, p.Server.Name, s.Name)
				}
				break
			}
		}
	}
}
