package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var s1 = target{"mail", "s1"}

func (s *simNode) CarryFlush(f Flush) {
	s.log = append(s.log, "carry flush "+f.Backend+"/"+f.Server)
	if s.carries != nil && !s.noRoom {
		s.begin(f)
	}
}

func (s *simNode) LeaveFlush(backend, server string) {
	s.log = append(s.log, "leave flush "+backend+"/"+server)
	delete(s.carries, target{backend, server})
}

func (s *simNode) StopFlush(backend, server string) string {
	s.log = append(s.log, "stop flush "+backend+"/"+server)
	return ""
}

// begin has a node carry a flush.
func (s *simNode) begin(f Flush) {
	s.carries[target{f.Backend, f.Server}] = f
	s.sayCarried()
}

func (s *simNode) sayCarried() {
	for _, f := range s.carries {
		if err := s.c.SayFlush(s.m.now, f); err != nil {
			s.m.t.Fatal(err)
		}
	}
}

// flushing lets time go by in which carriers say how far they are, as every two
// seconds, and everything arrives.
func (m *mesh) flushing(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.pass(2 * time.Second)
		for n, s := range m.nodes {
			if !m.asleep[n] {
				s.sayCarried()
			}
		}
		m.flow()
	}
}

func aFlush(since time.Time) Flush {
	return Flush{Backend: s1.backend, Server: s1.server, Phase: FlushRuns, By: "admin", Since: since, Parallel: 5, Moved: 7, Left: 20}
}

// carriers are the nodes that carry the flush of s1.
func (m *mesh) carriers() (names []string) {
	for _, s := range m.nodes {
		if _, is := s.carries[s1]; is {
			names = append(names, s.name)
		}
	}
	return names
}

// wantCarriers fails the test unless these carry the flush of s1, and every node
// names the first.
func (m *mesh) wantCarriers(when string, want ...string) {
	m.t.Helper()
	if got := m.carriers(); !slices.Equal(got, want) {
		m.t.Fatalf("%s: carried by %q, want %q", when, got, want)
	}
	for n, s := range m.nodes {
		if f, ok := s.c.FlushOf(m.now, "mail", "s1"); len(want) == 1 && m.connected(n, slices.IndexFunc(m.nodes, func(o *simNode) bool { return o.name == want[0] })) &&
			(!ok || f.Peer != want[0] || f.Phase != FlushRuns || f.Moved != 7 || !f.Since.Equal(start)) {
			m.t.Errorf("%s: at %s the flush is %+v, %v, want it carried by %s", when, s.name, f, ok, want[0])
		}
	}
}

// The first living peer by name goes on with the flush of one that died, at
// once, with its numbers; the next one does if it cannot.
func TestFlushIsCarriedOn(t *testing.T) {
	m := newMesh(t, 1, 4)
	m.nodes[1].begin(aFlush(start))
	m.flushing(20 * time.Second)
	m.wantCarriers("at first", "lb2")
	m.nodes[0].noRoom = true
	m.kill(1)
	m.wantCarriers("lb2 has just died")
	m.flushing(flushTurn - 2*time.Second)
	m.wantCarriers("it is lb1's turn")
	m.flushing(4 * time.Second)
	m.wantCarriers("it was lb3's turn", "lb3")
	m.nodes[0].noRoom = false
	m.flushing(3 * flushTurn)
	m.wantCarriers("later", "lb3")
	m.kill(2)
	m.wantCarriers("lb3 has just died", "lb1")
	m.flushing(flushTurn)
	m.wantCarriers("in the end", "lb1")
	if !slices.ContainsFunc(m.nodes[3].c.Events(0), func(e Event) bool { return e.What == "flush of mail/s1: lb3 goes on with it" }) {
		t.Errorf("events %v, want who went on", m.nodes[3].c.Events(0))
	}
}

// kill ends a node for good, and the others find it dead.
func (m *mesh) kill(n int) {
	if m.cut == nil {
		m.cut = map[int]bool{}
	}
	m.cut[n] = true
	m.boot(n, nil) // it knows nothing
	for other := range m.nodes {
		if m.cut[other] {
			continue
		}
		var alive, known []string
		for o, s := range m.nodes {
			known = append(known, s.name)
			if !m.cut[o] {
				alive = append(alive, s.name)
			}
		}
		m.nodes[other].c.SetMembers(m.now, alive, known)
	}
	m.flow()
}

// restartedCarrier is a mesh in which the peer that carries a flush was started
// anew so fast that nobody missed it.
func restartedCarrier(t *testing.T) *mesh {
	m := newMesh(t, 1, 3)
	m.nodes[2].begin(aFlush(start))
	m.flushing(4 * time.Second)
	m.boot(2, nil)
	m.members()
	for from := range m.nodes {
		m.repair(from, 2)
	}
	return m
}

// A peer that was started anew so fast that nobody missed it carries nothing: it
// is heard by its silence.
func TestFlushOfRestartedPeerIsCarriedOn(t *testing.T) {
	m := restartedCarrier(t)
	m.flushing(flushSilent - 2*time.Second)
	m.wantCarriers("soon")
	m.flushing(4 * time.Second)
	m.wantCarriers("after the silence", "lb1")
}

// On a side that is frozen nobody goes on, and the flush is not forgotten.
func TestFlushOfFrozenSideWaits(t *testing.T) {
	m := newMesh(t, 1, 2) // without a tie breaker
	m.nodes[1].begin(aFlush(start))
	m.flushing(4 * time.Second)
	m.boot(1, nil)
	m.cut = map[int]bool{1: true}
	m.members()
	m.flushing(5 * flushLife)
	m.wantCarriers("frozen")
	if f, ok := m.nodes[0].c.FlushOf(m.now, "mail", "s1"); !ok || f.Phase != FlushRuns || f.Peer != "lb2" {
		t.Fatalf("FlushOf at the frozen peer = %+v, %v", f, ok)
	}
	m.cut = nil
	m.members()
	m.repair(0, 1)
	m.flushing(2 * flushSilent)
	m.wantCarriers("together again", "lb1")
}

// Two carriers: the older flush stays, then the smaller name; and who hears that
// another has ended his flush leaves it.
func TestOneOfTwoCarriersStays(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[2].begin(aFlush(start))
	m.nodes[1].begin(aFlush(start.Add(time.Second)))
	m.nodes[0].begin(aFlush(start.Add(2 * time.Second)))
	m.flushing(10 * time.Second)
	m.wantCarriers("the oldest", "lb3")
	m.nodes[0].begin(aFlush(start))
	m.flushing(10 * time.Second)
	m.wantCarriers("of two of one age", "lb1")
	ended := aFlush(start)
	ended.Phase = FlushEnded
	if err := m.nodes[1].c.SayFlush(m.now, ended); err != nil {
		t.Fatal(err)
	}
	m.flow()
	m.wantCarriers("ended by another")
}

// flush stop of an orphan ends it: nobody goes on with it, nor does its peer
// when that was only slow.
func TestOrphanIsStopped(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[0].begin(aFlush(start))
	m.flushing(4 * time.Second)
	m.nodes[1].noRoom, m.nodes[2].noRoom = true, true
	m.cut = map[int]bool{0: true}
	m.members()
	if err := m.nodes[2].c.OrderFlushStop(m.now, "admin", "mail", "s1"); err != nil {
		t.Fatal(err)
	}
	m.nodes[1].noRoom, m.nodes[2].noRoom = false, false
	m.flushing(4 * flushTurn)
	if f, ok := m.nodes[1].c.FlushOf(m.now, "mail", "s1"); !ok || f.Phase != FlushEnded || f.Note != "stopped by order" {
		t.Errorf("FlushOf = %+v, %v, want it ended", f, ok)
	}
	if got := m.carriers(); !slices.Equal(got, []string{"lb1"}) {
		t.Errorf("carried by %q, want lb1, who has not heard", got)
	}
	m.cut = nil
	m.members()
	m.repair(1, 0)
	m.repair(0, 1)
	m.flushing(4 * time.Second)
	if !slices.Contains(m.nodes[0].log, "stop flush mail/s1") {
		t.Errorf("lb1 has not heard of the order: %q", m.nodes[0].log)
	}
}

// Whatever is cut, dies, sleeps and starts anew: when all see each other again
// exactly one carries the flush, and all know who.
func TestFlushHasOneCarrier(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			peers := 2 + int(seed%4)
			m := newMesh(t, seed, peers)
			m.nodes[m.rng.IntN(peers)].begin(aFlush(start))
			m.flushing(4 * time.Second)
			m.loss = 10 * m.rng.IntN(5)
			for range 30 {
				n := m.rng.IntN(peers)
				switch m.rng.IntN(6) {
				case 0:
					m.cut = map[int]bool{n: true}
					m.members()
				case 1:
					m.cut = map[int]bool{n: true, (n + 1) % peers: true}
					m.members()
				case 2, 3:
					m.cut, m.asleep = nil, nil
					m.members()
					m.mend()
				case 4:
					m.asleep = map[int]bool{n: true} // lives, says nothing for a while
				case 5:
					if m.known(n) == 0 {
						continue // nobody else would know of it
					}
					m.boot(n, nil)
					m.members()
				}
				m.flushing(time.Duration(2*m.rng.IntN(8)) * time.Second)
				if m.known(-1) == 0 {
					t.Fatal("the flush is forgotten")
				}
			}
			m.cut, m.asleep, m.loss = nil, nil, 0
			m.members()
			m.mend()
			m.flushing(time.Duration(peers+2) * flushTurn)
			got := m.carriers()
			if len(got) != 1 {
				t.Fatalf("carried by %q, want one", got)
			}
			m.wantCarriers("in the end", got[0])
		})
	}
}

// known counts the nodes but one that know that the flush runs.
func (m *mesh) known(but int) (n int) {
	for i, s := range m.nodes {
		if f, ok := s.c.FlushOf(m.now, "mail", "s1"); i != but && ok && f.Phase == FlushRuns {
			n++
		}
	}
	return n
}

// mend compares all nodes with all others.
func (m *mesh) mend() {
	for from := range m.nodes {
		for to := range m.nodes {
			m.repair(from, to)
		}
	}
}

// Two that carry a flush and take each other for dead, though what they say
// arrives, do not answer each other without end.
func TestCarriersThatSeeNobody(t *testing.T) {
	m := newMesh(t, 1, 2)
	for _, s := range m.nodes {
		s.c.SetMembers(m.now, nil, nil)
		s.begin(aFlush(start))
	}
	m.flow()
	heads := [2]uint64{m.nodes[0].c.Head(), m.nodes[1].c.Head()}
	m.flow()
	if now := [2]uint64{m.nodes[0].c.Head(), m.nodes[1].c.Head()}; now != heads {
		t.Errorf("they said %d and %d facts more", now[0]-heads[0], now[1]-heads[1])
	}
}

// An order to stop a flush reaches one whose peer was started anew, though nobody
// has missed it yet.
func TestFlushOfRestartedPeerIsStopped(t *testing.T) {
	m := restartedCarrier(t)
	if err := m.nodes[0].c.OrderFlushStop(m.now, "admin", "mail", "s1"); err != nil {
		t.Fatal(err)
	}
	m.flushing(flushSilent + 2*flushTurn)
	m.wantCarriers("after it was stopped")
	if f, _ := m.nodes[1].c.FlushOf(m.now, "mail", "s1"); f.Phase != FlushEnded || f.Note != "stopped by order" {
		t.Errorf("the flush is %+v, want it ended", f)
	}
}
