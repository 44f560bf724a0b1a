package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// mesh is a few peers on a network that does what a seeded generator says:
// messages come late, twice, in any order, or not at all, and are then
// repaired by digests. Owned by the goroutine of its test.
type mesh struct {
	t     *testing.T
	rng   *rand.Rand
	now   time.Time
	cfg   Config
	loss  int // in 100 messages
	nodes []*simNode
	sent  map[[2]int]uint64 // position behind what was sent, by from and to
	air   []packet
	cut   map[int]bool // the nodes of one side of a partition; nil for none

	hooked bool         // moves have a Before
	asleep map[int]bool // say nothing of their flushes
}

// packet is a message under way: facts, or an assignment of a table.
type packet struct {
	from, to int
	facts    []byte
	key      string
	home     home
}

// home is where a table says that a key lives.
type home struct {
	server string
	stamp  Stamp
}

func (h home) newer(than home) bool {
	return h.stamp.Time > than.stamp.Time || h.stamp.Time == than.stamp.Time && h.stamp.Writer > than.stamp.Writer
}

// simNode is a process of imaplb: a cluster, a table that is replicated too,
// and sessions. It is the Effects of its cluster.
type simNode struct {
	m        *mesh
	n        int
	name     string
	c        *Cluster
	clock    clock
	table    map[string]home
	sessions map[string]map[string]int // by key and server
	closing  map[string]string         // key → the server that is excepted
	results  map[string][]MoveResult   // by id
	health   map[target]bool
	log      []string
	voided   []string
	hooks    []func(now time.Time, note string) // that run
	carries  map[target]Flush                   // flushes
	noRoom   bool                               // for another one
	gaveUp   bool                               // a stamp cannot be had
	hang     time.Duration                      // that a stamp takes
}

func newMesh(t *testing.T, seed uint64, peers int) *mesh {
	t.Helper()
	m := &mesh{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), now: start, cfg: DefaultConfig(), sent: map[[2]int]uint64{},
	}
	for n := range peers {
		m.nodes = append(m.nodes, &simNode{m: m, n: n, name: fmt.Sprint("lb", n+1)})
		m.boot(n, nil)
	}
	m.members()
	return m
}

// boot starts a node, anew if it ran before, with saved orders.
func (m *mesh) boot(n int, saved []byte) {
	m.t.Helper()
	s := m.nodes[n]
	s.table, s.sessions, s.closing = map[string]home{}, map[string]map[string]int{}, map[string]string{}
	s.results, s.health, s.log, s.voided = map[string][]MoveResult{}, map[target]bool{}, nil, nil
	s.hooks, s.carries = nil, map[target]Flush{}
	c, err := New(m.now, s.name, m.cfg, s)
	if err == nil && saved != nil {
		err = c.Load(m.now, saved)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	s.c = c
	m.air = slices.DeleteFunc(m.air, func(p packet) bool { return p.from == n || p.to == n })
	for other := range m.nodes {
		m.sent[[2]int{n, other}] = c.Head()
		if m.nodes[other].c != nil {
			m.sent[[2]int{other, n}] = m.nodes[other].c.Head()
		}
	}
}

func (m *mesh) connected(a, b int) bool { return m.cut[a] == m.cut[b] }

// members tells each node whom it sees.
func (m *mesh) members() {
	var known []string
	for _, s := range m.nodes {
		known = append(known, s.name)
	}
	for n, s := range m.nodes {
		var alive []string
		for o, other := range m.nodes {
			if m.connected(n, o) {
				alive = append(alive, other.name)
			}
		}
		s.c.SetMembers(m.now, alive, known)
	}
}

// ship puts what a node changed since the last time on its way to another.
func (m *mesh) ship(from, to int) {
	if from == to || !m.connected(from, to) {
		return
	}
	at := [2]int{from, to}
	b, next, ok := m.nodes[from].c.Pull(nil, m.sent[at], 1+m.rng.IntN(400))
	if !ok {
		next = m.nodes[from].c.Head()
	}
	m.sent[at] = next
	if len(b) > 0 {
		m.launch(packet{from: from, to: to, facts: b})
	}
}

// launch puts a packet in the air, perhaps twice, perhaps not.
func (m *mesh) launch(p packet) {
	if m.rng.IntN(100) < m.loss {
		return
	}
	m.air = append(m.air, p)
	if m.rng.IntN(4) == 0 {
		m.air = append(m.air, p)
	}
}

// deliver takes any packet out of the air.
func (m *mesh) deliver() {
	if len(m.air) == 0 {
		return
	}
	i := m.rng.IntN(len(m.air))
	p := m.air[i]
	m.air = slices.Delete(m.air, i, i+1)
	if !m.connected(p.from, p.to) {
		return
	}
	s := m.nodes[p.to]
	if p.facts == nil {
		s.assigned(p.key, p.home)
		return
	}
	if _, err := s.c.Merge(m.now, m.nodes[p.from].name, p.facts); err != nil {
		m.t.Fatalf("%s: Merge: %v", s.name, err)
	}
}

// repair compares two nodes and sends one what differs.
func (m *mesh) repair(from, to int) {
	if from == to || !m.connected(from, to) {
		return
	}
	a, b := m.nodes[from].c, m.nodes[to].c
	da, db := a.Digests(nil), b.Digests(nil)
	var mask uint16
	for i := range da {
		if da[i] != db[i] {
			mask |= 1 << i
		}
	}
	cursor := uint32(0)
	for more := mask != 0; more; more = cursor != 0 {
		var part []byte
		part, cursor = a.Part(nil, 0, mask, cursor, 1+m.rng.IntN(300))
		if _, err := b.Merge(m.now, m.nodes[from].name, part); err != nil {
			m.t.Fatalf("Merge of a part: %v", err)
		}
	}
	for key, h := range m.nodes[from].table {
		m.nodes[to].assigned(key, h)
	}
}

// pass lets time go by.
func (m *mesh) pass(d time.Duration) {
	m.now = m.now.Add(d)
	for _, s := range m.nodes {
		s.c.Tick(m.now)
	}
}

// step is one thing that the network or a node does.
func (m *mesh) step() {
	from, to := m.rng.IntN(len(m.nodes)), m.rng.IntN(len(m.nodes))
	switch m.rng.IntN(7) {
	case 6:
		m.nodes[from].endHook()
	case 0, 1:
		m.ship(from, to)
	case 2, 3:
		m.deliver()
	case 4:
		m.nodes[from].closeOne()
	case 5:
		m.pass(time.Duration(m.rng.IntN(20)) * time.Millisecond)
	}
}

// heal ends the partition and all losses, lets everything arrive, and lets
// pass what time a move may take.
func (m *mesh) heal() {
	m.cut, m.loss = nil, 0
	m.members()
	for round := range 40 {
		for from := range m.nodes {
			for to := range m.nodes {
				m.ship(from, to)
				if round%10 == 0 {
					m.repair(from, to)
				}
			}
			m.nodes[from].closeAll()
		}
		for range 20 * len(m.nodes) {
			m.deliver()
		}
		m.pass(time.Second)
	}
}

// wantSame fails unless all nodes hold the same facts and assignments.
func (m *mesh) wantSame() {
	m.t.Helper()
	first := m.nodes[0]
	for _, s := range m.nodes[1:] {
		if a, b := first.c.Digests(nil), s.c.Digests(nil); !slices.Equal(a, b) {
			m.t.Errorf("digests of %s %x, of %s %x", first.name, a, s.name, b)
		}
		if !maps.Equal(first.table, s.table) {
			m.t.Errorf("table of %s %v, of %s %v", first.name, first.table, s.name, s.table)
		}
		if !bytes.Equal(savedOrders(first.c), savedOrders(s.c)) {
			m.t.Errorf("orders of %s and %s differ", first.name, s.name)
		}
	}
}

func savedOrders(c *Cluster) []byte { return c.Save() }

// servers lists where a key has sessions, on whatever node.
func (m *mesh) servers(key string) (servers []string) {
	for _, s := range m.nodes {
		for server, n := range s.sessions[key] {
			if n > 0 && !slices.Contains(servers, server) {
				servers = append(servers, server)
			}
		}
	}
	slices.Sort(servers)
	return servers
}

// login begins a session where the table says, if no move holds the key.
func (s *simNode) login(key string) {
	h, ok := s.table[key]
	if !ok || s.c.Held("users", key) {
		return
	}
	if s.sessions[key] == nil {
		s.sessions[key] = map[string]int{}
	}
	s.sessions[key][h.server]++
}

// closeOne ends the sessions of one key that is being closed.
func (s *simNode) closeOne() {
	keys := slices.Sorted(maps.Keys(s.closing))
	if len(keys) == 0 {
		return
	}
	key := keys[s.m.rng.IntN(len(keys))]
	except := s.closing[key]
	delete(s.closing, key)
	maps.DeleteFunc(s.sessions[key], func(server string, _ int) bool { return server != except })
	s.c.Gone(s.m.now, "users", key, except)
}

func (s *simNode) closeAll() {
	for len(s.closing) > 0 {
		s.closeOne()
	}
	for len(s.hooks) > 0 {
		s.endHook()
	}
}

// assigned merges an assignment; sessions elsewhere end, as the table's rule
// has it.
func (s *simNode) assigned(key string, h home) {
	s.clock.observe(h.stamp.Time)
	if !h.newer(s.table[key]) {
		return
	}
	s.table[key] = h
	maps.DeleteFunc(s.sessions[key], func(server string, _ int) bool { return server != h.server })
}

// move orders a move and collects its results.
func (s *simNode) move(key, server string) (id string, err error) {
	o := MoveOrder{
		By: "admin", Table: "users", Key: key, Backend: "mail", Server: server,
		Done: func(r MoveResult) { s.results[r.ID] = append(s.results[r.ID], r) },
	}
	if s.m.hooked {
		o.Before, o.Grace = s.hook(key, server), time.Minute
	}
	return s.c.Move(s.m.now, o)
}

func (s *simNode) Admin(backend, server, state string) string {
	s.log = append(s.log, fmt.Sprintf("admin %s/%s %s", backend, server, state))
	return "ok"
}

func (s *simNode) Maxconn(backend, server string, n int) string {
	s.log = append(s.log, fmt.Sprintf("maxconn %s/%s %d", backend, server, n))
	return ""
}

func (s *simNode) Weight(backend, server string, weight int) string {
	s.log = append(s.log, fmt.Sprintf("weight %s/%s %d", backend, server, weight))
	return "ok"
}

func (s *simNode) Kick(k Kick) string {
	s.log = append(s.log, k.String())
	return "1 session"
}

func (s *simNode) Clear(table, key string) string {
	s.log = append(s.log, fmt.Sprintf("clear %s %q", table, key))
	return "ok"
}

func (s *simNode) Health(backend, server string, up bool) {
	s.health[target{backend, server}] = up
	s.log = append(s.log, fmt.Sprintf("health %s/%s %v", backend, server, up))
}

func (s *simNode) Void(peer string) { s.voided = append(s.voided, peer) }

func (s *simNode) CloseUser(table, key, except string) { s.closing[key] = except }

func (s *simNode) Assign(table, key, server string) (Stamp, error) {
	if s.gaveUp {
		return Stamp{}, fmt.Errorf("table is full")
	}
	if s.hang > 0 {
		s.m.pass(s.hang)
	}
	h := home{server: server, stamp: Stamp{Time: s.clock.next(s.m.now), Writer: s.name}}
	s.assigned(key, h)
	for to := range s.m.nodes {
		if to != s.n {
			s.m.launch(packet{from: s.n, to: to, key: key, home: h})
		}
	}
	return h.stamp, nil
}

func (s *simNode) Assigned(table, key, server string, stamp Stamp) {
	s.assigned(key, home{server, stamp})
}

func (s *simNode) Release(table, key, server string) {
	s.log = append(s.log, fmt.Sprintf("release %s %q", key, server))
}
