package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"imaplb/peers"
	"imaplb/sticktable"
)

// couple is two peers with a table, and clients who come and go at both. Owned
// by the goroutine of its test.
type couple struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	sides [2]coupled
	open  []visit
}

// coupled is one of them.
type coupled struct {
	table  *sticktable.Table
	remote *peers.Remote
	link   *peers.Link
	ahead  time.Duration // its clock
}

// visit is a session.
type visit struct {
	key  string
	side int
	end  time.Time
}

func newCouple(t *testing.T, size int, ahead time.Duration) *couple {
	t.Helper()
	c := &couple{t: t, rng: rand.New(rand.NewPCG(1, 2)), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	cfg := sticktable.DefaultConfig()
	cfg.Size, cfg.Expire = size, 2*time.Minute
	names := [2]string{"a", "b"}
	for i, name := range names {
		s := &c.sides[i]
		s.table, s.remote = sticktable.New("users", cfg, name), peers.NewRemote(names[1-i])
		s.ahead = time.Duration(1-i) * ahead
		s.table.Replicate(c.at(i))
		s.link = peers.NewLink(peers.LinkConfig{Self: name, Incarnation: 1, States: []peers.State{s.table}}, s.remote)
	}
	return c
}

func (c *couple) at(i int) time.Time { return c.now.Add(c.sides[i].ahead) }

// flow exchanges frames until nothing moves.
func (c *couple) flow() {
	c.t.Helper()
	for moved := true; moved; {
		moved = false
		for i := range c.sides {
			out := c.sides[i].link.Next(c.at(i), nil)
			for f, rest, ok := peers.CutFrame(out); ok; f, rest, ok = peers.CutFrame(rest) {
				moved = true
				if err := c.sides[1-i].link.Receive(c.at(1-i), f); err != nil {
					c.t.Fatal(err)
				}
			}
		}
	}
}

// run lets time pass with so many logins each 400 ms.
func (c *couple) run(d time.Duration, logins int) {
	c.t.Helper()
	for end := c.now.Add(d); c.now.Before(end); {
		c.now = c.now.Add(400 * time.Millisecond)
		for range logins {
			c.login(fmt.Sprint("user", c.rng.IntN(20_000)), c.rng.IntN(2))
		}
		c.open = slices.DeleteFunc(c.open, func(v visit) bool {
			over := !v.end.After(c.now)
			if over {
				c.sides[v.side].table.Leave(c.at(v.side), v.key)
			}
			return over
		})
		for i := range c.sides {
			c.sides[i].table.Sweep(c.at(i), 20_000)
		}
		c.flow()
	}
}

func (c *couple) login(key string, side int) {
	table, now := c.sides[side].table, c.at(side)
	e, _ := table.Lookup(now, key)
	if e.Server == "" {
		e, _ = table.Assign(now, key, fmt.Sprint("s", c.rng.IntN(3)), e)
	}
	if _, ok := table.Enter(now, key, e.Server); ok {
		c.open = append(c.open, visit{key, side, c.now.Add(time.Duration(c.rng.IntN(60)) * time.Second)})
	}
}

// Two healthy peers find that they agree while clients come and go, and send each
// other next to nothing again; somewhat more if one lets entries expire some
// seconds before the other, or their tables are full.
func TestHealthyPeersRepairLittle(t *testing.T) {
	for _, test := range []struct {
		name  string
		size  int
		ahead time.Duration
		most  float64 // part of the entries that come as updates
	}{
		{"roomy", 100_000, 0, 0.01},
		{"full", 3000, 0, 0.01},
		{"one clock ahead", 100_000, 5 * time.Second, 0.25},
		{"one clock ahead, full", 3000, 5 * time.Second, 0.01},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCouple(t, test.size, test.ahead)
			c.run(5*time.Minute, 10)
			for i := range c.sides {
				info := c.sides[i].remote.Info()
				again := float64(info.Counters.RepairedIn) / float64(info.Counters.EntriesIn)
				if ago := c.now.Sub(info.Agreed); again > test.most || test.ahead == 0 && ago > 3*time.Minute {
					t.Errorf("%d entries came as updates, %.1f %% of that again, at most %.0f %%; agreed %v ago",
						info.Counters.EntriesIn, 100*again, 100*test.most, ago)
				}
			}
			c.run(time.Minute+5*time.Second, 0)
			c.run(2*time.Minute+test.ahead, 0)
			if a, b := c.sides[0].table.Len(), c.sides[1].table.Len(); a+b > 0 {
				t.Errorf("%d and %d entries are left when all should have expired", a, b)
			}
		})
	}
}
