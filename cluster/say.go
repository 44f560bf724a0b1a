package cluster

import (
	"fmt"
	"strings"
	"time"
)

// evictShare is the part of MaxFacts that goes at once when room is made, so
// that it is not looked for each time.
const evictShare = 16

// say makes a fact of this peer and sees to what follows from it here. mu is
// held.
func (c *Cluster) say(now time.Time, key, value string, expires int64) error {
	f := fact{key: key, value: value, writer: c.self}
	if !validFact(&f) {
		return ErrKey
	}
	old := c.facts.byKey[key]
	if old == nil && !c.room(now) {
		return ErrFull
	}
	c.grown = true
	c.changed(now, old, c.facts.say(now, key, value, expires))
	return nil
}

// take takes a fact of another peer if it is newer than what is held. mu is
// held.
func (c *Cluster) take(now time.Time, f *fact) {
	if f.expired(now) {
		return
	}
	old := c.facts.byKey[f.key]
	if old == nil && !c.room(now) {
		c.counters.Dropped++
		return
	}
	c.facts.clock.observe(f.time)
	if old != nil && f.compare(old) <= 0 {
		return
	}
	c.facts.place(f)
	c.changed(now, old, f)
}

// changed sees to what follows from a fact that is new here; old is what it
// replaced, nil for none. mu is held.
func (c *Cluster) changed(now time.Time, old, f *fact) {
	if isSaved(f) {
		c.orders++
	}
	if f.prolongs(old) {
		return
	}
	switch kindOf(f.key) {
	case kindAdmin, kindWeight, kindMaxconn:
		c.stateOrdered(now, f)
	case kindPin:
		c.pinned(now, f)
	case kindFlush:
		c.flushed(now, old, f)
	case kindKick, kindClear, kindFlushStop:
		if old == nil {
			c.ordered(now, f)
		}
	case kindVote:
		c.voted(now, f)
	case kindMove:
		c.moved(now, f)
	case kindGone:
		c.confirmed(now, f)
	}
}

// sweep removes what has expired. mu is held.
func (c *Cluster) sweep(now time.Time) (removed int) {
	for _, f := range c.facts.find(func(f *fact) bool { return f.expired(now) || f.expires == 0 && f.lasts() }) {
		if f.expires == 0 { // a peer of before said it
			c.prolong(now, f)
			continue
		}
		c.facts.remove(f)
		removed++
		switch kindOf(f.key) {
		case kindVote:
			c.voteExpired(now, f)
		case kindFlush:
			c.flushExpired(now, f)
		}
	}
	return removed
}

// room reports whether one more fact may be held, at the cost of expired ones
// and then of the oldest moves that have ended. mu is held.
func (c *Cluster) room(now time.Time) bool {
	if len(c.facts.byKey) < MaxFacts {
		return true
	}
	if now.Sub(c.noRoom).Abs() < tickEvery {
		return false
	}
	if c.sweep(now) > 0 {
		return true
	}
	moving := map[string]bool{}
	for _, h := range c.holds {
		moving[h.id] = true
	}
	spare := c.facts.find(func(f *fact) bool { return isSpare(f, moving) })
	for _, f := range spare[:min(len(spare), MaxFacts/evictShare)] {
		c.facts.remove(f)
		c.counters.Dropped++
	}
	if len(spare) == 0 {
		c.noRoom = now
	}
	return len(spare) > 0
}

// isSpare reports whether a fact is of a move that has ended, or says that a
// user is pinned no more; moving has the ids of the other moves.
func isSpare(f *fact, moving map[string]bool) bool {
	switch kindOf(f.key) {
	case kindMove:
		m, ok := parseMove(f.value)
		return ok && m.phase == phaseDone
	case kindGone:
		names, ok := splitKey(f.key, 2)
		return ok && !moving[names[0]]
	case kindPin:
		return f.expires != 0
	}
	return false
}

// Merge takes what another peer's Pull or Part made. Facts whose time is too
// far ahead are passed over and counted, so that they do not keep the others
// from being repaired.
func (c *Cluster) Merge(now time.Time, from string, b []byte) (entries int, err error) {
	facts, err := decodeMessage(b, MaxMessage)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.unlock()
	ahead := 0
	for _, f := range facts {
		if !possible(f.time, now) {
			ahead++
			continue
		}
		c.take(now, f)
	}
	c.counters.Ahead += int64(ahead)
	c.noteAhead(now, from, ahead)
	return len(facts), nil
}

// watchClock tells the operator that this peer's clock was set back so far that
// the others may not believe it. Its own times never go back, here and in the
// tables: it goes on where its clock had been. mu is held.
func (c *Cluster) watchClock(now time.Time) {
	back := time.Duration(c.latest-now.UnixMilli()) * time.Millisecond
	c.latest = now.UnixMilli()
	if back >= maxAhead {
		c.note(Event{Time: now, Kind: EventClock, What: "the clock of this peer was set back by " + back.Round(time.Second).String(),
			Outcome: "if it was wrong before, the others refuse what this peer says until that time has passed: start it anew"})
	}
}

// noteAhead tells the operator once of a peer whose clock is wrong. mu is held.
func (c *Cluster) noteAhead(now time.Time, from string, ahead int) {
	switch {
	case ahead == 0:
		delete(c.tooEarly, from)
	case !c.tooEarly[from] && len(c.tooEarly) < MaxPeers:
		c.tooEarly[strings.Clone(from)] = true
		c.note(Event{Time: now, Kind: EventClock, What: fmt.Sprintf(
			"clocks differ by more than a minute: %d facts from %s refused", ahead, from)})
	}
}
