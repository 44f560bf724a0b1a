package sticktable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// cluster is a few tables that pull from each other over a bad network.
type cluster struct {
	t        *testing.T
	rng      *rand.Rand
	now      time.Time
	tables   []*Table
	pos      [][]uint64 // what one has pulled of the other
	wire     [][]byte   // on its way,
	to       []int      // and to whom
	sessions []map[string]int
}

func newCluster(t *testing.T, n int, seed uint64) *cluster {
	c := &cluster{t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: start}
	for i := range n {
		c.tables = append(c.tables, peerTable(1000, time.Hour, fmt.Sprint("lb", i)))
		c.sessions = append(c.sessions, map[string]int{})
	}
	for range n {
		var row []uint64
		for _, tb := range c.tables {
			row = append(row, tb.Head())
		}
		c.pos = append(c.pos, row)
	}
	return c
}

// work has a peer do something.
func (c *cluster) work(void bool) {
	p := c.rng.IntN(len(c.tables))
	tb, key := c.tables[p], fmt.Sprint("user", c.rng.IntN(40))
	e, ok := tb.Lookup(c.now, key)
	switch op := c.rng.IntN(8); {
	case void && c.rng.IntN(50) == 0:
		tb.Void(c.now, fmt.Sprint("lb", c.rng.IntN(len(c.tables))))
	case !ok:
		tb.Assign(c.now, key, fmt.Sprint("s", p), e)
	case op == 0:
		tb.Set(c.now, key, fmt.Sprint("s", c.rng.IntN(5)))
	case op < 4 && c.sessions[p][key] > 0:
		tb.Leave(c.now, key)
		c.sessions[p][key]--
	default:
		if _, ok := tb.Enter(c.now, key, e.Server); ok {
			c.sessions[p][key]++
		}
	}
}

// carry pulls once and delivers or loses one of what is on its way.
func (c *cluster) carry() {
	from, to := c.rng.IntN(len(c.tables)), c.rng.IntN(len(c.tables))
	if from == to {
		return
	}
	b, next, ok := c.tables[from].Pull(nil, c.pos[to][from], 1+c.rng.IntN(300))
	if !ok {
		c.t.Fatalf("position %d is not held", c.pos[to][from])
	}
	c.pos[to][from] = next
	c.wire, c.to = append(c.wire, b), append(c.to, to)
	i := c.rng.IntN(len(c.wire))
	if c.rng.IntN(5) > 0 {
		mustMerge(c.t, c.now, c.tables[c.to[i]], c.wire[i])
	}
	if c.rng.IntN(5) > 0 {
		c.wire, c.to = slices.Delete(c.wire, i, i+1), slices.Delete(c.to, i, i+1)
	}
}

// Peers whose blobs get lost, come twice and late hold the same after a repair
// that carries only the buckets that differ; all sessions are counted, also of
// peers that were taken for dead.
func TestPeersConvergeOverABadNetwork(t *testing.T) {
	for seed := range uint64(12) {
		c := newCluster(t, 2+int(seed%2), seed)
		for range 800 {
			c.now = c.now.Add(time.Duration(c.rng.IntN(3)) * time.Millisecond)
			c.work(seed >= 6)
			c.carry()
		}
		settle(t, c.now, c.tables)
		allEqual(t, c.tables)
		for p := range c.tables { // what is late changes nothing
			for _, b := range c.wire {
				mustMerge(t, c.now, c.tables[p], b)
			}
		}
		settle(t, c.now, c.tables)
		allEqual(t, c.tables)
		for i := range 40 {
			key, want := fmt.Sprint("user", i), 0
			for p := range c.tables {
				want += c.sessions[p][key]
			}
			if e, _ := c.tables[0].Lookup(c.now, key); e.Sessions != want || e.Local != c.sessions[0][key] {
				t.Fatalf("seed %d: %s has %d sessions, %d here, want %d and %d",
					seed, key, e.Sessions, e.Local, want, c.sessions[0][key])
			}
		}
	}
}

// Without loss the journal alone is enough.
func TestPullAloneConverges(t *testing.T) {
	c := newCluster(t, 3, 5)
	for range 2000 {
		c.now = c.now.Add(time.Millisecond)
		c.work(false)
		if c.rng.IntN(3) == 0 {
			c.pullAll(c.rng.IntN(3))
		}
	}
	for to := range c.tables {
		c.pullAll(to)
	}
	// Floors alone were set before anybody looked.
	for _, tb := range c.tables {
		for i := range c.tables {
			b, _ := c.tables[i].Part(nil, 0, 0, 0, 1)
			mustMerge(t, c.now, tb, b)
		}
	}
	allEqual(t, c.tables)
	if _, n := differing(c.tables[0].Digests(nil), c.tables[1].Digests(nil)); n > 0 {
		t.Fatalf("%d buckets differ", n)
	}
}

// pullAll brings a peer up to all others' heads.
func (c *cluster) pullAll(to int) {
	for from := range c.tables {
		for from != to && c.pos[to][from] != c.tables[from].Head() {
			b, next, ok := c.tables[from].Pull(nil, c.pos[to][from], 200)
			if !ok || next <= c.pos[to][from] {
				c.t.Fatalf("Pull = %d, %v", next, ok)
			}
			c.pos[to][from] = next
			mustMerge(c.t, c.now, c.tables[to], b)
		}
	}
}

// Whatever differs in what a table holds shows in its digests, and the order
// in which it came does not.
func TestDigestsTellApart(t *testing.T) {
	at := wall(start)
	good := Update{
		Key: "alice", Server: "s1", Time: at, Writer: "lb2", LastUsed: start.UnixMilli(),
		Slots: []Slot{{"lb2", 1, at}, {"lb3", 0, at}},
	}
	other := Update{Key: "bob", Server: "s2", Time: at, Writer: "lb3", LastUsed: start.UnixMilli()}
	digests := func(updates ...Update) []uint64 {
		tb := peerTable(10, time.Hour, "lb1")
		for _, u := range updates {
			if _, err := tb.MergeUpdate(start, u); err != nil {
				t.Fatal(err)
			}
		}
		return tb.Digests(nil)
	}
	want := digests(good, other)
	if _, n := differing(digests(other, good, other), want); n != 0 {
		t.Fatal("another order of arrival gives other digests")
	}
	for name, change := range map[string]func(*Update){
		"key": func(u *Update) { u.Key = "carol" }, "server": func(u *Update) { u.Server = "s2" },
		"time": func(u *Update) { u.Time++ }, "writer": func(u *Update) { u.Writer = "lb3" },
		"peer": func(u *Update) { u.Slots[0].Peer = "lb4" }, "count": func(u *Update) { u.Slots[0].Count++ },
		"version": func(u *Update) { u.Slots[0].Version++ }, "slot": func(u *Update) { u.Slots = u.Slots[:1] },
		"whose": func(u *Update) { u.Slots[0].Count, u.Slots[1].Count = 0, 1 },
	} {
		u := good
		u.Slots = slices.Clone(good.Slots)
		change(&u)
		if _, n := differing(digests(u, other), want); n == 0 {
			t.Errorf("another %s gives the same digests", name)
		}
	}
	later := good
	later.LastUsed++
	if _, n := differing(digests(later, other), want); n != 0 {
		t.Error("the last use shows in the digests")
	}
}
