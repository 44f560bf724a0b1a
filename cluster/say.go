package cluster

import "time"

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
	if old == nil && (c.wasForgotten(f) || !c.room(now)) {
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
		c.forgot = max(c.forgot, f.time)
		c.counters.Dropped++
	}
	if len(spare) == 0 {
		c.noRoom = now
	}
	return len(spare) > 0
}

// wasForgotten reports whether a fact is the end of a move of the time of those
// that went for lack of room. A peer that holds it yet tells of it, and it would
// be carried out and told once more. mu is held.
func (c *Cluster) wasForgotten(f *fact) bool {
	return f.time <= c.forgot && kindOf(f.key) == kindMove && isSpare(f, nil)
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
