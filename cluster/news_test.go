package cluster

import (
	"strings"
	"testing"
	"time"
)

// all has a node do one of each thing that events tell of.
func (s *simNode) all(user string) {
	m := s.m
	m.t.Helper()
	s.table[user] = home{"s1", Stamp{Time: s.clock.next(m.now), Writer: s.name}}
	if err := s.c.OrderPin(m.now, Pin{Table: "users", Key: user + "2", Backend: "mail", Server: "s1", By: "admin"}); err != nil {
		m.t.Fatal(err)
	}
	if _, err := s.move(user, "s2"); err != nil {
		m.t.Fatal(err)
	}
	m.heal()
	since := m.now
	for _, phase := range []string{FlushRuns, FlushEnded} {
		if err := s.c.SayFlush(m.now, Flush{Backend: "mail", Server: user, Phase: phase, By: "admin", Since: since}); err != nil {
			m.t.Fatal(err)
		}
		m.flow()
	}
}

// A process that is started anew does not tell of what ended, or was pinned,
// before it, whether the others say it or its file; what an order has it do it
// tells as an old one. What happens from then on is news.
func TestOldFactsAreNoNews(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[0].all("old")
	if err := m.nodes[0].c.OrderWeight(m.now, "admin", "mail", "s1", 7); err != nil {
		t.Fatal(err)
	}
	m.heal()
	saved := m.nodes[1].c.Save()
	m.pass(time.Second)
	m.boot(1, saved)
	m.boot(2, nil)
	m.heal()
	m.wantSame()
	for _, s := range m.nodes[1:] {
		for _, e := range s.c.Events(0) {
			if e.Kind == EventMove || e.Kind == EventFlush || e.Kind == EventOrder && !strings.Contains(e.Outcome, orderedEarlier) {
				t.Errorf("%s, started anew, tells: %s", s.name, e)
			}
		}
	}
	if n := len(m.nodes[1].log); n > 0 {
		t.Errorf("orders of its file are carried out again: %q", m.nodes[1].log)
	}
	m.nodes[0].all("new")
	m.heal()
	for _, s := range m.nodes[1:] {
		counts := map[string]int{}
		for _, e := range s.c.Events(0) {
			if strings.Contains(e.What, "new") {
				counts[e.Kind]++
			}
		}
		if counts[EventMove] != 2 || counts[EventFlush] != 2 || counts[EventOrder] != 1 {
			t.Errorf("%s: events of what is new %v, want 2 of the move, 2 of the flush and 1 order", s.name, counts)
		}
	}
}

// A move under way holds the user here, whoever began it and when.
func TestOldMoveUnderWayIsTold(t *testing.T) {
	m := newMesh(t, 1, 2)
	m.nodes[0].table["u"] = home{"s1", Stamp{Time: m.nodes[0].clock.next(m.now), Writer: "lb1"}}
	m.nodes[1].table["u"] = m.nodes[0].table["u"]
	m.nodes[0].login("u")
	if _, err := m.nodes[0].move("u", "s2"); err != nil {
		t.Fatal(err)
	}
	m.pass(time.Second)
	m.boot(1, nil)
	m.members()
	m.repair(0, 1)
	if events := m.nodes[1].c.Events(0); len(events) != 1 || events[0].Outcome != "begun" || !m.nodes[1].c.Held("users", "u") {
		t.Errorf("events %v, want that the move has begun", events)
	}
	m.heal()
	if events := m.nodes[1].c.Events(0); len(events) != 2 || events[1].Outcome != "done" {
		t.Errorf("events %v, want the end of the move", events)
	}
}
