package cluster

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMinority(t *testing.T) {
	for _, c := range []struct {
		name         string
		onMinority   string
		breaker      string
		alive, known string // self is lb2
		want         bool
	}{
		{"alone by itself", Freeze, "", "lb2", "lb2", false},
		{"all there", Freeze, "", "lb1 lb2 lb3", "lb1 lb2 lb3", false},
		{"majority", Freeze, "", "lb2 lb3", "lb1 lb2 lb3", false},
		{"minority", Freeze, "", "lb2", "lb1 lb2 lb3", true},
		{"minority that serves", Serve, "", "lb2", "lb1 lb2 lb3", false},
		{"minority with the breaker", Freeze, "lb2", "lb2", "lb1 lb2 lb3", true},
		{"one of two", Freeze, "", "lb2", "lb1 lb2", true},
		{"one of two, breaker here", Freeze, "lb2", "lb2", "lb1 lb2", false},
		{"one of two, breaker there", Freeze, "lb1", "lb2", "lb1 lb2", true},
		{"one of two, both serve", Freeze, Serve, "lb2", "lb1 lb2", false},
		{"one of two that serves", Serve, "", "lb2", "lb1 lb2", false},
		{"half with the smallest", Freeze, "", "lb1 lb2", "lb1 lb2 lb3 lb4", false},
		{"half without the smallest", Freeze, "", "lb2 lb3", "lb1 lb2 lb3 lb4", true},
		{"half with the breaker", Freeze, "lb4", "lb2 lb4", "lb1 lb2 lb3 lb4", false},
		{"half without the breaker", Freeze, "lb4", "lb1 lb2", "lb1 lb2 lb3 lb4", true},
		{"half that serves", Freeze, Serve, "lb2 lb3", "lb1 lb2 lb3 lb4", false},
		{"self not named", Freeze, "", "", "", false},
		{"alive not among the known", Freeze, "", "lb2 lb3", "lb2", false},
	} {
		m := newMesh(t, 1, 2)
		s := m.nodes[1].c
		s.SetConfig(m.now, Config{OnMinority: c.onMinority, TieBreaker: c.breaker})
		s.SetMembers(m.now, strings.Fields(c.alive), strings.Fields(c.known))
		if reason, frozen := s.Frozen(); frozen != c.want || frozen != (reason != "") {
			t.Errorf("%s: Frozen = %q, %v, want %v", c.name, reason, frozen, c.want)
		}
	}
}

func TestFrozenIsAnEvent(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.cut = map[int]bool{0: true}
	m.members()
	m.members()
	m.cut = nil
	m.members()
	var got []string
	for _, e := range m.nodes[0].c.Events(0) {
		got = append(got, e.What)
	}
	want := []string{
		"frozen, nobody is moved: only 1 of 3 peers are in reach",
		"this side is no minority any more: users may be moved",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestPeersComeAndGo(t *testing.T) {
	m := newMesh(t, 1, 3)
	s := m.nodes[0]
	grace := m.cfg.PeerGrace
	s.c.PeerDown(m.now, "lb2")
	s.c.PeerDown(m.now, "lb1") // itself: not believed
	m.pass(grace - time.Millisecond)
	s.c.PeerUp(m.now, "lb2")
	m.pass(time.Hour)
	if len(s.voided) > 0 {
		t.Fatalf("voided %v, want none: lb2 was back in time", s.voided)
	}
	s.c.PeerDown(m.now, "lb2")
	m.pass(grace / 2)
	s.c.PeerDown(m.now, "lb2") // no news
	m.pass(grace/2 - time.Millisecond)
	if len(s.voided) > 0 {
		t.Fatalf("voided %v before the grace was over", s.voided)
	}
	m.pass(time.Millisecond)
	m.pass(time.Hour)
	if !slices.Equal(s.voided, []string{"lb2"}) {
		t.Fatalf("voided %v, want lb2 once", s.voided)
	}
	s.c.PeerLeft(m.now, "lb3")
	if !slices.Equal(s.voided, []string{"lb2", "lb3"}) {
		t.Fatalf("voided %v, want lb3 at once", s.voided)
	}
	// Who left is not known any more: one of two is alive, not one of three.
	s.c.SetMembers(m.now, []string{"lb1", "lb3"}, []string{"lb1", "lb2", "lb3"})
	s.c.PeerLeft(m.now, "lb3")
	if reason, _ := s.c.Frozen(); !strings.HasPrefix(reason, "1 of 2") {
		t.Errorf("Frozen = %q, want that of 1 of 2", reason)
	}
	var got []string
	for _, e := range s.c.Events(0) {
		if e.Kind == EventPeer {
			got = append(got, e.What)
		}
	}
	if want := "lb2 is up again after 59.999s"; !slices.Contains(got, want) || !slices.Contains(got, "lb3 left") {
		t.Errorf("events %q, want %q among them", got, want)
	}
}

func TestPeersAreBounded(t *testing.T) {
	m := newMesh(t, 1, 1)
	s := m.nodes[0]
	names := make([]string, 2*MaxPeers)
	for i := range names {
		names[i] = strings.Repeat("x", i%250+1) + string(rune('0'+i/250))
		s.c.PeerDown(m.now, names[i])
	}
	if len(s.voided) != MaxPeers {
		t.Errorf("%d void at once, want the %d beyond the bound", len(s.voided), MaxPeers)
	}
	s.c.SetMembers(m.now, names, names)
	if n := len(s.c.members.alive); n != MaxPeers || !s.c.members.isAlive("lb1") {
		t.Errorf("%d peers alive, want %d with self", n, MaxPeers)
	}
}

// Tick tells when something is due, a second ahead at most.
func TestTickTellsWhenNext(t *testing.T) {
	m := newMesh(t, 1, 1)
	c := m.nodes[0].c
	if next := c.Tick(m.now); !next.Equal(m.now.Add(tickEvery)) {
		t.Errorf("Tick = %v, want a second on", next.Sub(m.now))
	}
	c.PeerDown(m.now.Add(300*time.Millisecond-m.cfg.PeerGrace), "lb9")
	if next := c.Tick(m.now); !next.Equal(m.now.Add(300 * time.Millisecond)) {
		t.Errorf("Tick = %v, want the end of the grace", next.Sub(m.now))
	}
}
