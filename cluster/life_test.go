package cluster

import (
	"slices"
	"testing"
	"time"
)

// days lets them pass, with all that the peers say to each other meanwhile.
func (m *mesh) days(n int) {
	for range n {
		m.pass(24 * time.Hour)
		for from := range m.nodes {
			for to := range m.nodes {
				m.repair(from, to)
			}
		}
	}
}

var onS1 = map[string][]string{"mail": {"s1"}}

// An order on a server lasts as long as one peer has the server in its file, and
// 30 days more. That it lasts is told to all, and carried out by none of them.
func TestOrdersOutlastTheirServers(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[2].c.SetServers(m.now, onS1)
	for _, server := range []string{"s1", "s9"} {
		m.nodes[0].c.OrderAdmin(m.now, "admin", "mail", server, "maint")
		m.nodes[0].c.OrderWeight(m.now, "admin", "mail", server, 7)
		m.nodes[0].c.OrderMaxconn(m.now, "admin", "mail", server, 30)
	}
	m.days(1)
	var logs [3]int
	for i, s := range m.nodes {
		logs[i] = len(s.log)
	}
	want := func(when string, ok1, ok9 bool) {
		t.Helper()
		for i, s := range m.nodes {
			_, admin1 := s.c.Admin("mail", "s1")
			_, weight1 := s.c.Weight("mail", "s1")
			_, admin9 := s.c.Admin("mail", "s9")
			_, weight9 := s.c.Weight("mail", "s9")
			_, most1 := s.c.Maxconn("mail", "s1")
			_, most9 := s.c.Maxconn("mail", "s9")
			if most1 != ok1 || most9 != ok9 {
				t.Fatalf("%s, %s: orders of maxconn on s1 %t, on s9 %t, want %t and %t", when, s.name, most1, most9, ok1, ok9)
			}
			if admin1 != ok1 || weight1 != ok1 || admin9 != ok9 || weight9 != ok9 {
				t.Fatalf("%s, %s: orders on s1 %t %t, on s9 %t %t, want %t and %t", when, s.name, admin1, weight1, admin9, weight9, ok1, ok9)
			}
			if len(s.log) != logs[i] {
				t.Fatalf("%s, %s: did %q again", when, s.name, s.log[logs[i]:])
			}
		}
		m.wantSame()
	}
	m.days(28)
	want("after 29 days", true, true)
	m.days(3)
	want("after 32 days", true, false)
	m.days(300)
	want("after a year", true, false)
	m.nodes[2].c.SetServers(m.now, nil)
	m.nodes[1].c.SetServers(m.now, onS1) // in another's file now
	m.days(100)
	want("in another's file", true, false)
	m.nodes[1].c.SetServers(m.now, nil)
	m.days(15)
	want("15 days after it has left", true, false)
	m.days(17)
	want("32 days after it has left", false, false)
	if n := m.nodes[0].c.Counters().Facts; n != 0 {
		t.Errorf("%d facts are left", n)
	}
}

// A peer that has the server, and was off for longer than orders outlast it, finds
// its order in its own file, and the others hear of it again; one that has not
// brings nothing back for long.
func TestSavedOrdersOutlastTheirServers(t *testing.T) {
	for _, has := range []map[string][]string{onS1, nil} {
		m := newMesh(t, 1, 2)
		m.nodes[0].c.OrderAdmin(m.now, "admin", "mail", "s1", "maint")
		m.repair(0, 1)
		saved := m.nodes[1].c.Save()
		m.cut = map[int]bool{1: true}
		m.days(60)
		if _, ok := m.nodes[0].c.Admin("mail", "s1"); ok {
			t.Fatal("the other has not forgotten it")
		}
		m.cut = nil
		m.boot(1, saved)
		m.nodes[1].c.SetServers(m.now, has)
		m.days(10)
		for _, s := range m.nodes {
			if _, ok := s.c.Admin("mail", "s1"); ok != (has != nil) {
				t.Errorf("%s: an order in force: %t, servers of the file %v", s.name, ok, has)
			}
		}
		m.wantSame()
	}
}

// A longer life does not overtake a newer order, whichever way they meet.
func TestLifeOvertakesNoOrder(t *testing.T) {
	m := newMesh(t, 1, 2)
	a, b := m.nodes[0].c, m.nodes[1].c
	a.OrderAdmin(m.now, "admin", "mail", "s1", "maint")
	m.repair(0, 1)
	m.now = m.now.Add(20 * 24 * time.Hour)
	b.OrderAdmin(m.now, "admin", "mail", "s1", "ready")
	a.SetServers(m.now, onS1)
	m.repair(0, 1)
	m.repair(1, 0)
	for _, s := range m.nodes {
		if state, _ := s.c.Admin("mail", "s1"); state != "ready" {
			t.Errorf("%s: %q, want the newer order", s.name, state)
		}
	}
	m.wantSame()
}

// What peers of before said for ever gets a life; its journal tells of it.
func TestOrdersForEverGetALife(t *testing.T) {
	c := newOne(t, "lb1")
	f := &fact{key: "admin/mail/s1", value: orderText{"admin", "drain"}.encode(), time: wall(start), writer: "lb2"}
	pin := &fact{key: "pin/users/u", value: orderText{"admin", "mail", "s1"}.encode(), time: wall(start), writer: "lb2"}
	c.Merge(start, "lb2", encode(f, pin))
	before, head := c.Orders(), c.Head()
	c.Tick(start.Add(sweepEvery))
	if got := c.facts.byKey[f.key]; got.expires != orderEnd(start.Add(sweepEvery)) || c.Orders() == before || c.Head() != head+1 {
		t.Errorf("it ends at %d, %d orders to save, journal %d longer", got.expires, c.Orders()-before, c.Head()-head)
	}
	if c.facts.byKey[pin.key].expires != 0 {
		t.Error("a pin ends")
	}
	if b, _, ok := c.Pull(nil, head, 1000); !ok || !slices.Equal(b, encode(c.facts.byKey[f.key])) {
		t.Errorf("Pull = %q, %t", b, ok)
	}
	if log := c.effects.(*simNode).log; len(log) != 1 {
		t.Errorf("did %q, want the order once", log)
	}
}
