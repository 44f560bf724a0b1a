package balancer

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const users = 100_000

// homes places many users by hash and returns each one's server.
func homes(b *Backend) []string {
	out := make([]string, users)
	for i := range out {
		out[i] = b.Choose(start, Ask{Key: fmt.Sprintf("user%d@example.org", i)}, nil).Name
	}
	return out
}

func count(names []string) map[string]int {
	n := map[string]int{}
	for _, name := range names {
		n[name]++
	}
	return n
}

func TestHashSpreadsByWeight(t *testing.T) {
	s := setup(10, "hash", nil)
	sum := 0
	for i := range s.Servers {
		s.Servers[i].Config.Weight = 100 + 10*i
		sum += s.Servers[i].Config.Weight
	}
	s.Servers = append(s.Servers, ServerSpec{Name: "none", Config: ServerConfig{Weight: 0}})
	n := count(homes(NewBackend(start, "mail", 3, s)))
	for _, spec := range s.Servers {
		want := float64(users*spec.Config.Weight) / float64(sum)
		if got := float64(n[spec.Name]); math.Abs(got-want) > 0.05*want {
			t.Errorf("%s of weight %d has %v users, want %.0f within 5 %%", spec.Name, spec.Config.Weight, got, want)
		}
	}
}

func TestHashMovesOnlyTheUsersOfTheServerThatGoes(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(10, "hash", nil))
	before := homes(b)
	b.Server("s4").SetHealth(start, down)
	for i, now := range homes(b) {
		if moved := now != before[i]; moved != (before[i] == "s4") {
			t.Fatalf("user %d of %s is on %s now", i, before[i], now)
		}
	}
	b.Server("s4").SetHealth(start, up)
	if !slices.Equal(homes(b), before) {
		t.Fatal("when the server is back the choice is another than before")
	}
}

// More weight for one server brings users to it and moves none between others.
func TestHashWeightMovesOnlyToTheHeavier(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(10, "hash", nil))
	before := homes(b)
	b.Server("s4").SetWeight(start, 200)
	moved := 0
	for i, now := range homes(b) {
		if now != before[i] {
			moved++
			if now != "s4" {
				t.Fatalf("user %d went from %s to %s", i, before[i], now)
			}
		}
	}
	if want := users * (2.0/11 - 1.0/10); math.Abs(float64(moved)-want) > 0.05*want {
		t.Fatalf("%d users moved, want %.0f", moved, want)
	}
}

func TestHashDoesNotDependOnTheOrder(t *testing.T) {
	s := setup(10, "hash", nil)
	before := homes(NewBackend(start, "mail", 3, s))
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(s.Servers), func(i, j int) { s.Servers[i], s.Servers[j] = s.Servers[j], s.Servers[i] })
	if !slices.Equal(homes(NewBackend(start, "other", 4, s)), before) {
		t.Fatal("another order of the servers gives another choice")
	}
}

// The choice is the same in every version and on every machine: peers must
// agree.
func TestHashIsPinned(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(10, "hash", nil))
	for key, want := range pinned {
		if got := b.Choose(start, Ask{Key: key}, nil).Name; got != want {
			t.Errorf("%q is on %s, want %s", key, got, want)
		}
	}
}

var pinned = map[string]string{"alice": "s8", "bob": "s1", "carol@example.org": "s7", "": "s1"}

// BenchmarkSession is all the balancer does in a session's life.
func BenchmarkSession(b *testing.B) {
	for name, fresh := range map[string]bool{"stuck": false, "new": true} {
		b.Run(name, func(b *testing.B) {
			table := newTable()
			be := NewBackend(start, "mail", 3, setup(10, "hash", table))
			table.Set(start, "user", "s3")
			b.ReportAllocs()
			for b.Loop() {
				p, err := be.Place(start, Ask{Key: "user"})
				if err != nil || p.Begin(start) != nil {
					b.Fatal(err)
				}
				p.End(start)
				if fresh {
					table.Delete("user")
				}
			}
		})
	}
}

func TestPlacingTakesNoMemory(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(10, "hash", newTable()))
	begin(t, b, "alice")
	n := testing.AllocsPerRun(100, func() {
		p, _ := b.Place(start, Ask{Key: "alice"})
		p.Begin(start)
		p.End(start)
	})
	if n != 0 {
		t.Fatalf("a session takes %v allocations, want 0", n)
	}
}
