package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// order gives one of each.
func (s *simNode) order() {
	s.m.t.Helper()
	for _, err := range []error{
		s.c.OrderAdmin(s.m.now, "admin uid=0", "mail", "s1", "drain"),
		s.c.OrderWeight(s.m.now, "admin uid=0", "mail", "s1", 7),
		s.c.OrderMaxconn(s.m.now, "admin uid=0", "mail", "s1", 30),
		s.c.OrderKick(s.m.now, "admin uid=0", Kick{User: "alice"}),
		s.c.OrderClear(s.m.now, "admin uid=0", "users", ""),
		s.c.OrderClear(s.m.now, "admin uid=0", "users", "bob"),
	} {
		if err != nil {
			s.m.t.Fatal(err)
		}
	}
}

var orderLog = []string{"admin mail/s1 drain", "weight mail/s1 7", "maxconn mail/s1 30", `kick user "alice"`, `clear users ""`, `clear users "bob"`}

// Orders are carried out once by each peer, however they come to it.
func TestOrdersAreCarriedOutByAll(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[0].order()
	m.ship(0, 1)
	m.flow()
	m.repair(0, 2)
	m.repair(1, 2)
	for _, s := range m.nodes {
		got := slices.Clone(s.log)
		slices.Sort(got)
		want := slices.Clone(orderLog)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s did %q, want %q", s.name, got, want)
		}
		if state, ok := s.c.Admin("mail", "s1"); state != "drain" || !ok {
			t.Errorf("%s: Admin = %q, %v, want drain", s.name, state, ok)
		}
		if weight, ok := s.c.Weight("mail", "s1"); weight != 7 || !ok {
			t.Errorf("%s: Weight = %d, %v, want 7", s.name, weight, ok)
		}
		if n, ok := s.c.Maxconn("mail", "s1"); n != 30 || !ok {
			t.Errorf("%s: Maxconn = %d, %v, want 30", s.name, n, ok)
		}
	}
	if _, ok := m.nodes[1].c.Admin("mail", "s2"); ok {
		t.Error("there is an order for another server")
	}
	if _, ok := m.nodes[1].c.Weight("mail", "s2"); ok {
		t.Error("there is a weight for another server")
	}
	if _, ok := m.nodes[1].c.Maxconn("mail", "s2"); ok {
		t.Error("there is a maxconn for another server")
	}
	var lines []string
	for _, e := range m.nodes[2].c.Events(0) {
		if e.Kind == EventOrder {
			lines = append(lines, e.String())
		}
	}
	if want := "2026-03-01T12:00:00.000Z order: kick user \"alice\", by admin uid=0 at lb1 12:00:00.000Z: 1 session"; !slices.Contains(lines, want) {
		t.Errorf("events %q, want %q among them", lines, want)
	}
}

// Of two orders on a server the newest is in force everywhere in the end.
func TestNewestOrderIsInForce(t *testing.T) {
	for seed := range uint64(100) {
		m := newMesh(t, seed, 2+int(seed%4))
		m.loss = 30
		for range 200 {
			m.step()
			n := m.rng.IntN(len(m.nodes))
			s := m.nodes[n].c
			switch m.rng.IntN(30) {
			case 0:
				s.OrderAdmin(m.now, "admin", "mail", "s1", adminStates[m.rng.IntN(3)])
			case 1:
				s.OrderWeight(m.now, "admin", "mail", "s1", m.rng.IntN(MaxWeight+1))
			case 2:
				s.OrderKick(m.now, "admin", Kick{User: fmt.Sprint("u", m.rng.IntN(1000))})
			case 3:
				m.boot(n, s.Save())
				m.members()
			}
		}
		for _, s := range m.nodes {
			s.log = nil
		}
		m.nodes[0].c.OrderAdmin(m.now, "admin", "mail", "s2", "maint")
		m.heal()
		m.wantSame()
		for _, s := range m.nodes {
			if got, ok := s.c.Admin("mail", "s2"); got != "maint" || !ok || !slices.Contains(s.log, "admin mail/s2 maint") {
				t.Fatalf("seed %d: %s: Admin = %q, did %q", seed, s.name, got, s.log)
			}
		}
	}
}

func TestOrdersAreRefused(t *testing.T) {
	c := newOne(t, "lb1")
	long := strings.Repeat("n", MaxName+1)
	for name, err := range map[string]error{
		"nobody":      c.OrderAdmin(start, "", "mail", "s1", "drain"),
		"long by":     c.OrderAdmin(start, long, "mail", "s1", "drain"),
		"no server":   c.OrderAdmin(start, "admin", "mail", "", "drain"),
		"no backend":  c.OrderWeight(start, "admin", "", "s1", 1),
		"no user":     c.OrderKick(start, "admin", Kick{User: ""}),
		"no table":    c.OrderClear(start, "admin", "", "u"),
		"long table":  c.OrderClear(start, "admin", long, "u"),
		"of slashes":  c.OrderAdmin(start, "admin", strings.Repeat("/", MaxName), strings.Repeat("/", MaxName), "drain"),
		"long user":   c.OrderKick(start, "admin", Kick{User: strings.Repeat("u", maxUser+1)}),
		"long key":    c.OrderClear(start, "admin", "users", strings.Repeat("u", maxUser+1)),
		"word":        c.OrderAdmin(start, "admin", "mail", "s1", "broken"),
		"much":        c.OrderWeight(start, "admin", "mail", "s1", MaxWeight+1),
		"less than 0": c.OrderWeight(start, "admin", "mail", "s1", -1),
		"too many":    c.OrderMaxconn(start, "admin", "mail", "s1", MaxMaxconn+1),
		"maxconn < 0": c.OrderMaxconn(start, "admin", "mail", "s1", -1),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(start, "", DefaultConfig(), nil); !errors.Is(err, ErrName) {
		t.Errorf("New without a name = %v, want %v", err, ErrName)
	}
	if n := c.Counters().Facts; n != 0 {
		t.Errorf("%d facts, want none", n)
	}
}

// What a peer says that is no order is passed on and carried out by nobody.
func TestOrdersThatMakeNoSense(t *testing.T) {
	c := newOne(t, "lb1")
	log := &c.effects.(*simNode).log
	for key, value := range map[string]string{
		"admin/mail/s1":  orderText{"admin", "broken"}.encode(),
		"admin/mail":     orderText{"admin", "drain"}.encode(),
		"admin/mail/s2":  "drain",
		"weight/mail/s1": orderText{"admin", "-3"}.encode(),
		"kick/1":         orderText{"admin"}.encode(),
		"vote/lb2/mail":  "up",
		"move/users":     "",
		"move/users/u":   "hold",
		"gone/1":         "",
	} {
		if _, err := c.Merge(start, "lb2", encode(&fact{key: key, value: value, time: wall(start), writer: "lb2"})); err != nil {
			t.Fatal(err)
		}
	}
	if len(*log) > 0 || c.Counters().Facts != 9 {
		t.Errorf("did %q with %d facts, want nothing with 9", *log, c.Counters().Facts)
	}
	if _, ok := c.Admin("mail", "s1"); ok {
		t.Error("Admin takes a word that is no state")
	}
	if _, ok := c.Weight("mail", "s1"); ok {
		t.Error("Weight takes a number that is none")
	}
}

// An order to kick that is late hits nobody; one that was saved is not carried
// out again.
func TestLateAndSavedOrders(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.nodes[0].order()
	late, _ := m.nodes[0].c.Part(nil, 0, 0xffff, 0, 1<<20)
	m.now = m.now.Add(OrderLife)
	m.nodes[1].c.Merge(m.now, "lb1", late)
	if got := m.nodes[1].log; len(got) != 3 {
		t.Errorf("did %q, want the orders that last alone", got)
	}
	m = newMesh(t, 1, 2)
	m.nodes[0].order()
	m.flow()
	m.boot(1, m.nodes[1].c.Save())
	m.repair(0, 1)
	if got := m.nodes[1].log; len(got) > 0 {
		t.Errorf("did %q again after a restart", got)
	}
	m.boot(1, nil)
	m.repair(0, 1)
	if got := m.nodes[1].log; len(got) != len(orderLog) {
		t.Errorf("did %q, want all that was lost", got)
	}
}

func TestSaveAndLoad(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.nodes[0].order()
	m.nodes[0].vote(false)
	m.mustMove(0, "u", "s2")
	if n := m.nodes[0].c.Orders(); n != uint64(len(orderLog)) {
		t.Errorf("Orders = %d, want %d", n, len(orderLog))
	}
	saved := m.nodes[0].c.Save()
	if !bytes.Equal(saved, m.nodes[0].c.Save()) {
		t.Error("Save again gives other bytes")
	}
	c := newOne(t, "lb1")
	if err := c.Load(start, saved); err != nil {
		t.Fatal(err)
	}
	if state, _ := c.Admin("mail", "s1"); state != "drain" || c.Counters().Facts != len(orderLog) {
		t.Errorf("Admin %q, %d facts, want drain and the orders alone", state, c.Counters().Facts)
	}
	if c.Held("users", "u") || c.Votes("mail", "s1").Told || len(c.effects.(*simNode).log) > 0 {
		t.Error("a move, a vote or an effect came out of the file")
	}
	for i := range saved {
		damaged := slices.Clone(saved)
		damaged[i] ^= 0x20
		other := newOne(t, "lb1")
		if err := other.Load(start, damaged); !errors.Is(err, ErrFile) || other.Counters().Facts > 0 {
			t.Fatalf("byte %d: Load = %v, %d facts, want %v and none", i, err, other.Counters().Facts, ErrFile)
		}
		if err := other.Load(start, saved[:i]); !errors.Is(err, ErrFile) {
			t.Fatalf("cut at %d: Load = %v, want %v", i, err, ErrFile)
		}
	}
	empty := newOne(t, "lb1")
	if err := empty.Load(start, newOne(t, "lb2").Save()); err != nil || empty.Counters().Facts != 0 {
		t.Errorf("Load of nothing = %v", err)
	}
}

// Orders from a time when the clock was wrong are taken as given now.
func TestLoadFromTheFuture(t *testing.T) {
	c := newOne(t, "lb1")
	if err := c.OrderAdmin(start.Add(48*time.Hour), "admin", "mail", "s1", "maint"); err != nil {
		t.Fatal(err)
	}
	other := newOne(t, "lb2")
	if err := other.Load(start, c.Save()); err != nil {
		t.Fatal(err)
	}
	third := newOne(t, "lb3")
	for _, b := range parts(other, 1000) {
		third.Merge(start, "lb2", b)
	}
	if state, ok := third.Admin("mail", "s1"); state != "maint" || !ok {
		t.Errorf("Admin at a third peer = %q, %v, want maint", state, ok)
	}
}

func TestEventsAreBounded(t *testing.T) {
	c := newOne(t, "lb1")
	for i := range maxEvents + 10 {
		c.PeerUp(start, fmt.Sprint("lb", i+2))
	}
	all := c.Events(0)
	if len(all) != maxEvents || all[0].What != "lb12 is up" || all[maxEvents-1].What != fmt.Sprintf("lb%d is up", maxEvents+11) {
		t.Errorf("%d events, from %q to %q", len(all), all[0].What, all[len(all)-1].What)
	}
	if got := c.Events(3); !reflect.DeepEqual(got, all[maxEvents-3:]) {
		t.Errorf("Events(3) = %v, want the last", got)
	}
	c.note(Event{What: strings.Repeat("é", maxText), Outcome: "a\nb\x1b"})
	e := c.Events(1)[0]
	if len(e.What) > maxText+4 || !strings.HasSuffix(e.String(), "…: a?b?") {
		t.Errorf("event of %d bytes: %q", len(e.What), e.String())
	}
}

// Effects are in the order of the decisions, also those that effects cause,
// and one at a time, though many goroutines cause them.
func TestEffectsAreInOrder(t *testing.T) {
	c := newOne(t, "lb1")
	var all sync.WaitGroup
	for g := range 8 {
		all.Add(1)
		go orderMany(c, g, &all) // ends after its orders
	}
	all.Wait()
	c.OrderWeight(start, "admin", "mail", "s9", 0) // all others have run when this has
	s := c.effects.(*simNode)
	c.mu.Lock()
	facts := c.facts.find(func(f *fact) bool { return kindOf(f.key) == kindWeight })
	c.mu.Unlock()
	last := map[string]string{}
	for _, line := range s.log {
		server, weight, _ := strings.Cut(strings.TrimPrefix(line, "weight mail/"), " ")
		last[server] = weight
	}
	if len(s.log) != 8*100+1 {
		t.Errorf("%d effects, want %d", len(s.log), 8*100+1)
	}
	for _, f := range facts {
		names, _ := splitKey(f.key, 2)
		if text, _ := parseOrder(f.value, 2); last[names[1]] != text[1] {
			t.Errorf("last weight of %s carried out %s, in force %s", names[1], last[names[1]], text[1])
		}
	}
}

func orderMany(c *Cluster, g int, all *sync.WaitGroup) {
	defer all.Done()
	for i := range 100 {
		c.OrderWeight(start, "admin", "mail", fmt.Sprint("s", i%3), (g*31+i)%MaxWeight)
	}
}
