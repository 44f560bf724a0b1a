package sticktable

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	chunkLen  = 128 // records taken from the heap at once
	firstSize = 16  // places of a shard's index at first
)

// record is one entry as it is kept: 64 bytes and one pointer, so that a
// million of them burden neither the memory nor the garbage collector.
type record struct {
	key      string
	stamp    uint64 // of the assignment
	version  uint64 // of this peer's slot: a time of the clock; 0 is never written
	lastUsed int64  // ms since 1970
	sessions uint32 // this peer's slot
	pos      uint32 // low bits of the position in the journal of this peer's last change
	slots    uint32 // first slot of the other peers, 0 is none
	prev     uint32 // neighbours in the idle list; next also links free records
	next     uint32
	server   uint16
	writer   uint16
}

// peerSlot counts the sessions another peer has for a key. Only that peer writes
// it; the greater version is the later one.
type peerSlot struct {
	version uint64
	count   uint32
	next    uint32
	peer    uint16
}

// place is where the index has a record, with its hash, so that a search looks
// at no record but the one it finds. An empty place has id 0.
type place struct{ id, hash uint32 }

// shard is a part of the table: an open addressed index of record numbers, the
// records in chunks that never move, and the list of the records without
// sessions in the order in which they expire, see idle.go. Record and slot
// numbers begin at 1; 0 is none.
type shard struct {
	number uint8 // immutable after New

	// Written with the lock, read without.
	oldest   atomic.Int64 // lastUsed of the idle list's head, MaxInt64 if it is empty
	unsorted atomic.Bool  // the idle list is out of order

	mu       sync.Mutex // guards the fields below
	index    []place    // length is a power of two
	chunks   []*[chunkLen]record
	top      uint32 // highest record number ever used
	free     uint32 // first record to be used again
	live     int
	slots    []peerSlot // slots[0] is not used
	freeSlot uint32
	head     uint32 // idle list: longest unused
	tail     uint32
	counters *counters           // nil if the table stores none
	digests  *[numBuckets]uint64 // nil if the table is not replicated
	counted  *[numBuckets]uint64 // those of the counts, which are not in the others; nil if there are none
	grown    bool                // the journal got a change: unlock tells the watchers
}

func (s *shard) publish() {
	oldest := int64(math.MaxInt64)
	if s.head != 0 {
		oldest = s.at(s.head).lastUsed
	}
	if s.oldest.Load() != oldest { // a write costs the other CPUs their copy of the line
		s.oldest.Store(oldest)
	}
}

// at returns a record; it stays where it is until remove.
func (s *shard) at(id uint32) *record {
	return &s.chunks[(id-1)/chunkLen][(id-1)%chunkLen]
}

// find returns the number of key's record, 0 if there is none.
func (s *shard) find(hash uint32, key string) uint32 {
	if len(s.index) == 0 {
		return 0
	}
	mask := uint32(len(s.index) - 1)
	for i := hash & mask; s.index[i].id != 0; i = (i + 1) & mask {
		if p := s.index[i]; p.hash == hash && s.at(p.id).key == key {
			return p.id
		}
	}
	return 0
}

// insert makes an empty record, at the tail of the idle list. The key must not
// be there yet; it is copied, because it may be a part of something big.
func (s *shard) insert(hash uint32, key string) uint32 {
	if (s.live+1)*4 > len(s.index)*3 {
		s.grow()
	}
	id := s.free
	if id != 0 {
		s.free = s.at(id).next
	} else {
		if int(s.top) == len(s.chunks)*chunkLen {
			s.chunks = append(s.chunks, new([chunkLen]record))
		}
		s.top++
		id = s.top
	}
	*s.at(id) = record{key: strings.Clone(key)}
	s.place(place{id, hash})
	s.live++
	s.pushTail(id)
	return id
}

// remove frees a record and its slots; hash is what it was inserted with.
func (s *shard) remove(id, hash uint32) {
	r := s.at(id)
	s.unlink(id)
	for r.slots != 0 {
		sl := &s.slots[r.slots]
		r.slots, sl.next, s.freeSlot = sl.next, s.freeSlot, r.slots
	}
	s.counters.drop(id)
	s.unplace(id, hash)
	s.live--
	*r = record{next: s.free}
	s.free = id
}

func (s *shard) grow() {
	old := s.index
	s.index = make([]place, max(firstSize, 2*len(old)))
	for _, p := range old {
		if p.id != 0 {
			s.place(p)
		}
	}
}

func (s *shard) place(p place) {
	mask := uint32(len(s.index) - 1)
	i := p.hash & mask
	for s.index[i].id != 0 {
		i = (i + 1) & mask
	}
	s.index[i] = p
}

// unplace takes id out of the index and moves later ones of the run back, so
// that no mark of the removed one is needed.
func (s *shard) unplace(id, hash uint32) {
	mask := uint32(len(s.index) - 1)
	i := hash & mask
	for s.index[i].id != id {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.index[j].id != 0; j = (j + 1) & mask {
		home := s.index[j].hash & mask
		if (j-home)&mask >= (j-i)&mask { // its home is not behind the hole
			s.index[i], i = s.index[j], j
		}
	}
	s.index[i] = place{}
}

// count is the number of sessions of all peers.
func (s *shard) count(r *record) int {
	n := int(r.sessions)
	for i := r.slots; i != 0; i = s.slots[i].next {
		n += int(s.slots[i].count)
	}
	return n
}

// inUse reports whether a record has sessions, or connections that are counted.
func (s *shard) inUse(id uint32) bool {
	return s.count(s.at(id)) > 0 || s.counters.cur(id) > 0
}

// slot returns the slot of another peer, made if need be, nil if the record
// has maxSlots with this peer's. It is valid until the next call.
func (s *shard) slot(r *record, peer uint16) *peerSlot {
	n := 1
	for i := r.slots; i != 0; i = s.slots[i].next {
		if s.slots[i].peer == peer {
			return &s.slots[i]
		}
		n++
	}
	if n >= maxSlots {
		return nil
	}
	id := s.freeSlot
	if id != 0 {
		s.freeSlot = s.slots[id].next
	} else {
		if len(s.slots) == 0 {
			s.slots = make([]peerSlot, 1, firstSize)
		}
		s.slots = append(s.slots, peerSlot{})
		id = uint32(len(s.slots) - 1)
	}
	s.slots[id] = peerSlot{peer: peer, next: r.slots}
	r.slots = id
	return &s.slots[id]
}
