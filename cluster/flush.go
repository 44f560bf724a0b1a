package cluster

import (
	"fmt"
	"strconv"
	"time"
)

const (
	flushLife  = time.Minute      // of what a peer said of its flush, which says it again meanwhile; it outlives finding out that the peer is dead
	flushAfter = 10 * time.Minute // how long the end of a flush is shown
	maxFlushes = 1000             // shown
)

// The phases of a flush.
const (
	FlushRuns  = "runs"
	FlushEnded = "ended"
)

// Flush is how far the users of a server are moved away. The peer where it was
// ordered carries it, and tells the others by SayFlush; when it is gone another
// goes on with it (flushcarry.go).
type Flush struct {
	Backend, Server string
	Phase           string
	By              string // who ordered it
	Peer            string // carries it
	Since           time.Time
	Parallel        int // moves at once
	Moved, Failed   int // users
	Left            int // users that have sessions on the server yet
	Note            string
}

const flushFields = 9

func (f *Flush) encode() string {
	numbers := [...]int{f.Parallel, f.Moved, f.Failed, f.Left}
	o := orderText{f.By, f.Phase, f.Peer, strconv.FormatInt(f.Since.UnixMilli(), 10)}
	for _, n := range numbers {
		o = append(o, strconv.Itoa(n))
	}
	return append(o, clipTo(f.Note, maxWhy)).encode()
}

// parseFlush is the inverse of encode; false if it is none.
func parseFlush(key, value string) (f Flush, ok bool) {
	names, ok := splitKey(key, 2)
	o, ok2 := parseOrder(value, flushFields)
	if !ok || !ok2 {
		return f, false
	}
	ms, err := strconv.ParseInt(o[3], 10, 64)
	f = Flush{Backend: names[0], Server: names[1], By: o[0], Phase: o[1], Peer: o[2], Since: time.UnixMilli(ms), Note: o[8]}
	for i, n := range [...]*int{&f.Parallel, &f.Moved, &f.Failed, &f.Left} {
		if err == nil {
			*n, err = strconv.Atoi(o[4+i])
		}
	}
	known := f.Phase == FlushRuns || f.Phase == FlushEnded
	return f, err == nil && known && validName(f.Peer) && len(o[0]) <= MaxName
}

// SayFlush tells the others of a flush that this peer carries.
func (c *Cluster) SayFlush(now time.Time, f Flush) error {
	if !(target{f.Backend, f.Server}).valid() {
		return ErrName
	}
	c.mu.Lock()
	defer c.unlock()
	f.Peer = c.self
	c.carried(&f)
	return c.sayFlush(now, &f)
}

// sayFlush: mu is held.
func (c *Cluster) sayFlush(now time.Time, f *Flush) error {
	life := flushLife
	if f.Phase == FlushEnded {
		life = flushAfter
	}
	return c.say(now, factKey(kindFlush, f.Backend, f.Server), f.encode(), now.Add(life).UnixMilli())
}

// OrderFlushStop has the peer that carries a flush stop it; ErrNoFlush if none
// runs. One whose peer is gone ends at once, so that nobody goes on with it.
func (c *Cluster) OrderFlushStop(now time.Time, by, backend, server string) error {
	f, ok := c.FlushOf(now, backend, server)
	if !ok || f.Phase != FlushRuns {
		return ErrNoFlush
	}
	if err := c.endOrphan(now, f); err != nil {
		return err
	}
	return c.orderOnce(now, kindFlushStop, orderText{by, backend, server})
}

// FlushOf is the flush of a server that runs or has ended of late, false for
// none.
func (c *Cluster) FlushOf(now time.Time, backend, server string) (Flush, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushOf(now, target{backend, server})
}

// flushOf: mu is held.
func (c *Cluster) flushOf(now time.Time, t target) (Flush, bool) {
	f := c.facts.byKey[factKey(kindFlush, t.backend, t.server)]
	if f == nil || f.expired(now) {
		return Flush{}, false
	}
	return parseFlush(f.key, f.value)
}

// FlushedBy is the other peer that carries a flush of a server, "" for none: it
// is alive and has not said that the flush has ended.
func (c *Cluster) FlushedBy(now time.Time, backend, server string) (peer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.flushOf(now, target{backend, server})
	if !ok || f.Phase == FlushEnded || f.Peer == c.self || !c.members.isAlive(f.Peer) {
		return ""
	}
	return f.Peer
}

// Flushes are those that run and those that have ended of late, by server.
func (c *Cluster) Flushes(now time.Time) (list []Flush) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[target]Flush{}
	for t := range c.flushes {
		if f, ok := c.flushOf(now, t); ok {
			all[t] = f
		}
	}
	for _, t := range sortedTargets(all) {
		list = append(list, all[t])
	}
	return list
}

// flushed sees to the fact of a flush that is new here; old is what it
// replaced, nil for none. mu is held.
func (c *Cluster) flushed(now time.Time, old, f *fact) {
	is, ok := parseFlush(f.key, f.value)
	if !ok {
		return
	}
	t := target{is.Backend, is.Server}
	if _, known := c.flushes[t]; !known && len(c.flushes) >= maxFlushes {
		return
	}
	c.flushes[t] = flushNews{heard: now, own: c.flushes[t].own}
	var was Flush
	if old != nil {
		was, _ = parseFlush(old.key, old.value)
	}
	c.noteFlush(now, &was, &is, f)
	if own := c.flushes[t].own; own != nil && f.writer != c.self {
		c.meet(now, own, &is)
	}
}

// noteFlush adds the event of a flush that was otherwise before. mu is held.
func (c *Cluster) noteFlush(now time.Time, was, is *Flush, f *fact) {
	t := target{is.Backend, is.Server}
	if was.Phase == is.Phase && was.Since.Equal(is.Since) {
		if is.Phase == FlushRuns && was.Peer != is.Peer {
			c.note(Event{Time: now, Kind: EventFlush, What: fmt.Sprintf("flush of %s: %s goes on with it", t, is.Peer)})
		}
		return // only the numbers are others
	}
	e := Event{Time: now, Kind: EventFlush, Who: is.By, Where: f.writer, When: when(f.time)}
	said := f.time
	switch is.Phase {
	case FlushRuns:
		said = wall(is.Since) // the fact is said again all the time
		e.What = fmt.Sprintf("flush of %s begun, %d users at once", t, is.Parallel)
	case FlushEnded:
		e.What = fmt.Sprintf("flush of %s ended", t)
		e.Who = ""
		e.Outcome = fmt.Sprintf("%d moved, %d failed, %d left", is.Moved, is.Failed, is.Left)
		if is.Note != "" {
			e.Outcome += ", " + is.Note
		}
	}
	c.noteNews(said, e)
}

// flushExpired is for a flush of which nothing was heard any more. mu is held.
func (c *Cluster) flushExpired(now time.Time, f *fact) {
	is, ok := parseFlush(f.key, f.value)
	if !ok {
		return
	}
	delete(c.flushes, target{is.Backend, is.Server})
	if is.Phase != FlushEnded {
		c.note(Event{Time: now, Kind: EventFlush, What: fmt.Sprintf("flush of %s/%s is lost", is.Backend, is.Server),
			Outcome: "nothing was heard of " + is.Peer + " any more"})
	}
}
