package sticktable

import "time"

// Replicate makes the table one that peers share: from now on it keeps a
// journal of its own changes and the digests of its content. The sessions of
// this peer's run before are declared gone. It is called once, after Load and
// before the table is used; one that is not replicated pays for none of it.
func (t *Table) Replicate(now time.Time) {
	if t.journal != nil {
		return
	}
	t.saw(now)
	floor := t.clock.next(now)
	t.journal = newJournal(floor)
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		sh.digests = new([numBuckets]uint64)
		if sh.counters != nil {
			sh.counted = new([numBuckets]uint64)
		}
		for id := uint32(1); id <= sh.top; id++ {
			if sh.at(id).key != "" {
				t.flip(sh, id)
			}
		}
		t.unlock(sh)
	}
	t.floors.raise(t.peers, selfID, floor)
	t.journal.add(mark{kind: markFloor})
	t.wake()
}

// Head is the position behind the newest of this peer's own changes.
func (t *Table) Head() uint64 {
	if t.journal == nil {
		return 0
	}
	return t.journal.end()
}

// Watch has wake called after the journal has grown, with no lock held. wake
// must not block.
func (t *Table) Watch(wake func()) {
	for {
		old := t.watchers.Load()
		var list []func()
		if old != nil {
			list = append(list, *old...)
		}
		list = append(list, wake)
		if t.watchers.CompareAndSwap(old, &list) {
			return
		}
	}
}

func (t *Table) wake() {
	if list := t.watchers.Load(); list != nil {
		for _, f := range *list {
			f()
		}
	}
}

// OnMoved has f called, with no lock held, for each key that a peer's word
// moved to another server while this peer has sessions of it.
func (t *Table) OnMoved(f func(key, from, to string)) { t.moved.Store(&f) }

// note writes a change of a record into the journal. unlock tells the watchers.
func (t *Table) note(sh *shard, id uint32) {
	if t.journal == nil {
		return
	}
	sh.at(id).pos = uint32(t.journal.add(mark{id: id, shard: sh.number}))
	sh.grown = true
}

// noteAgain is note for what changes often: if the mark of the record's last
// change has not been read by anybody, who reads it meets this change too.
func (t *Table) noteAgain(sh *shard, id uint32) {
	if t.journal == nil {
		return
	}
	if !t.journal.unread(mark{id: id, shard: sh.number}, sh.at(id).pos) {
		t.note(sh, id)
	}
}

// unlock ends what Lock began and tells the watchers if the journal has grown.
func (t *Table) unlock(sh *shard) {
	grown := sh.grown
	sh.grown = false
	sh.publish()
	sh.mu.Unlock()
	if grown {
		t.wake()
	}
}

// Replicated reports whether peers share the table.
func (t *Table) Replicated() bool { return t.journal != nil }
