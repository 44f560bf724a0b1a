package cluster

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// path is one way through a tree of choices; next is the one behind it. So all
// interleavings are tried, each from the beginning. With rng it is any way.
type path struct {
	rng   *rand.Rand
	taken []int // what was chosen at each fork
	width []int // of how many
	at    int
}

func (p *path) choose(n int) int {
	if p.at == len(p.taken) {
		first := 0
		if p.rng != nil {
			first = p.rng.IntN(n)
		}
		p.taken, p.width = append(p.taken, first), append(p.width, n)
	}
	p.at++
	return p.taken[p.at-1]
}

func (p *path) next() bool {
	p.at = 0
	if p.rng != nil {
		p.taken, p.width = nil, nil
		return true
	}
	for len(p.taken) > 0 {
		last := len(p.taken) - 1
		if p.taken[last]++; p.taken[last] < p.width[last] {
			return true
		}
		p.taken, p.width = p.taken[:last], p.width[:last]
	}
	return false
}

// calm is a mesh whose every choice is that of a path, and whose packets are
// of one fact each, none lost or repeated.
func (m *mesh) calm(p *path) {
	for {
		for from := range m.nodes {
			for to := range m.nodes {
				m.shipAll(from, to)
			}
		}
		var closing []int
		for n, s := range m.nodes {
			if len(s.closing) > 0 {
				closing = append(closing, n)
			}
		}
		n := len(m.air) + len(closing)
		if n == 0 {
			return
		}
		choice := p.choose(n)
		if choice >= len(m.air) {
			m.nodes[closing[choice-len(m.air)]].closeOne()
			continue
		}
		at := m.air[choice]
		m.air = slices.Delete(m.air, choice, choice+1)
		if at.facts == nil {
			m.nodes[at.to].assigned(at.key, at.home)
		} else if _, err := m.nodes[at.to].c.Merge(m.now, m.nodes[at.from].name, at.facts); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *mesh) shipAll(from, to int) {
	at := [2]int{from, to}
	for from != to && m.sent[at] != m.nodes[from].c.Head() {
		b, next, ok := m.nodes[from].c.Pull(nil, m.sent[at], 1)
		if !ok || next == m.sent[at] {
			m.t.Fatal("Pull makes no progress")
		}
		m.sent[at] = next
		if len(b) > 0 {
			m.air = append(m.air, packet{from: from, to: to, facts: b})
		}
	}
}

// Two operators move one user at the same moment at two peers: in whatever
// order all that follows happens, one of them wins, the other hears that, and
// the user has one home.
func TestTwoMovesAtOnceInEveryOrder(t *testing.T) {
	p, paths := &path{}, 0
	for more := true; more; more = p.next() {
		twoMoves(t, p, 2)
		paths++
	}
	if paths < 1000 {
		t.Errorf("%d paths, want all that there are", paths)
	}
}

// The same with more peers, where the orders are too many to try all.
func TestTwoMovesAtOnceInAnyOrder(t *testing.T) {
	p := &path{rng: rand.New(rand.NewPCG(1, 2))}
	for i := range 2000 {
		twoMoves(t, p, 3+i%3)
		p.next()
	}
}

func twoMoves(t *testing.T, p *path, peers int) {
	t.Helper()
	m := newMesh(t, 1, peers)
	m.settle("u")
	for _, s := range m.nodes {
		s.login("u")
	}
	ids := []string{m.mustMove(0, "u", "s2"), m.mustMove(1, "u", "s3")}
	m.calm(p)
	m.wantOneWinner(p, ids)
}

func (m *mesh) wantOneWinner(p *path, ids []string) {
	m.t.Helper()
	winner, servers := -1, []string{"s2", "s3"}
	for n, id := range ids {
		r := m.nodes[n].results[id]
		switch {
		case len(r) != 1:
			m.t.Fatalf("path %v: results %v, want one", p.taken, r)
		case r[0].Err == nil && winner < 0:
			winner = n
		case !errors.Is(r[0].Err, ErrReplaced):
			m.t.Fatalf("path %v: result of the other %v, want %v", p.taken, r[0].Err, ErrReplaced)
		}
	}
	if winner < 0 {
		m.t.Fatalf("path %v: nobody won", p.taken)
	}
	for _, s := range m.nodes {
		if s.c.Held("users", "u") || s.table["u"].server != servers[winner] {
			m.t.Fatalf("path %v: %s held %v, lives on %s, want %s", p.taken, s.name, s.c.Held("users", "u"),
				s.table["u"].server, servers[winner])
		}
	}
}
