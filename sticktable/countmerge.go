package sticktable

import "time"

// takeCounts merges slots that a peer tells of, as l has them. Of each peer the
// later version stays, so updates may come twice, late and in any order. If the
// layout is another one by now they are left out: the digests will show it.
func (t *Table) takeCounts(now time.Time, l *layout, key string, lastUsed int64, slots []uint64) {
	t.saw(now)
	over := lastUsed
	if lastUsed+t.expire.Load() <= now.UnixMilli() {
		over = findOnly
	}
	width := l.width
	for at := 0; at < len(slots); at += width {
		w := slots[at : at+width]
		t.clock.observe(w[slotVersion])
		if w[slotVersion] <= t.floors.of(peerOf(w)) {
			w[slotCur] = 0 // of a run that has ended
		}
		if w[slotCur] > 0 && peerOf(w) != selfID {
			over = anyCost
		}
	}
	sh, id := t.open(key, over)
	defer t.unlock(sh)
	if id == 0 || sh.counters.layout != l {
		return
	}
	for at := 0; at < len(slots); at += width {
		if w := slots[at : at+width]; peerOf(w) == selfID {
			t.reclaimCounts(sh, id, w, now)
		} else {
			t.mergeCounts(sh, id, w)
		}
	}
	if idle := !sh.inUse(id); lastUsed > sh.at(id).lastUsed || idle != sh.linked(id) {
		sh.touch(id, max(sh.at(id).lastUsed, lastUsed))
	}
}

// mergeCounts takes the slot of another peer if it is later.
func (t *Table) mergeCounts(sh *shard, id uint32, w []uint64) {
	if have := sh.counters.of(id, peerOf(w)); have != nil && w[slotVersion] > have[slotVersion] {
		t.replaceCounts(sh, id, have, w)
	}
}

// replaceCounts overwrites a slot, all but its place in the list.
func (t *Table) replaceCounts(sh *shard, id uint32, have, w []uint64) {
	key := sh.at(id).key
	t.flipCounts(sh, key, have)
	have[slotVersion] = w[slotVersion]
	copy(have[slotCur:], w[slotCur:])
	t.flipCounts(sh, key, have)
}

// reclaimCounts takes back what this peer counted in a run that has ended, or
// in an entry that it has dropped: the others remember it. What is connected now
// is known better here.
func (t *Table) reclaimCounts(sh *shard, id uint32, w []uint64, now time.Time) {
	if t.journal == nil {
		return
	}
	have := sh.counters.of(id, selfID)
	if w[slotVersion] <= have[slotVersion] {
		return
	}
	cur := have[slotCur]
	wrong := w[slotCur] != cur
	w[slotCur] = cur
	t.replaceCounts(sh, id, have, w)
	if wrong {
		t.counted(sh, id, have, now)
	}
}

// cleanCounts lets go of the connections of peers that are dead, by their
// floors. If it was this peer that was taken for dead it says that it lives.
func (t *Table) cleanCounts(sh *shard, id uint32, now time.Time) {
	c := sh.counters
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		w := c.slot(n)
		switch {
		case w[slotCur] == 0 || w[slotVersion] > t.floors.of(peerOf(w)):
		case peerOf(w) == selfID:
			t.counted(sh, id, w, now)
		default:
			w[slotCur] = 0
		}
	}
}
