package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// settle puts the users on s1 everywhere.
func (m *mesh) settle(keys ...string) {
	for _, key := range keys {
		for _, s := range m.nodes {
			s.assigned(key, home{"s1", Stamp{Time: wall(m.now), Writer: "lb1"}})
		}
	}
}

// One user is moved by several operators at several peers at once, over a
// network that reorders and repeats but loses nothing for long: at no moment
// has he sessions on two servers, every operator hears one result, and nobody is
// held in the end.
func TestMovesHaveOneHomeAlways(t *testing.T) {
	won := 0
	for seed := range uint64(400) {
		m := newMesh(t, seed, 2+int(seed%4))
		m.hooked = seed%2 == 0
		m.cfg.MoveTimeout = MaxMoveTimeout // not reached
		for _, s := range m.nodes {
			s.c.SetConfig(m.now, m.cfg)
		}
		m.settle("u")
		ids := map[string]int{}
		for i := range 400 {
			m.step()
			n := m.rng.IntN(len(m.nodes))
			if m.rng.IntN(3) == 0 {
				m.nodes[n].login("u")
			}
			if i%100 < 3 {
				if id, err := m.nodes[n].move("u", fmt.Sprint("s", 2+m.rng.IntN(3))); err == nil {
					ids[id] = n
				}
			}
			if got := m.servers("u"); len(got) > 1 {
				t.Fatalf("seed %d, step %d: u has sessions on %v", seed, i, got)
			}
		}
		m.heal()
		m.wantSame()
		m.wantEnded(seed, ids, "u")
		if t.Failed() {
			t.FailNow()
		}
		for id, n := range ids {
			if m.nodes[n].results[id][0].Err == nil {
				won++
			}
		}
	}
	if won < 400 {
		t.Errorf("%d moves won, want one in each mesh at least", won)
	}
}

// wantEnded fails unless each move has one result, nobody is held, and the
// users' sessions are where the table says.
func (m *mesh) wantEnded(seed uint64, ids map[string]int, keys ...string) {
	m.t.Helper()
	for id, n := range ids {
		if r := m.nodes[n].results[id]; len(r) != 1 {
			m.t.Errorf("seed %d: move %s has results %v, want one", seed, id, r)
		}
	}
	for _, key := range keys {
		for _, s := range m.nodes {
			if s.c.Held("users", key) {
				m.t.Errorf("seed %d: %s still holds %s", seed, s.name, key)
			}
		}
		for _, server := range m.servers(key) {
			if home := m.nodes[0].table[key].server; server != home {
				m.t.Errorf("seed %d: %s has sessions on %s but lives on %s", seed, key, server, home)
			}
		}
	}
}

// The same with losses, partitions, restarts and tables that give no stamp:
// nobody is held for ever, every operator hears of his move unless his peer was
// started anew, and in the end there is one home.
func TestMovesEndWhateverHappens(t *testing.T) {
	for seed := range uint64(400) {
		m := newMesh(t, seed, 2+int(seed%4))
		m.loss, m.hooked = 20, seed%2 == 0
		m.settle("u", "v")
		ids := map[string]int{}
		for range 600 {
			m.step()
			n := m.rng.IntN(len(m.nodes))
			key := []string{"u", "v"}[m.rng.IntN(2)]
			switch m.rng.IntN(60) {
			case 0, 1, 2:
				if id, err := m.nodes[n].move(key, fmt.Sprint("s", 1+m.rng.IntN(3))); err == nil {
					ids[id] = n
				}
			case 3, 4, 5, 6, 7, 8:
				m.nodes[n].login(key)
			case 9:
				m.cut = map[int]bool{n: true}
				m.members()
			case 10, 11:
				m.cut = nil
				m.members()
			case 12:
				m.restart(n, ids)
			case 13:
				m.pass(time.Duration(m.rng.IntN(8)) * time.Second)
			case 14:
				m.nodes[n].gaveUp = !m.nodes[n].gaveUp
			case 15, 16:
				m.repair(n, m.rng.IntN(len(m.nodes)))
			}
		}
		m.heal()
		m.wantSame()
		m.wantEnded(seed, ids, "u", "v")
		if t.Failed() {
			t.FailNow()
		}
	}
}

// restart starts a node anew; what its operators waited for is gone.
func (m *mesh) restart(n int, ids map[string]int) {
	for id, owner := range ids {
		if owner == n {
			delete(ids, id)
		}
	}
	m.boot(n, m.nodes[n].c.Save())
	m.members()
}

// flow ships and delivers all there is, in order, and closes all sessions.
func (m *mesh) flow() {
	for range 10 {
		for from := range m.nodes {
			for to := range m.nodes {
				m.ship(from, to)
			}
			m.nodes[from].closeAll()
		}
		for len(m.air) > 0 {
			m.deliver()
		}
	}
}

func (m *mesh) mustMove(n int, key, server string) string {
	m.t.Helper()
	id, err := m.nodes[n].move(key, server)
	if err != nil {
		m.t.Fatalf("%s: Move(%s, %s) = %v", m.nodes[n].name, key, server, err)
	}
	return id
}

func (s *simNode) wantResult(id string, missing []string, err error) {
	s.m.t.Helper()
	r := s.results[id]
	if len(r) != 1 || !slices.Equal(r[0].Missing, missing) || !errors.Is(r[0].Err, err) {
		s.m.t.Fatalf("%s: move %s has results %+v, want missing %v, error %v", s.name, id, r, missing, err)
	}
}

func TestMoveGoesItsWay(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.settle("u")
	m.nodes[1].login("u")
	id := m.mustMove(0, "u", "s2")
	if !m.nodes[0].c.Held("users", "u") || m.nodes[0].c.Held("users", "v") || m.nodes[1].c.Held("users", "u") {
		t.Fatal("want u held where the move began, and no other")
	}
	if _, err := m.nodes[0].move("u", "s3"); !errors.Is(err, ErrMoving) {
		t.Fatalf("Move again = %v, want %v", err, ErrMoving)
	}
	for range 9 { // the two others hear, and have not closed
		m.ship(0, 1)
		m.ship(0, 2)
	}
	for len(m.air) > 0 {
		m.deliver()
	}
	m.nodes[0].closeAll()
	m.nodes[2].closeAll()
	if len(m.nodes[0].results) > 0 || !m.nodes[1].c.Held("users", "u") {
		t.Fatal("the move did not wait for lb2")
	}
	m.flow()
	m.nodes[0].wantResult(id, nil, nil)
	for _, s := range m.nodes {
		if s.c.Held("users", "u") || s.table["u"].server != "s2" {
			t.Errorf("%s: held %v, lives on %s, want free and on s2", s.name, s.c.Held("users", "u"), s.table["u"].server)
		}
	}
	if got := m.servers("u"); len(got) > 0 {
		t.Errorf("sessions on %v, want none: they were closed", got)
	}
	events := m.nodes[2].c.Events(2)
	if text := events[1].String(); !strings.Contains(text, `move of user "u" in users to mail/s2, by admin at lb1`) ||
		!strings.HasSuffix(text, ": done") {
		t.Errorf("event %q", text)
	}
}

// A peer that does not answer is named after the deadline; one that dies is
// not waited for; without him who began it the others release.
func TestMoveWithoutAnswers(t *testing.T) {
	t.Run("deadline", func(t *testing.T) {
		m := newMesh(t, 1, 3)
		m.settle("u")
		id := m.mustMove(0, "u", "s2")
		m.nodes[0].closeAll()
		m.pass(m.cfg.MoveTimeout - time.Millisecond)
		if len(m.nodes[0].results) > 0 {
			t.Fatal("the move ended before its deadline")
		}
		m.pass(time.Millisecond)
		m.nodes[0].wantResult(id, []string{"lb2", "lb3"}, nil)
		m.flow()
		if e := m.nodes[1].c.Events(1)[0]; e.Outcome != "done, without an answer of lb2, lb3" {
			t.Errorf("event %v", e)
		}
	})
	t.Run("death", func(t *testing.T) {
		m := newMesh(t, 1, 4)
		m.settle("u")
		id := m.mustMove(0, "u", "s2")
		m.cut = map[int]bool{3: true}
		m.flow()
		if len(m.nodes[0].results) > 0 {
			t.Fatal("the move did not wait for lb4")
		}
		m.members()
		m.nodes[0].wantResult(id, []string{"lb4"}, nil)
	})
	t.Run("of the beginner", func(t *testing.T) {
		m := newMesh(t, 1, 3)
		m.mustMove(0, "u", "s2")
		m.flow2(0)
		m.cut = map[int]bool{0: true}
		m.pass(m.cfg.MoveTimeout + releaseAfter - time.Millisecond)
		if !m.nodes[1].c.Held("users", "u") {
			t.Fatal("released too early")
		}
		m.pass(time.Millisecond)
		for _, s := range m.nodes[1:] {
			if s.c.Held("users", "u") || s.log[len(s.log)-1] != `release u ""` {
				t.Errorf("%s still holds, log %v", s.name, s.log)
			}
		}
		m.mustMove(1, "u", "s3")
	})
	t.Run("restart of the beginner", func(t *testing.T) {
		m := newMesh(t, 1, 3)
		m.mustMove(0, "u", "s2")
		m.flow2(0)
		m.boot(0, nil)
		m.members()
		m.repair(1, 0)
		m.flow()
		for _, s := range m.nodes {
			if s.c.Held("users", "u") {
				t.Errorf("%s still holds", s.name)
			}
		}
	})
}

// flow2 delivers what one node says, and has nobody close anything.
func (m *mesh) flow2(from int) {
	for range 20 {
		for to := range m.nodes {
			m.ship(from, to)
		}
	}
	for len(m.air) > 0 {
		m.deliver()
	}
}

func TestMoveIsRefused(t *testing.T) {
	m := newMesh(t, 1, 3)
	long := strings.Repeat("n", MaxName+1)
	good := MoveOrder{By: "admin", Table: "users", Key: "u", Backend: "mail", Server: "s2"}
	for name, c := range map[string]struct {
		spoil func(*MoveOrder)
		want  error
	}{
		"nobody":       {func(o *MoveOrder) { o.By = "" }, ErrName},
		"no key":       {func(o *MoveOrder) { o.Key = "" }, ErrName},
		"long key":     {func(o *MoveOrder) { o.Key = strings.Repeat("k", maxUser+1) }, ErrKey},
		"long server":  {func(o *MoveOrder) { o.Server = long }, ErrName},
		"long table":   {func(o *MoveOrder) { o.Table = long }, ErrName},
		"long backend": {func(o *MoveOrder) { o.Backend = long }, ErrName},
		"of slashes":   {func(o *MoveOrder) { o.Table, o.Key = strings.Repeat("/", MaxName), strings.Repeat("k", maxUser) }, ErrKey},
	} {
		o := good
		c.spoil(&o)
		if _, err := m.nodes[0].c.Move(m.now, o); !errors.Is(err, c.want) {
			t.Errorf("%s: Move = %v, want %v", name, err, c.want)
		}
	}
	for i := range maxMoves {
		m.mustMove(0, fmt.Sprint("u", i), "s2")
	}
	if _, err := m.nodes[0].move("one more", "s2"); !errors.Is(err, ErrMoves) {
		t.Errorf("Move number %d = %v, want %v", maxMoves+1, err, ErrMoves)
	}
	m.cut = map[int]bool{0: true}
	m.members()
	if _, err := m.nodes[0].move("frozen", "s2"); !errors.Is(err, ErrFrozen) {
		t.Errorf("Move while frozen = %v, want %v", err, ErrFrozen)
	}
	if m.nodes[0].c.Held("users", "u1") {
		t.Error("a frozen side went on with its moves")
	}
}

// What the table refuses is told and holds nobody.
func TestMoveThatCannotBeAssigned(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.settle("u")
	m.nodes[0].gaveUp = true
	id := m.mustMove(0, "u", "s2")
	m.flow()
	if r := m.nodes[0].results[id]; len(r) != 1 || r[0].Err == nil {
		t.Fatalf("results %v, want an error", r)
	}
	if e := m.nodes[1].c.Events(1)[0]; e.Outcome != "given up: table is full" || m.nodes[1].c.Held("users", "u") {
		t.Errorf("event %v, want given up and released", e)
	}
}

// An answer to an order to close that another has replaced is none to that.
func TestGoneForAnotherServer(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.mustMove(0, "u", "s2")
	m.nodes[0].c.Gone(m.now, "users", "u", "s3")
	m.nodes[0].c.Gone(m.now, "users", "v", "s2")
	if n := m.nodes[0].c.Counters().Facts; n != 1 {
		t.Errorf("%d facts, want the move alone", n)
	}
	m.nodes[0].c.Gone(m.now, "users", "u", "s2")
	m.nodes[0].c.Gone(m.now, "users", "u", "s2")
	if n := m.nodes[0].c.Counters().Facts; n != 2 {
		t.Errorf("%d facts, want the move and its confirmation", n)
	}
}
