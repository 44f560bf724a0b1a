package balancer

import (
	"testing"
	"time"
)

func TestSlowStart(t *testing.T) {
	s := setup(2, "hash", nil)
	s.Servers[0].Config.Slowstart = time.Minute
	b := NewBackend(start, "mail", 3, s)
	s1 := b.Server("s1")
	at := func(sec int) time.Time { return start.Add(time.Duration(sec) * time.Second) }
	want := func(sec, throttle, weight int) {
		t.Helper()
		if s1.Throttle(at(sec)) != throttle || s1.EffectiveWeight(at(sec)) != weight || s1.Weight() != 100 {
			t.Errorf("second %d: throttle %d, weight %d, want %d and %d", sec, s1.Throttle(at(sec)), s1.EffectiveWeight(at(sec)), throttle, weight)
		}
	}
	want(0, 100, 100) // not at the start
	s1.SetHealth(at(10), down)
	s1.SetHealth(at(20), up)
	want(20, 5, 5)
	want(19, 5, 5) // a clock that went back
	want(50, 52, 52)
	want(79, 98, 98)
	want(80, 100, 100)
	want(21, 100, 100) // it is over for good
	s1.SetAdmin(at(90), Maint)
	s1.SetAdmin(at(100), Ready)
	want(100, 5, 5)
	s1.SetAgent(at(100), Agent{Check: "L7OK", Weight: 50})
	want(130, 52, 26)
	b.Server("s2").SetHealth(at(10), down)
	b.Server("s2").SetHealth(at(20), up)
	if got := b.Server("s2").EffectiveWeight(at(20)); got != 100 {
		t.Errorf("without slowstart the weight is %d, want 100", got)
	}
}

// A weight of 1 under slow start still takes some users.
func TestSlowStartOfAFeather(t *testing.T) {
	s := setup(1, "hash", nil)
	s.Servers[0].Config.Slowstart, s.Servers[0].Config.Weight = time.Minute, 1
	b := NewBackend(start, "mail", 3, s)
	b.Server("s1").SetHealth(start, down)
	b.Server("s1").SetHealth(start, up)
	if b.Choose(start, askOf(1), nil) == nil || b.Server("s1").EffectiveWeight(start) != 1 {
		t.Error("it takes nobody")
	}
}

// What the agent says, beside what the operator and the checks say.
func TestAgent(t *testing.T) {
	for _, c := range []struct {
		name   string
		agent  Agent
		admin  Admin
		health Health
		text   string
		fresh  bool // takes new users
		weight int
	}{
		{"nothing", Agent{}, Ready, up, "UP", true, 100},
		{"weight", Agent{Check: "L7OK", Weight: 25}, Ready, up, "UP", true, 25},
		{"weight 0", Agent{Check: "L7OK", Weight: 0}, Ready, up, "UP", false, 0},
		{"more than all", Agent{Check: "L7OK", Weight: 1000}, Ready, up, "UP", true, 256},
		{"drain", Agent{Check: "L7OK", Weight: -1, Admin: Drain}, Ready, up, "DRAIN (agent)", false, 100},
		{"maint", Agent{Check: "L7OK", Weight: -1, Admin: Maint}, Ready, up, "MAINT (agent)", false, 100},
		{"down", Agent{Check: "L7OK", Weight: -1, Down: true}, Ready, up, "DOWN (agent)", false, 100},
		{"up, but the checks fail", Agent{Check: "L7OK", Weight: -1, Word: "up"}, Ready, down, "DOWN", false, 100},
		{"ready, but the operator drains", Agent{Check: "L7OK", Weight: -1}, Drain, up, "DRAIN", false, 100},
		{"drain, but the operator is stricter", Agent{Check: "L7OK", Weight: -1, Admin: Drain}, Maint, up, "MAINT", false, 100},
	} {
		b := NewBackend(start, "mail", 3, setup(1, "hash", nil))
		s := b.Server("s1")
		s.SetHealth(start, c.health)
		s.SetAdmin(start, c.admin)
		s.SetAgent(start, c.agent)
		state := s.State()
		if state.Text() != c.text || s.takesNew() != c.fresh || s.EffectiveWeight(start) != c.weight {
			t.Errorf("%s: %q, takes new users %v, weight %d; want %q, %v, %d", c.name, state.Text(), s.takesNew(), s.EffectiveWeight(start), c.text, c.fresh, c.weight)
		}
		s.SetAgent(start, Agent{})
		if state = s.State(); state.Effective() != c.admin || s.EffectiveWeight(start) != 100 {
			t.Errorf("%s: without its agent it is %v with weight %d", c.name, state.Effective(), s.EffectiveWeight(start))
		}
	}
}

func TestAgentIsTold(t *testing.T) {
	var log []string
	b := NewBackend(start, "mail", 3, heard(setup(2, "hash", nil), &log))
	s := b.Server("s1")
	s.SetAgent(start, Agent{Check: "L7OK", Down: true})
	s.SetAgent(start, Agent{Check: "L7OK", Down: true, Weight: 3})
	s.SetAgent(start, Agent{Check: "L7OK"})
	wantLog(t, &log, "s1 down active=1", "s1 up active=1") // weight 0 by the agent
	s.SetAgent(start, Agent{Check: "L7OK", Weight: -1, Admin: Maint})
	s.SetHealth(start, down)
	s.SetAgent(start, Agent{Check: "L7OK", Weight: -1})
	wantLog(t, &log, "s1 ready active=1", "s1 ready active=2")
}

func TestUnresolved(t *testing.T) {
	table := newTable()
	b := NewBackend(start, "mail", 3, setup(2, "hash", table))
	s := b.Server("s1")
	table.Enter(start, "busy", "s1")
	s.SetResolved(start, false)
	s.SetResolved(start, false)
	state := s.State()
	if state.Text() != "MAINT (resolution)" || !s.Away() || s.takesNew() {
		t.Errorf("%q, away %v, takes new users %v", state.Text(), s.Away(), s.takesNew())
	}
	if p := mustPlace(t, b, "busy"); p.Server == s {
		t.Error("a user is placed on a server without an address")
	}
	s.SetResolved(start, true)
	if s.Away() || !s.takesNew() {
		t.Error("it has an address and is away")
	}
}

func TestObserve(t *testing.T) {
	for _, c := range []struct {
		name   string
		layer7 bool
		signs  string // o ok, c connect, a answer
		acts   int
		counts int64
	}{
		{"failures in a row", false, "ccc", 1, 3},
		{"a good one between", false, "ccocc", 0, 4},
		{"twice", false, "cccccc", 2, 6},
		{"layer4 takes a bad answer for a good connection", false, "ccacc", 0, 4},
		{"layer7", true, "cac", 1, 3},
		{"layer7, a good one between", true, "aaoaa", 0, 4},
	} {
		b := NewBackend(start, "mail", 3, setup(1, "hash", nil))
		s := b.Server("s1")
		s.Observe(start, SignConnect) // nobody looks
		acts := 0
		s.SetObserver(&Observer{Layer7: c.layer7, Limit: 3, Act: func(time.Time) { acts++ }})
		for _, r := range c.signs {
			s.Observe(start, map[rune]Sign{'o': SignOK, 'c': SignConnect, 'a': SignAnswer}[r])
		}
		if acts != c.acts || s.Hanafail.Load() != c.counts {
			t.Errorf("%s: acted %d times, counted %d, want %d and %d", c.name, acts, s.Hanafail.Load(), c.acts, c.counts)
		}
	}
}
