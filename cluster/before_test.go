package cluster

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// hook is the Before of a move: it ends when endHook says so.
func (s *simNode) hook(key, server string) func([]string, func(time.Time, string)) {
	return func(missing []string, done func(time.Time, string)) {
		if len(missing) > 0 {
			done(s.m.now, "not all answered")
			return
		}
		s.hooks = append(s.hooks, func(now time.Time, note string) {
			for _, at := range s.m.servers(key) {
				if at != server && len(s.m.cut) == 0 && s.m.loss == 0 {
					s.m.t.Errorf("%s had a session on %s while the hook of his move to %s ran", key, at, server)
				}
			}
			done(now, note)
		})
	}
}

// endHook ends the oldest hook that runs, twice.
func (s *simNode) endHook() {
	if len(s.hooks) == 0 {
		return
	}
	done := s.hooks[0]
	s.hooks = s.hooks[1:]
	done(s.m.now, "hooked")
	done(s.m.now, "again")
}

// A hook runs once, where the move began, when nobody has a session any more;
// the user is held everywhere until it has ended, and all hear what it said.
func TestMoveWaitsForItsHook(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.hooked = true
	m.settle("u")
	m.nodes[1].login("u")
	id := m.mustMove(0, "u", "s2")
	m.flow2(0)
	m.nodes[0].closeOne()
	m.nodes[2].closeOne()
	m.flow2(2)
	if len(m.nodes[0].hooks) > 0 {
		t.Fatal("the hook began before lb2 had ended its session")
	}
	m.nodes[1].closeOne()
	m.flow2(1)
	if len(m.nodes[0].hooks) != 1 || len(m.nodes[1].hooks)+len(m.nodes[2].hooks) > 0 {
		t.Fatal("want one hook, at lb1")
	}
	m.pass(m.cfg.MoveTimeout + releaseAfter + time.Second) // it may take a minute
	for _, s := range m.nodes {
		if !s.c.Held("users", "u") || s.table["u"].server != "s1" {
			t.Fatalf("%s: held %v, lives on %s, want held and on s1", s.name, s.c.Held("users", "u"), s.table["u"].server)
		}
	}
	m.nodes[0].endHook()
	m.flow()
	m.nodes[0].wantResult(id, nil, nil)
	if note := m.nodes[0].results[id][0].Note; note != "hooked" {
		t.Errorf("note %q", note)
	}
	for _, s := range m.nodes {
		if s.c.Held("users", "u") || s.table["u"].server != "s2" {
			t.Errorf("%s: held %v, lives on %s, want free and on s2", s.name, s.c.Held("users", "u"), s.table["u"].server)
		}
		if e := s.c.Events(1)[0]; e.Outcome != "done, hooked" {
			t.Errorf("%s: event %v", s.name, e)
		}
	}
}

// What a hook that never ends, a cut, or another move does to a move.
func TestMoveWhoseHookIsLate(t *testing.T) {
	t.Run("for ever", func(t *testing.T) {
		m := newMesh(t, 1, 2)
		m.hooked = true
		id := m.mustMove(0, "u", "s2")
		m.flow2(0)
		m.nodes[0].closeOne()
		m.nodes[1].closeOne()
		m.flow2(1)
		m.pass(m.cfg.MoveTimeout + time.Minute + releaseAfter)
		m.nodes[0].wantResult(id, nil, ErrTimeout)
		for _, s := range m.nodes {
			if s.c.Held("users", "u") {
				t.Errorf("%s still holds", s.name)
			}
		}
		m.nodes[0].endHook()
		m.flow()
		if r := m.nodes[0].results[id]; len(r) != 1 || m.nodes[0].table["u"].server != "" {
			t.Errorf("results %v, lives on %q: want nothing behind the end", r, m.nodes[0].table["u"].server)
		}
	})
	t.Run("frozen meanwhile", func(t *testing.T) {
		m := newMesh(t, 1, 3)
		m.hooked = true
		m.settle("u")
		id := m.mustMove(0, "u", "s2")
		m.flow2(0)
		for _, s := range m.nodes {
			s.closeOne()
		}
		m.flow2(1)
		m.flow2(2)
		m.cut = map[int]bool{0: true}
		m.members()
		m.nodes[0].endHook()
		m.nodes[0].wantResult(id, nil, ErrFrozen)
		if e := m.nodes[0].c.Events(1)[0]; !strings.HasPrefix(e.Outcome, "given up: cluster: frozen") {
			t.Errorf("event %v", e)
		}
	})
	t.Run("longer than may be", func(t *testing.T) {
		c := newOne(t, "lb1")
		o := MoveOrder{
			By: "admin", Table: "users", Key: "u", Backend: "mail", Server: "s2", Grace: 24 * time.Hour,
			Before: func([]string, func(time.Time, string)) {},
		}
		var got error
		o.Done = func(r MoveResult) { got = r.Err }
		if _, err := c.Move(start, o); err != nil {
			t.Fatal(err)
		}
		c.Tick(start.Add(DefaultConfig().MoveTimeout + MaxGrace + releaseAfter))
		if !errors.Is(got, ErrTimeout) {
			t.Errorf("the move ended with %v, want %v", got, ErrTimeout)
		}
	})
}
