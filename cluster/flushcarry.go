package cluster

import "time"

// A flush outlives the peer that carries it. While it runs it is an orphan when
// its peer is not alive, or has said nothing for flushSilent, as one that was
// started anew so fast that nobody found it dead. Then the first of the living
// peers by name goes on with it, from the numbers that were said last; should it
// not be able to, because its file has no such server, the second does after
// flushTurn, and so on. A side of a cut that is frozen moves nobody: it says what
// it has heard again, so that it does not expire.
//
// For a moment two may carry a flush: the peer was only slow, or cut off. Each
// user is moved once all the same, as a move holds for the cluster. Of the two
// the older flush stays, or if it is one, the peer of the smaller name.
const (
	flushSilent = 10 * time.Second // of a peer that is alive; it says something every 2 s
	flushTurn   = 10 * time.Second // for each peer to take an orphan
)

// FlushEffects has this process carry flushes.
type FlushEffects interface {
	// CarryFlush has this peer go on with a flush whose peer is gone, and say so by
	// SayFlush. It does nothing if this peer carries it already, or cannot.
	CarryFlush(f Flush)
	// LeaveFlush ends a flush here, without a word, if there is one: another peer
	// carries it or has ended it.
	LeaveFlush(backend, server string)
	// StopFlush ends a flush if this peer carries it.
	StopFlush(backend, server string) (outcome string)
}

// flushNews is what this peer knows of a flush besides its fact. Owned by
// Cluster, under its mu.
type flushNews struct {
	own    *Flush // as this peer said it last, nil unless it carries it
	heard  time.Time
	orphan time.Time // since when it is one; zero is not, and in the future it was given away
}

// carried notes what this peer says of a flush. mu is held.
func (c *Cluster) carried(f *Flush) {
	t := target{f.Backend, f.Server}
	news, known := c.flushes[t]
	switch {
	case f.Phase == FlushEnded:
		news.own = nil
	case known || len(c.flushes) < maxFlushes:
		news.own = f
	default:
		return
	}
	c.flushes[t] = news
}

// meet is for another's word of a flush that this peer carries: it leaves it to
// him, or says that it has it, which he may not have heard as his word was the
// later one. One who is not alive here hears it in time, lest two who take each
// other for dead answer each other for ever. mu is held.
func (c *Cluster) meet(now time.Time, own, other *Flush) {
	t := target{own.Backend, own.Server}
	if !c.gives(own, other) {
		if c.members.isAlive(other.Peer) {
			_ = c.sayFlush(now, own) // without room it is said again soon
		}
		return
	}
	news := c.flushes[t]
	news.own = nil
	c.flushes[t] = news
	c.later(func() { c.effects.LeaveFlush(t.backend, t.server) })
}

// gives reports whether this peer leaves a flush to another one. mu is held.
func (c *Cluster) gives(own, other *Flush) bool {
	switch {
	case other.Phase == FlushEnded:
		return !other.Since.Before(own.Since)
	case !c.members.isAlive(other.Peer):
		return false
	case !own.Since.Equal(other.Since):
		return other.Since.Before(own.Since)
	}
	return other.Peer < own.Peer
}

// isOrphan reports whether nobody carries a flush. mu is held.
func (c *Cluster) isOrphan(now time.Time, f *Flush, news flushNews) bool {
	return f.Phase == FlushRuns && (!c.members.isAlive(f.Peer) || now.Sub(news.heard) >= flushSilent)
}

// tickFlushes looks after orphans and returns when one is due next, zero for
// never. mu is held.
func (c *Cluster) tickFlushes(now time.Time) (next time.Time) {
	if len(c.flushes) == 0 {
		return next
	}
	for _, t := range sortedTargets(c.flushes) {
		f, ok := c.flushOf(now, t)
		news := c.flushes[t]
		switch {
		case !ok || !c.isOrphan(now, &f, news):
			news.orphan = time.Time{}
		case c.members.frozen != "":
			news.orphan = time.Time{}
			c.keepOrphan(now, &f)
			continue // what is said again is not news
		default:
			if news.orphan.IsZero() {
				news.orphan = now
			}
			due := news.orphan.Add(time.Duration(c.members.rank(c.self)) * flushTurn)
			if !now.Before(due) {
				news.orphan = now.Add(time.Duration(len(c.members.alive)) * flushTurn)
				c.later(func() { c.effects.CarryFlush(f) })
			} else {
				next = earlier(next, due)
			}
		}
		c.flushes[t] = news
	}
	return next
}

// keepOrphan says again what was heard of an orphan before it expires; the first
// of the peers does. mu is held.
func (c *Cluster) keepOrphan(now time.Time, f *Flush) {
	fact := c.facts.byKey[factKey(kindFlush, f.Backend, f.Server)]
	if c.members.rank(c.self) > 0 || fact.expires-now.UnixMilli() > (flushLife/2).Milliseconds() {
		return
	}
	// Without room it expires, and an event tells that.
	_ = c.sayFlush(now, f)
}

// endOrphan says the end of a flush in the place of its peer if that is gone.
func (c *Cluster) endOrphan(now time.Time, f Flush) error {
	c.mu.Lock()
	defer c.unlock()
	if !c.isOrphan(now, &f, c.flushes[target{f.Backend, f.Server}]) {
		return nil
	}
	f.Phase, f.Note = FlushEnded, "stopped by order"
	return c.sayFlush(now, &f)
}

// endAbandoned says the end of a flush that is stopped, if the others take this
// peer for its carrier, and it is not: it was started anew a moment ago. mu is
// held.
func (c *Cluster) endAbandoned(now time.Time, t target) {
	f, ok := c.flushOf(now, t)
	if !ok || f.Phase != FlushRuns || f.Peer != c.self || c.flushes[t].own != nil {
		return
	}
	f.Phase, f.Note = FlushEnded, "stopped by order"
	// Without room the others go on with it, and it can be stopped again.
	_ = c.sayFlush(now, &f)
}
