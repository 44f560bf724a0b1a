package sticktable

import (
	"cmp"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxFloors is how many floors are kept; beyond it the lowest goes, on every
// peer the same: nobody has slots that old any more.
const maxFloors = 1024

// Floor says that the slots of a peer up to a version do not exist: they are
// from a run of it that has ended.
type Floor struct {
	Peer    string
	Version uint64 // a time of a peer's clock
}

// floors is shared: any goroutine may call any method, with a shard locked or
// not, but raise with none.
type floors struct {
	list atomic.Pointer[[]uint64] // by the peer's number; replaced, never changed

	mu sync.Mutex // held while list is replaced
}

// of is the floor of a peer, 0 if it has none. Who is to store a slot asks
// with the shard locked: a floor is published before the shards are cleaned.
func (f *floors) of(peer uint16) uint64 {
	if list := f.list.Load(); list != nil && int(peer) < len(*list) {
		return (*list)[peer]
	}
	return 0
}

// all gives the peers that have a floor.
func (f *floors) all() iter.Seq2[uint16, uint64] {
	return func(yield func(uint16, uint64) bool) {
		list := f.list.Load()
		if list == nil {
			return
		}
		for peer, version := range *list {
			if version != 0 && !yield(uint16(peer), version) {
				return
			}
		}
	}
}

// raise lifts the floor of a peer and reports whether it was lower.
func (f *floors) raise(peers *names, peer uint16, version uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if version <= f.of(peer) {
		return false
	}
	var list []uint64
	if old := f.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	for len(list) <= int(peer) {
		list = append(list, 0)
	}
	list[peer] = version
	if dropped, ok := beyond(list, peers); ok {
		list[dropped] = 0
	}
	f.list.Store(&list)
	return f.of(peer) == version
}

// beyond is the lowest floor of more than maxFloors; of equal ones the first by
// name.
func beyond(list []uint64, peers *names) (lowest int, ok bool) {
	n := 0
	for i, v := range list {
		if v == 0 {
			continue
		}
		n++
		low := list[lowest]
		if low == 0 || v < low || v == low && peers.name(uint16(i)) < peers.name(uint16(lowest)) {
			lowest = i
		}
	}
	return lowest, n > maxFloors
}

// Void declares the sessions of a peer gone that is known to be dead: its
// slots are removed, here and, by its floor, at the other peers. Entries that
// are not in use any more age from now on. A peer that was only cut off counts
// its sessions anew when it hears of it.
func (t *Table) Void(now time.Time, peer string) {
	id, ok := t.peers.id(peer)
	if !ok || id == selfID {
		return
	}
	// The clock has seen every version that was merged, so this is above them.
	if !t.floors.raise(t.peers, id, t.clock.next(now)) {
		return
	}
	if t.journal != nil {
		t.journal.add(mark{kind: markFloor})
		t.wake()
	}
	t.clean(now)
}

// Floors returns the floors of all peers by name, for display.
func (t *Table) Floors() []Floor {
	var list []Floor
	for peer, version := range t.floors.all() {
		list = append(list, Floor{Peer: t.peers.name(peer), Version: version})
	}
	slices.SortFunc(list, func(a, b Floor) int { return cmp.Compare(a.Peer, b.Peer) })
	return list
}

// clean removes the slots below the floors, a few records under one lock.
func (t *Table) clean(now time.Time) {
	for i := range t.shards {
		sh := &t.shards[i]
		for from, more := uint32(1), true; more; from += rangeStep {
			sh.mu.Lock()
			for id := from; id < from+rangeStep && id <= sh.top; id++ {
				t.cleanRecord(sh, id, now)
			}
			more = from+rangeStep <= sh.top
			t.unlock(sh)
		}
	}
}

func (t *Table) cleanRecord(sh *shard, id uint32, now time.Time) {
	r := sh.at(id)
	if r.key == "" {
		return
	}
	for at := &r.slots; *at != 0; {
		s := &sh.slots[*at]
		if s.version > t.floors.of(s.peer) {
			at = &s.next
			continue
		}
		t.flipSlot(sh, r.key, *s)
		*at, s.next, sh.freeSlot = s.next, sh.freeSlot, *at
	}
	switch own := t.floors.of(selfID); {
	case r.version > own || r.version == 0:
	case r.sessions == 0:
		t.setOwn(sh, r, 0, 0)
	default: // the others believed this peer dead
		t.setOwn(sh, r, r.sessions, t.clock.next(now))
		t.note(sh, id)
	}
	t.cleanCounts(sh, id, now)
	if !sh.linked(id) && !sh.inUse(id) {
		sh.touch(id, max(r.lastUsed, now.UnixMilli()))
	}
}
