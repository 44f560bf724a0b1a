package cluster

import (
	"strings"
	"testing"
	"time"
)

// A clock that was far ahead leaves this peer's times there: it says so.
func TestClockSetBack(t *testing.T) {
	c := newOne(t, "lb1")
	for _, at := range []time.Duration{0, time.Hour, time.Hour - maxAhead + time.Millisecond, -time.Hour} {
		c.Tick(start.Add(at))
	}
	all := c.Events(0)
	if len(all) != 1 || !strings.HasPrefix(all[0].What, "the clock of this peer was set back by 1h59m0s") || all[0].Kind != EventClock {
		t.Errorf("events %v, want one of the last step", all)
	}
}

// A peer whose clock is ahead, but not too far, pulls the times of the others
// along: they count on from there until their own clocks have come so far, no
// longer. One whose clock is a little behind refuses them meanwhile, and gets
// them by a repair.
func TestClockAheadHeals(t *testing.T) {
	const ahead, behind = maxAhead - time.Second, 5 * time.Second
	a, c := newOne(t, "lb1"), newOne(t, "lb3")
	if _, err := a.Merge(start, "lb2", encode(&fact{key: "later/1", time: wall(start.Add(ahead)), writer: "lb2"})); err != nil {
		t.Fatal(err)
	}
	said := func(now time.Time, server string) (f *fact, at time.Time) {
		t.Helper()
		if err := a.OrderWeight(now, "admin", "mail", server, 7); err != nil {
			t.Fatal(err)
		}
		f = a.facts.byKey[factKey(kindWeight, "mail", server)]
		return f, when(f.time)
	}
	f, at := said(start, "s1")
	if !at.Equal(start.Add(ahead)) {
		t.Errorf("time %v behind that of a peer ahead, want %v", at, start.Add(ahead))
	}
	for _, step := range []struct {
		at    time.Duration
		facts int
	}{{0, 0}, {2 * behind, 2}} {
		now := start.Add(step.at)
		b, next := a.Part(nil, 0, 1<<numBuckets-1, 0, MaxMessage)
		if _, err := c.Merge(now.Add(-behind), "lb1", b); err != nil || next != 0 {
			t.Fatal(err, next)
		}
		if got := c.Counters().Facts; got != step.facts {
			t.Errorf("after %v the one behind holds %d facts, want %d", step.at, got, step.facts)
		}
	}
	if got := c.facts.byKey[f.key]; got == nil || got.compare(f) != 0 {
		t.Error("the one behind did not get the order")
	}
	later := start.Add(ahead + time.Millisecond)
	if _, at := said(later, "s2"); !at.Equal(later) {
		t.Errorf("time %v when the clock has come so far, want %v", at, later)
	}
}

// Clocks that differ by seconds are told once, before anything is refused, and
// not of a measurement that may be wrong by as much.
func TestClockOffset(t *testing.T) {
	c := newOne(t, "lb1")
	for _, step := range []struct {
		offset, doubt time.Duration
		want          string
	}{
		{9 * time.Second, 0, ""},
		{-25 * time.Second, 20 * time.Second, ""},
		{-25 * time.Second, time.Millisecond, "the clock of lb2 is 25s behind this peer's"},
		{-26 * time.Second, time.Millisecond, ""},
		{time.Second, 10 * time.Second, ""},
		{-26 * time.Second, time.Millisecond, ""},
		{time.Second, time.Millisecond, ""},
		{11400 * time.Millisecond, 0, "the clock of lb2 is 11s ahead of this peer's"},
	} {
		_, before := c.EventsAfter(0)
		c.ClockOffset(start, "lb2", step.offset, step.doubt)
		told := ""
		if list, _ := c.EventsAfter(before); len(list) == 1 && list[0].Kind == EventClock {
			told = list[0].What
		}
		if told != step.want {
			t.Errorf("offset %v ± %v: %q, want %q", step.offset, step.doubt, told, step.want)
		}
	}
}
