package cluster

import (
	"testing"
	"time"
)

// The facts of ended moves do not come to life again and go in the end.
func TestOldMovesStayDead(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.mustMove(0, "u", "s2")
	begun, _ := m.nodes[0].c.Part(nil, 0, 0xffff, 0, 1<<20)
	m.flow()
	for range 60 {
		m.pass(10 * time.Second)
		if _, err := m.nodes[1].c.Merge(m.now, "lb1", begun); err != nil || m.nodes[1].c.Held("users", "u") {
			t.Fatalf("after %v: Merge = %v, held %v", m.now.Sub(start), err, m.nodes[1].c.Held("users", "u"))
		}
	}
	if n := m.nodes[1].c.Counters().Facts; n != 0 {
		t.Errorf("%d facts after ten minutes, want none", n)
	}
}

func TestHeldTakesNoMemory(t *testing.T) {
	m := newMesh(t, 1, 1)
	check := func() { m.nodes[0].c.Held("users", "alice") }
	if n := testing.AllocsPerRun(100, check); n != 0 {
		t.Errorf("Held takes %v allocations, want 0", n)
	}
	m.mustMove(0, "bob", "s2")
	if n := testing.AllocsPerRun(100, check); n != 0 {
		t.Errorf("Held takes %v allocations beside a move, want 0", n)
	}
}

// A table that takes too long for a stamp: the operator hears so, once, and
// the user is let go.
func TestMoveWhoseTableHangs(t *testing.T) {
	m := newMesh(t, 1, 1)
	s := m.nodes[0]
	s.hang = m.cfg.MoveTimeout + releaseAfter
	id := m.mustMove(0, "u", "s2")
	s.closeAll()
	s.wantResult(id, nil, ErrTimeout)
	if s.c.Held("users", "u") {
		t.Error("u is still held")
	}
}

// A message that comes late holds nobody for long, and a clock that is behind
// or ahead does not release before the time.
func TestHoldEnds(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, deadline, want time.Duration // deadline and want from now on
		dead                    bool          // the peer where it began
	}{
		"at once":              {10 * time.Second, 10 * time.Second, 15 * time.Second, false},
		"clock ahead":          {10 * time.Second, -20 * time.Second, 15 * time.Second, false},
		"clock behind":         {10 * time.Second, 60 * time.Second, 15 * time.Second, false},
		"late":                 {MaxMoveTimeout, -30 * time.Second, 35 * time.Second, false},
		"too late":             {10 * time.Second, -65 * time.Second, 0, false},
		"endless":              {time.Hour, time.Hour, MaxMoveTimeout + MaxGrace + releaseAfter, false},
		"of no timeout":        {-time.Hour, time.Second, releaseAfter, false},
		"of the dead, in time": {10 * time.Second, 10 * time.Second, 15 * time.Second, true},
		"of the dead, late":    {10 * time.Second, -time.Second, 0, true},
	} {
		m := newMesh(t, 1, 1)
		cl := m.nodes[0].c
		if !c.dead {
			cl.SetMembers(start, []string{"lb2"}, nil)
		}
		is := move{id: "lb2-1", phase: phaseHold, server: "s2", timeout: c.timeout, deadline: start.Add(c.deadline).UnixMilli()}
		f := &fact{key: "move/users/u", value: is.encode(), time: wall(start), writer: "lb2"}
		if _, err := cl.Merge(start, "lb2", encode(f)); err != nil {
			t.Fatal(err)
		}
		cl.Tick(start.Add(c.want - time.Millisecond))
		if before := cl.Held("users", "u"); before != (c.want > 0) {
			t.Errorf("%s: held %v before %v, want %v", name, before, c.want, c.want > 0)
		}
		cl.Tick(start.Add(c.want))
		if cl.Held("users", "u") {
			t.Errorf("%s: held after %v", name, c.want)
		}
	}
}
