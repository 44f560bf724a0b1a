package cluster

import (
	"fmt"
	"testing"
	"time"
)

// tellAll brings all that is new from each node to each other.
func (m *mesh) tellAll() {
	for from, s := range m.nodes {
		for to, other := range m.nodes {
			for from != to {
				at := [2]int{from, to}
				b, next, ok := s.c.Pull(nil, m.sent[at], MaxMessage)
				if m.sent[at] = next; !ok || len(b) == 0 {
					break
				}
				if _, err := other.c.Merge(m.now, s.name, b); err != nil {
					m.t.Fatal(err)
				}
			}
		}
	}
	m.air = nil // assignments come with the end of a move
}

// More moves within minutes than there is room for facts: those that ended go,
// each peer forgets others than the next one, and what a peer tells of them when
// the two compare is no news.
func TestManyMoves(t *testing.T) {
	m := newMesh(t, 1, 3)
	for i := range 1200 { // so that each forgets at another time
		m.nodes[2].c.Vote(m.now, "mail", fmt.Sprint("s", i), true)
	}
	m.sent[[2]int{2, 0}], m.sent[[2]int{2, 1}] = m.nodes[2].c.Head(), m.nodes[2].c.Head()
	const batch = 100
	for n := range MaxFacts / 3 / batch {
		for i := range batch {
			if _, err := m.nodes[n%2].move(fmt.Sprintf("u%d", n*batch+i), "s2"); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			m.tellAll()
			for _, s := range m.nodes {
				s.closeAll()
			}
		}
		m.tellAll()
		m.pass(100 * time.Millisecond)
	}
	before := [3]uint64{}
	for i, s := range m.nodes {
		_, before[i] = s.c.EventsAfter(0)
	}
	for range 3 {
		m.mend()
		m.tellAll()
		m.pass(30 * time.Second)
	}
	for i, s := range m.nodes {
		_, after := s.c.EventsAfter(0)
		if after != before[i] {
			t.Errorf("%s: %d events of moves that had ended", s.name, after-before[i])
		}
	}
}
