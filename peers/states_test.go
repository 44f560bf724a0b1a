package peers

import (
	"errors"
	"fmt"
	"testing"
)

// A state that comes later is shared as soon as both have it, one that goes does
// not disturb the others, and one that is made anew gets all there is.
func TestStatesAreReplaced(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	fill(a.m, "k", 100)
	b.holds(t, "k99", 100)
	set := func(n *node, list ...State) {
		t.Helper()
		if err := n.SetStates(append([]State{n.m}, list...)); err != nil {
			t.Fatal(err)
		}
	}
	later := [2]*mapState{newMap("later"), newMap("later")}
	set(a, later[0])
	later[0].Set("x", 1)
	mesh(t, 2, a, b)
	if l := a.Learn(t.Context(), patience); l.How != HowLearned {
		t.Errorf("Learn with the new list = %+v", l)
	}
	set(b, later[1])
	if l := b.Learn(t.Context(), patience); l.How != HowLearned || later[1].Get("x") != 1 {
		t.Errorf("Learn = %+v, x is %d at the other, want 1", l, later[1].Get("x"))
	}
	later[1].Set("y", 2)
	await(t, later[0], "y", 2)

	set(b) // it goes there
	b.mu.Lock()
	p := b.peers["a"].remote
	b.mu.Unlock()
	p.mu.Lock()
	if _, kept := p.held["later"]; kept {
		t.Error("the position in a state that went is kept")
	}
	p.mu.Unlock()
	a.m.Set("meanwhile", 7)
	later[0].Set("z", 3)
	b.holds(t, "meanwhile", 7)
	again := newMap("later")
	again.first, again.journal = 1000, make([]string, 1000)
	set(b, again)
	for key, v := range map[string]uint64{"x": 1, "y": 2, "z": 3} {
		await(t, again, key, v)
	}
	again.Set("w", 4)
	await(t, later[0], "w", 4)
	for _, p := range b.Peers() {
		if p.Counters.RepairedIn > 4 || p.Counters.EntriesIn > 102 {
			t.Errorf("%+v: what was known came again", p.Counters)
		}
	}
	if n := a.count(PeerDown, "b") + b.count(PeerDown, "a"); n > 4 {
		t.Errorf("%d connections were lost, want 4, told by the one that did not end them", n)
	}
}

// await waits until a map has a value.
func await(t *testing.T, m *mapState, key string, v uint64) {
	t.Helper()
	n := &node{m: m}
	n.Group = &Group{cfg: Config{Name: m.name}}
	n.holds(t, key, v)
}

func TestSetStatesRefuses(t *testing.T) {
	a := start(t, testConfig("a"))
	before := a.states.Load()
	var many []State
	for i := range MaxStates + 1 {
		many = append(many, newMap(fmt.Sprint(i)))
	}
	for _, list := range [][]State{many, {newMap("x"), newMap("x")}, {newMap("")}} {
		if a.SetStates(list) == nil || a.states.Load() != before {
			t.Errorf("%d states were taken", len(list))
		}
	}
}

// A stream that was made with the list before must not be the peer's.
func TestStreamOfOldStatesIsRefused(t *testing.T) {
	g, p := known(t, StateAlive)
	s, late := stub(t, g, p), stub(t, g, p)
	if !g.attach(s) {
		t.Fatal("refused")
	}
	if err := g.SetStates([]State{newMap("other")}); err != nil {
		t.Fatal(err)
	}
	if g.attach(late) || !errors.Is(s.reason(), errStates) {
		t.Errorf("attached; the one before ended with %v", s.reason())
	}
}
