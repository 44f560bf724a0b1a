package cluster

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func (s *simNode) sayFlush(phase string, moved, left int) {
	s.m.t.Helper()
	f := Flush{
		Backend: "mail", Server: "s1", Phase: phase, By: "admin", Since: start, Parallel: 100, Moved: moved, Left: left, Failed: 1,
	}
	if phase == FlushEnded {
		f.Note = "nobody left"
	}
	if err := s.c.SayFlush(s.m.now, f); err != nil {
		s.m.t.Fatal(err)
	}
}

// All peers know of a flush, and whoever is asked can stop it where it runs.
func TestFlushIsKnownAndStopped(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[0].sayFlush(FlushRuns, 0, 30)
	m.nodes[0].sayFlush(FlushRuns, 10, 20)
	m.flow()
	for _, s := range m.nodes {
		f, ok := s.c.FlushOf(m.now, "mail", "s1")
		if !ok || f.Phase != FlushRuns || f.Moved != 10 || f.Left != 20 || f.Failed != 1 || f.Parallel != 100 || f.Peer != "lb1" || !f.Since.Equal(start) {
			t.Errorf("%s: FlushOf = %+v, %v", s.name, f, ok)
		}
		if all := s.c.Flushes(m.now); len(all) != 1 || all[0] != f {
			t.Errorf("%s: Flushes = %v", s.name, all)
		}
	}
	if a, b := m.nodes[0].c.FlushedBy(m.now, "mail", "s1"), m.nodes[1].c.FlushedBy(m.now, "mail", "s1"); a != "" || b != "lb1" {
		t.Errorf("FlushedBy at lb1 %q, at lb2 %q, want none and lb1", a, b)
	}
	if err := m.nodes[1].c.OrderFlushStop(m.now, "admin", "mail", "s2"); !errors.Is(err, ErrNoFlush) {
		t.Errorf("stop of a flush that is not = %v, want %v", err, ErrNoFlush)
	}
	if err := m.nodes[1].c.OrderFlushStop(m.now, "admin", "mail", "s1"); err != nil {
		t.Fatal(err)
	}
	m.flow()
	m.nodes[0].sayFlush(FlushRuns, 11, 19) // does not undo the order, whichever comes first
	m.flow()
	for _, s := range m.nodes {
		if !slices.Contains(s.log, "stop flush mail/s1") {
			t.Errorf("%s: log %q, want the order", s.name, s.log)
		}
	}
	m.nodes[0].sayFlush(FlushEnded, 12, 18)
	m.flow()
	if err := m.nodes[2].c.OrderFlushStop(m.now, "admin", "mail", "s1"); !errors.Is(err, ErrNoFlush) {
		t.Errorf("stop of one that has ended = %v, want %v", err, ErrNoFlush)
	}
	var events []string
	for _, e := range m.nodes[2].c.Events(0) {
		if e.Kind == EventFlush {
			events = append(events, e.What+": "+e.Outcome)
		}
	}
	want := []string{
		"flush of mail/s1 begun, 100 users at once: ",
		"flush of mail/s1 ended: 12 moved, 1 failed, 18 left, nobody left",
	}
	if !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	m.pass(flushAfter + sweepEvery)
	for _, s := range m.nodes {
		if all := s.c.Flushes(m.now); len(all) > 0 || len(s.c.flushes) > 0 {
			t.Errorf("%s: Flushes = %v long after the end", s.name, all)
		}
	}
}

// A flush whose peer died is shown no more, and may be ordered elsewhere at
// once.
func TestFlushIsLost(t *testing.T) {
	m := newMesh(t, 1, 3)
	m.nodes[0].sayFlush(FlushRuns, 0, 30)
	m.flow()
	m.cut = map[int]bool{0: true}
	m.members()
	if peer := m.nodes[1].c.FlushedBy(m.now, "mail", "s1"); peer != "" {
		t.Errorf("FlushedBy = %q, which is dead", peer)
	}
	m.pass(flushLife + sweepEvery)
	e := m.nodes[1].c.Events(1)[0]
	if len(m.nodes[1].c.Flushes(m.now)) > 0 || e.What != "flush of mail/s1 is lost" {
		t.Errorf("Flushes = %v, event %v", m.nodes[1].c.Flushes(m.now), e)
	}
}

func TestFlushesThatMakeNoSense(t *testing.T) {
	c := newOne(t, "lb1")
	good := Flush{Backend: "mail", Server: "s1", Phase: FlushRuns, By: "admin", Peer: "lb2", Since: start}
	if is, ok := parseFlush("flush/mail/s1", good.encode()); !ok || !is.Since.Equal(start) || is.Peer != good.Peer || is.Phase != good.Phase {
		t.Errorf("parseFlush = %+v, %v, want %+v", is, ok, good)
	}
	for key, value := range map[string]string{
		"flush/mail":    good.encode(),
		"flush/mail/s1": strings.Replace(good.encode(), "runs", "walk", 1),
		"flush/mail/s2": orderText{"admin", "runs"}.encode(),
		"flush/mail/s3": orderText{"a", "runs", "lb2", "x", "1", "1", "1", "1", ""}.encode(),
		"flush/mail/s4": orderText{"a", "runs", "", "1", "1", "1", "1", "1", ""}.encode(),
		"flush/mail/s5": "",
		"pin/users":     orderText{"a", "mail", "s1"}.encode(),
		"pin/users/":    orderText{"a", "mail", "s1"}.encode(),
		"pin/users/u":   "s1",
		"kick/1":        orderText{"a", "10.0.0.0/8", "colour"}.encode(),
	} {
		if _, err := c.Merge(start, "lb2", encode(&fact{key: key, value: value, time: wall(start), writer: "lb2", expires: start.Add(time.Minute).UnixMilli()})); err != nil {
			t.Fatal(err)
		}
	}
	if log := c.effects.(*simNode).log; len(log) > 0 || len(c.Flushes(start)) > 0 || len(c.Pins()) > 0 {
		t.Errorf("did %q, flushes %v, pins %v, want nothing", log, c.Flushes(start), c.Pins())
	}
	for i := range maxFlushes + 1 {
		f := good
		f.Server = fmt.Sprint("s", i)
		if err := c.SayFlush(start, f); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.Flushes(start)); n != maxFlushes {
		t.Errorf("%d flushes, want %d", n, maxFlushes)
	}
	if err := c.SayFlush(start, Flush{Phase: FlushRuns}); err == nil {
		t.Error("a flush of no server was said")
	}
}

// All kinds of kicks cross to the other peers.
func TestKicksAreCarriedOutByAll(t *testing.T) {
	m := newMesh(t, 1, 2)
	kicks := []Kick{{User: "*@example.org"}, {Server: "mail/s1"}, {Source: "192.0.2.0/24"}}
	for _, k := range kicks {
		if err := m.nodes[0].c.OrderKick(m.now, "admin", k); err != nil {
			t.Fatal(err)
		}
	}
	m.flow()
	want := []string{`kick user "*@example.org"`, "kick server mail/s1", "kick src 192.0.2.0/24"}
	for _, s := range m.nodes {
		if !slices.Equal(s.log, want) {
			t.Errorf("%s did %q, want %q", s.name, s.log, want)
		}
	}
}

// Of two flushes of one server that began before the peers had heard of each
// other, one goes on, and both peers agree on which.
func TestOneOfTwoFlushesGoesOn(t *testing.T) {
	for _, c := range []struct {
		name string
		late [2]time.Duration // behind start
		want int              // who goes on
	}{
		{"the first", [2]time.Duration{0, time.Millisecond}, 0},
		{"the second", [2]time.Duration{time.Second, 0}, 1},
		{"within a millisecond", [2]time.Duration{900, 100}, 0},
	} {
		m := newMesh(t, 1, 2)
		runs := func(i int) {
			f := Flush{Backend: "mail", Server: "s1", Phase: FlushRuns, By: "admin", Since: start.Add(c.late[i]), Parallel: 1}
			if err := m.nodes[i].c.SayFlush(m.now, f); err != nil {
				t.Fatal(err)
			}
		}
		before := func(i int) string {
			return m.nodes[i].c.FlushBefore(m.now, "mail", "s1", start.Add(c.late[i]))
		}
		runs(0)
		runs(1)
		yielded := [2]bool{}
		for range 3 { // each looks, and speaks if it goes on
			for i := range m.nodes {
				if yielded[i] {
					continue
				}
				if peer := before(i); peer != "" {
					yielded[i] = true
					if peer != m.nodes[1-i].name {
						t.Errorf("%s: %s yields to %q", c.name, m.nodes[i].name, peer)
					}
					continue
				}
				runs(i)
				m.flow()
			}
		}
		if yielded[c.want] || !yielded[1-c.want] {
			t.Errorf("%s: yielded %v", c.name, yielded)
		}
		if f, ok := m.nodes[0].c.FlushOf(m.now, "mail", "s1"); !ok || f.Phase != FlushRuns || f.Peer != m.nodes[c.want].name {
			t.Errorf("%s: shown is %+v", c.name, f)
		}
	}
	m := newMesh(t, 1, 2)
	m.nodes[0].sayFlush(FlushRuns, 0, 1)
	m.flow()
	m.nodes[1].c.SetMembers(m.now, []string{"lb2"}, []string{"lb1", "lb2"})
	if peer := m.nodes[1].c.FlushBefore(m.now, "mail", "s1", start.Add(time.Hour)); peer != "" {
		t.Errorf("yields to %s, who is dead", peer)
	}
}
