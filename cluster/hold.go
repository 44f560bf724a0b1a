package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// releaseAfter is how long behind the deadline of a move a peer lets the user
// go that has not heard of its end: where it began nobody is left to tell.
const releaseAfter = 5 * time.Second

// hold is a move under way as this peer sees it, whoever began it. Owned by
// Cluster, under its mu.
type hold struct {
	id      string
	server  string
	until   time.Time // released then at the latest
	expires int64     // of the fact
	gone    bool      // this peer has no session in the way
	own     *ownMove  // it began here
}

// Held reports whether logins of a user wait for the end of a move. It takes
// no lock and no memory. Who saw false before a move began and counts a
// session later must look again then.
func (c *Cluster) Held(table, key string) bool {
	held := c.held.Load()
	if held == nil {
		return false
	}
	_, is := (*held)[moveKey{table, key}]
	return is
}

// publish makes the holds known to Held, once for all that changed in them. It
// comes before the effects, so that nobody is closed who can log in again. mu
// is held.
func (c *Cluster) publish() {
	c.heldOld = false
	if len(c.holds) == 0 {
		c.held.Store(nil)
		return
	}
	held := make(map[moveKey]struct{}, len(c.holds))
	for k := range c.holds {
		held[k] = struct{}{}
	}
	c.held.Store(&held)
}

// moved sees to the fact of a move that is new here. mu is held.
func (c *Cluster) moved(now time.Time, f *fact) {
	m, ok := parseMove(f.value)
	k, ok2 := parseMoveKey(f.key)
	if !ok || !ok2 {
		return
	}
	if h := c.holds[k]; h != nil && h.own != nil && h.id != m.id {
		c.lose(now, h.own, ErrReplaced)
	}
	switch {
	case m.phase == phaseDone:
		c.release(now, k, &m, f)
	case f.writer == c.self && c.own[m.id] == nil:
		// It began in a run of this peer that is over.
		m.phase, m.why = phaseDone, "the peer where it began was started anew"
		if c.say(now, f.key, m.encode(), m.expires()) != nil {
			c.letGo(k, "")
		}
	default:
		c.hold(now, k, &m, f)
	}
}

// hold has logins of a user wait and his sessions ended. mu is held.
func (c *Cluster) hold(now time.Time, k moveKey, m *move, f *fact) {
	// The clock where it began may differ from this one, so the time is
	// measured from here; but a late message holds nobody for long.
	until := now.Add(m.timeout)
	if latest := time.UnixMilli(m.deadline).Add(maxAhead); latest.Before(until) {
		until = latest
	}
	if until = until.Add(releaseAfter); !now.Before(until) {
		return
	}
	if !c.members.isAlive(f.writer) && now.UnixMilli() > m.deadline {
		return // nobody is left to end it
	}
	c.holds[k] = &hold{id: m.id, server: m.server, until: until, expires: m.expires(), own: c.own[m.id]}
	c.heldOld = true
	c.note(moveEvent(now, k, m, f, "begun"))
	c.later(func() { c.effects.CloseUser(k.table, k.key, m.server) })
}

// Gone says that this process has no session of a key, but on the server
// except, as CloseUser was told.
func (c *Cluster) Gone(now time.Time, table, key, except string) {
	c.mu.Lock()
	defer c.unlock()
	h := c.holds[moveKey{table, key}]
	if h == nil || h.gone || h.server != except {
		return
	}
	if c.say(now, factKey(kindGone, h.id, c.self), "", h.expires) != nil {
		c.counters.Dropped++ // the move waits until its deadline
		return
	}
	if h := c.holds[moveKey{table, key}]; h != nil {
		h.gone = true
	}
}

// release sees to the end of a move, whether this peer knew of it or not. mu
// is held.
func (c *Cluster) release(now time.Time, k moveKey, m *move, f *fact) {
	if m.stamp.Time == 0 {
		c.noteNews(f.time, moveEvent(now, k, m, f, "given up: "+m.why))
		c.letGo(k, "")
		return
	}
	outcome := "done"
	if len(m.missing) > 0 {
		outcome += ", without an answer of " + strings.Join(m.missing, ", ")
	}
	if m.why != "" {
		outcome += ", " + m.why
	}
	c.noteNews(f.time, moveEvent(now, k, m, f, outcome))
	// The logins go on when the table has the assignment, not before.
	h, server, stamp := c.holds[k], m.server, m.stamp
	c.later(func() {
		c.effects.Assigned(k.table, k.key, server, stamp)
		c.mu.Lock()
		defer c.unlock()
		if h != nil && c.holds[k] == h {
			c.letGo(k, server)
		}
	})
}

// letGo lets the logins of a user go on if they are held. mu is held.
func (c *Cluster) letGo(k moveKey, server string) {
	if c.holds[k] == nil {
		return
	}
	delete(c.holds, k)
	c.heldOld = true
	c.later(func() { c.effects.Release(k.table, k.key, server) })
}

// tickMoves does what is due and returns when something is due next, zero for
// never. mu is held.
func (c *Cluster) tickMoves(now time.Time) (next time.Time) {
	c.checkMoves(now)
	for _, own := range c.own {
		if !own.assigning {
			next = earlier(next, own.deadline)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(c.holds), compareMoves) {
		h := c.holds[k]
		if now.Before(h.until) {
			next = earlier(next, h.until)
			continue
		}
		c.note(Event{Time: now, Kind: EventMove, What: "move of " + k.String() + " to " + h.server,
			Outcome: "released, as nothing was heard of its end"})
		if h.own != nil {
			c.lose(now, h.own, ErrTimeout)
		}
		c.letGo(k, "")
	}
	return next
}

func compareMoves(a, b moveKey) int {
	return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.key, b.key))
}

// moveEvent tells of a move.
func moveEvent(now time.Time, k moveKey, m *move, f *fact, outcome string) Event {
	return Event{
		Time: now, Kind: EventMove, Who: m.by, Where: f.writer, When: when(f.time),
		What: "move of " + k.String() + " to " + m.backend + "/" + m.server, Outcome: outcome,
	}
}

// MovedTo is the server a user is being moved to, false if he is not.
func (c *Cluster) MovedTo(table, key string) (server string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.holds[moveKey{table, key}]
	if h == nil {
		return "", false
	}
	return h.server, true
}
