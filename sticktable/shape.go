package sticktable

import (
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// shape is a number for the counters and their periods.
func (s *Store) shape() uint64 {
	h := xxhash.New()
	for d := range NumData {
		if s.has[d] {
			_, _ = fmt.Fprintf(h, "%s(%d),", dataNames[d].name, s.period[d])
		}
	}
	return h.Sum64()
}

// Shape is a number that is the same for all tables that store the same
// counters, 0 for those that store none.
func (t *Table) Shape() uint64 {
	if l := t.layout.Load(); l != nil {
		return l.shape
	}
	return 0
}

// Within reports whether all that is stored is in other, too, with the same
// periods.
func (s *Store) Within(other *Store) bool {
	for d := range NumData {
		if s.has[d] && (!other.has[d] || s.period[d] != other.period[d]) {
			return false
		}
	}
	return true
}

// Widen has the entries store the counters of s too from now on; those they did
// not store begin at 0. What they store stays, also if s leaves it out or has
// another period for it. It is for one goroutine at a time, and locks one shard
// after the other for as long as it takes to copy its counters.
//
// What other peers counted of the new counters was passed over when they told it,
// so their slots are made a little older: whoever compares finds that they
// differ, and they are told again.
func (t *Table) Widen(s Store) {
	have := t.Stored()
	for d := range NumData {
		if have.has[d] {
			s.has[d], s.period[d] = true, have.period[d]
		}
	}
	if have == s {
		return
	}
	l := newLayout(s)
	for i := range t.shards {
		t.widen(&t.shards[i], l)
	}
	t.layout.Store(l) // last: who sees it may count in any shard
	t.wake()          // the peers hear of the shape
}

func (t *Table) widen(sh *shard, l *layout) {
	sh.mu.Lock()
	defer t.unlock(sh)
	old, wide := sh.counters, &counters{layout: l}
	if sh.digests != nil && sh.counted == nil {
		sh.counted = new([numBuckets]uint64)
	}
	for id := uint32(1); id <= sh.top && old != nil; id++ {
		key := sh.at(id).key
		for n := old.head(id); n != 0; n = next(old.slot(n)) {
			from := old.slot(n)
			to := wide.of(id, peerOf(from))
			wide.take(to, old.layout, from)
			if peerOf(from) != selfID {
				t.flipCounts(sh, key, to)
				to[slotVersion]--
				t.flipCounts(sh, key, to)
			}
		}
	}
	sh.counters = wide
}

// take copies what a slot of a narrower layout has.
func (l *layout) take(to []uint64, old *layout, from []uint64) {
	to[slotVersion], to[slotCur] = from[slotVersion], from[slotCur]
	for d, at := range old.at {
		switch {
		case at == 0 || Data(d) == ConnCur:
		case dataNames[d].rate || Data(d) == GPT0:
			copy(to[l.at[d]:l.at[d]+2], from[at:at+2])
		default:
			to[l.at[d]] = from[at]
		}
	}
}
