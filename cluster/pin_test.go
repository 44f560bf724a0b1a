package cluster

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"
)

func pinsOf(c *Cluster) map[string]string {
	all := map[string]string{}
	for _, p := range c.Pins() {
		all[p.Table+" "+p.Key] = p.Backend + "/" + p.Server
	}
	return all
}

// Pins hold on all peers, over restarts, until they are taken back; and what
// Pinned says is what is listed.
func TestPins(t *testing.T) {
	m := newMesh(t, 1, 3)
	a := m.nodes[0].c
	for key, server := range map[string]string{"alice": "s1", "bob/x %2F": "s2"} {
		if err := a.OrderPin(m.now, Pin{By: "admin uid=0", Table: "users", Key: key, Backend: "mail", Server: server}); err != nil {
			t.Fatal(err)
		}
	}
	m.flow()
	want := map[string]string{"users alice": "mail/s1", "users bob/x %2F": "mail/s2"}
	for _, s := range m.nodes {
		if got := pinsOf(s.c); !maps.Equal(got, want) {
			t.Errorf("%s: pins %v, want %v", s.name, got, want)
		}
		if s.c.Pinned("users", "alice") != "s1" || s.c.Pinned("users", "carol") != "" || s.c.Pinned("others", "alice") != "" {
			t.Errorf("%s: Pinned does not say so", s.name)
		}
	}
	p, ok := m.nodes[1].c.PinOf("users", "alice")
	if !ok || p.By != "admin uid=0" || p.Peer != "lb1" || !p.When.Equal(m.now) {
		t.Errorf("PinOf = %+v, %v", p, ok)
	}
	m.boot(2, m.nodes[2].c.Save())
	if got := pinsOf(m.nodes[2].c); !maps.Equal(got, want) || m.nodes[2].c.Pinned("users", "alice") != "s1" {
		t.Errorf("pins after a restart %v, want %v", got, want)
	}
	m.members()
	if err := m.nodes[1].c.OrderUnpin(m.now, "admin", "users", "alice"); err != nil {
		t.Fatal(err)
	}
	m.flow()
	for n := range m.nodes {
		m.repair(1, n)
	}
	delete(want, "users alice")
	for _, s := range m.nodes {
		if got := pinsOf(s.c); !maps.Equal(got, want) || s.c.Pinned("users", "alice") != "" {
			t.Errorf("%s: pins %v after the end of one, want %v", s.name, got, want)
		}
	}
	if e := m.nodes[0].c.Events(1)[0]; e.String() != `2026-03-01T12:00:00.000Z order: unpin user "alice" in users, by admin at lb2 12:00:00.000Z` {
		t.Errorf("event %q", e.String())
	}
	if err := a.OrderUnpin(m.now, "admin", "users", "alice"); !errors.Is(err, ErrNotFound) {
		t.Errorf("OrderUnpin again = %v, want %v", err, ErrNotFound)
	}
}

// The newest word on a pin is in force everywhere in the end.
func TestPinsConverge(t *testing.T) {
	for seed := range uint64(100) {
		m := newMesh(t, seed, 2+int(seed%4))
		m.loss = 30
		for range 200 {
			m.step()
			n := m.rng.IntN(len(m.nodes))
			key := fmt.Sprint("u", m.rng.IntN(3))
			switch m.rng.IntN(20) {
			case 0:
				m.nodes[n].c.OrderPin(m.now, Pin{By: "admin", Table: "users", Key: key, Backend: "mail", Server: fmt.Sprint("s", m.rng.IntN(3))})
			case 1:
				m.nodes[n].c.OrderUnpin(m.now, "admin", "users", key)
			case 2:
				m.boot(n, m.nodes[n].c.Save())
				m.members()
			}
		}
		m.heal()
		m.wantSame()
		want := pinsOf(m.nodes[0].c)
		for _, s := range m.nodes {
			if got := pinsOf(s.c); !maps.Equal(got, want) {
				t.Fatalf("seed %d: pins of %s %v, of %s %v", seed, m.nodes[0].name, want, s.name, got)
			}
			for _, p := range s.c.Pins() {
				if s.c.Pinned(p.Table, p.Key) != p.Server {
					t.Fatalf("seed %d: %s: Pinned is not what Pins lists", seed, s.name)
				}
			}
		}
	}
}

func TestPinsAreBounded(t *testing.T) {
	c := newOne(t, "lb1")
	pin := func(key string) error {
		return c.OrderPin(start, Pin{By: "admin", Table: "users", Key: key, Backend: "mail", Server: "s1"})
	}
	for i := range MaxPins {
		if err := pin(fmt.Sprint("u", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := pin("one more"); !errors.Is(err, ErrPins) {
		t.Errorf("pin number %d = %v, want %v", MaxPins+1, err, ErrPins)
	}
	if err := pin("u1"); err != nil {
		t.Errorf("pin anew = %v", err)
	}
	other := newOne(t, "lb2")
	if err := other.OrderPin(start, Pin{By: "admin", Table: "users", Key: "of the other", Backend: "mail", Server: "s1"}); err != nil {
		t.Fatal(err)
	}
	for _, b := range parts(other, 1000) {
		c.Merge(start, "lb2", b)
	}
	if n := len(c.Pins()); n != MaxPins {
		t.Errorf("%d pins, want %d", n, MaxPins)
	}
	// Those that are over make room: pinning and unpinning never fills the facts.
	c = newOne(t, "lb1")
	for i := range MaxFacts + 100 {
		key := fmt.Sprint("u", i)
		now := start.Add(time.Duration(i) * time.Millisecond)
		if err := c.OrderPin(now, Pin{By: "admin", Table: "users", Key: key, Backend: "mail", Server: "s1"}); err != nil {
			t.Fatalf("pin %d = %v", i, err)
		}
		if err := c.OrderUnpin(now, "admin", "users", key); err != nil {
			t.Fatalf("unpin %d = %v", i, err)
		}
	}
	for name, err := range map[string]error{
		"no key":   c.OrderPin(start, Pin{By: "admin", Table: "users", Key: "", Backend: "mail", Server: "s1"}),
		"long key": c.OrderPin(start, Pin{By: "admin", Table: "users", Key: strings.Repeat("k", maxUser+1), Backend: "mail", Server: "s1"}),
		"no table": c.OrderPin(start, Pin{By: "admin", Table: "", Key: "u", Backend: "mail", Server: "s1"}),
		"nobody":   c.OrderPin(start, Pin{By: "", Table: "users", Key: "u", Backend: "mail", Server: "s1"}),
		"nowhere":  c.OrderPin(start, Pin{By: "admin", Table: "users", Key: "u", Backend: "mail", Server: ""}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A login that is not pinned pays nothing.
func TestPinnedAllocatesNothing(t *testing.T) {
	c := newOne(t, "lb1")
	key := strings.Repeat("u", 20)
	for range 2 {
		if n := testing.AllocsPerRun(100, func() { c.Pinned("users", key) }); n > 0 {
			t.Errorf("Pinned allocates %v times", n)
		}
		c.OrderPin(start, Pin{By: "admin", Table: "users", Key: key, Backend: "mail", Server: "s1"})
	}
}
