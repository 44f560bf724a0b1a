package frontend

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"imaplb/balancer"
	"imaplb/loop"
)

// model is a worker as simple as can be: a list of connections.
type model struct {
	conns  []*conn
	linked map[*conn]bool
	dead   []uint64
}

// Whatever comes and goes in whatever order, the lists of users and servers
// hold whom they should, and an id never names another connection.
func TestWorkerAgainstModel(t *testing.T) {
	servers := []*balancer.Server{{Name: "s1"}, {Name: "s2"}}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // has to be repeatable
		w := newWorker(nil, &loop.Loop{ID: int(seed) % 3})
		m := &model{linked: map[*conn]bool{}}
		for range 400 {
			switch n := rng.IntN(len(m.conns) + 4); {
			case n >= len(m.conns):
				c := &conn{}
				w.add(c)
				m.conns = append(m.conns, c)
			case !m.linked[m.conns[n]]:
				c := m.conns[n]
				c.place.Key, c.place.Server = fmt.Sprint("user", rng.IntN(3)), servers[rng.IntN(2)]
				w.link(c)
				m.linked[c] = true
			default:
				m.end(w, n)
			}
			m.check(t, w, servers)
		}
		for len(m.conns) > 0 {
			m.end(w, rng.IntN(len(m.conns)))
			m.check(t, w, servers)
		}
		if len(w.users) != 0 || len(w.servers) != 0 || len(w.free) != len(w.slots) {
			t.Fatalf("left: %d users, %d servers, %d of %d slots free", len(w.users), len(w.servers), len(w.free), len(w.slots))
		}
	}
}

func (m *model) end(w *worker, n int) {
	c := m.conns[n]
	if m.linked[c] {
		w.unlink(c)
	}
	w.remove(c)
	m.dead = append(m.dead, c.id)
	m.conns = slices.Delete(m.conns, n, n+1)
}

func (m *model) check(t *testing.T, w *worker, servers []*balancer.Server) {
	t.Helper()
	ids := map[uint64]bool{}
	for _, c := range m.conns {
		if w.find(c.id) != c || ids[c.id] || int(c.id&(1<<loopBits-1)) != w.loop.ID {
			t.Fatalf("id %x does not name its connection alone", c.id)
		}
		ids[c.id] = true
	}
	for _, id := range m.dead {
		if w.find(id) != nil || ids[id] {
			t.Fatalf("id %x of an ended connection names something", id)
		}
	}
	for i := range 3 {
		key := fmt.Sprint("user", i)
		var got []uint64
		w.userSessions(key, func(c *conn) { got = append(got, c.id) })
		m.same(t, key, got, func(c *conn) bool { return c.place.Key == key })
	}
	for _, s := range servers {
		m.same(t, s.Name, w.serverSessions(s), func(c *conn) bool { return c.place.Server == s })
	}
}

// same compares a list with the connections that belong in it.
func (m *model) same(t *testing.T, what string, got []uint64, belongs func(*conn) bool) {
	t.Helper()
	var want []uint64
	for _, c := range m.conns {
		if m.linked[c] && belongs(c) {
			want = append(want, c.id)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s: got %x, want %x", what, got, want)
	}
}

// The function may end the session that it is given.
func TestUserSessionsWhileTheyEnd(t *testing.T) {
	w := newWorker(nil, &loop.Loop{})
	for range 5 {
		c := &conn{}
		c.place.Key, c.place.Server = "alice", &balancer.Server{}
		w.add(c)
		w.link(c)
	}
	n := 0
	w.userSessions("alice", func(c *conn) {
		n++
		w.unlink(c)
		w.remove(c)
	})
	if n != 5 || len(w.users) != 0 || len(w.servers) != 0 {
		t.Errorf("%d of 5 ended, %d users left", n, len(w.users))
	}
}

// A look at all connections lets others in between, and meets each once.
func TestSlicesLetOthersIn(t *testing.T) {
	r := newRig(t, plan{})
	r.quiet = true
	w := r.e.workers[0]
	const n = 3*slice + 1
	met := map[*conn]int{}
	w.loop.Do(func() {
		for range n {
			w.slots = append(w.slots, new(conn))
		}
		w.inSlices(func(c *conn) { met[c]++ })
	})
	first := 0
	w.loop.Do(func() { first = len(met) })
	if first >= n {
		t.Errorf("all %d were met in one turn", first)
	}
	r.eventually("all are met", func() (all bool) {
		w.loop.Do(func() { all = len(met) == n })
		return all
	})
	w.loop.Do(func() {
		for c, times := range met {
			if times != 1 {
				t.Errorf("%p was met %d times", c, times)
			}
		}
		w.slots = nil
	})
}
