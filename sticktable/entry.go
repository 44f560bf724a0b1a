package sticktable

import "time"

const rangeStep = 256 // records looked at under one lock

// Entry is a copy of one entry as it was when asked for.
type Entry struct {
	Key      string
	Server   string
	Stamp    Stamp     // of the assignment; zero if the table could not store it
	Writer   string    // peer that made the assignment
	Sessions int       // live sessions, all peers
	Local    int       // live sessions of this peer
	Use      int       // the same, and the connections that this peer counts
	InUse    bool      // it has sessions or connections, at any peer: it stays
	LastUsed time.Time // when a session last began or ended
	Expires  time.Time // when the entry ends if no session begins; for one with sessions, if they ended now
}

// entry copies a record of a locked shard.
func (t *Table) entry(sh *shard, id uint32, now time.Time) Entry {
	r := sh.at(id)
	e := Entry{
		Key: r.key, Server: t.servers.name(r.server),
		Stamp: Stamp{Time: r.stamp, Peer: r.writer}, Writer: t.peers.name(r.writer),
		Sessions: sh.count(r), Local: int(r.sessions),
		LastUsed: time.UnixMilli(r.lastUsed),
	}
	e.Use, e.InUse = e.Local+sh.counters.ownCur(id), sh.inUse(id)
	from := r.lastUsed
	if e.InUse {
		from = now.UnixMilli()
	}
	e.Expires = time.UnixMilli(from + t.expire.Load())
	return e
}

// dead reports whether the record's time has passed: it is then no entry any
// more, though no sweep has met it yet.
func (t *Table) dead(sh *shard, id uint32, now time.Time) bool {
	return sh.linked(id) && sh.at(id).lastUsed+t.expire.Load() <= now.UnixMilli()
}

// Lookup returns the entry of key. An expired entry is not found.
func (t *Table) Lookup(now time.Time, key string) (Entry, bool) {
	sh, id := t.open(key, findOnly)
	defer sh.mu.Unlock() // nothing was changed
	if id == 0 || t.dead(sh, id, now) {
		return Entry{}, false
	}
	return t.entry(sh, id, now), true
}

// Range calls f for each entry until f is false, in no order. f may call the
// table. Entries made or dropped meanwhile may be met or not; none is met twice.
func (t *Table) Range(now time.Time, f func(Entry) bool) {
	buf := make([]Entry, 0, rangeStep)
	for i := range t.shards {
		for from, more := uint32(1), true; more; from += rangeStep {
			buf = buf[:0]
			more = t.living(&t.shards[i], from, now, func(sh *shard, id uint32) {
				buf = append(buf, t.entry(sh, id, now))
			})
			if !each(buf, f) {
				return
			}
		}
	}
}

func each(entries []Entry, f func(Entry) bool) bool {
	for _, e := range entries {
		if !f(e) {
			return false
		}
	}
	return true
}

// living calls f, with the shard locked, for the records numbered from to
// from+rangeStep that have not expired, and reports whether there are higher
// ones.
func (t *Table) living(sh *shard, from uint32, now time.Time, f func(sh *shard, id uint32)) (more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for id := from; id < from+rangeStep && id <= sh.top; id++ {
		if sh.at(id).key != "" && !t.dead(sh, id, now) {
			f(sh, id)
		}
	}
	return from+rangeStep <= sh.top
}
