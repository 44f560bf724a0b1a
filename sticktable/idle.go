package sticktable

import (
	"cmp"
	"slices"
)

const (
	idleWalk   = 16      // records passed to find the place of one
	sortStep   = 1 << 14 // records put in order by one sweep, and those of one shard more
	sortAtMost = 1 << 16 // records of a shard that are put in order under one lock
)

// The idle list holds the records without sessions in the order of their last
// use. One that is told late by a peer is put where it belongs if that is near;
// else the list is out of order until a sweep sorts it, so that learning a
// table costs no search for each entry. Till then, and for good in a shard of
// more than sortAtMost, a record may stand late: it is found expired in time,
// only its memory waits for those before it.

// touch sets lastUsed and puts the record where its sessions and connections
// say: out of the idle list while it has some, else at its tail.
func (s *shard) touch(id uint32, lastUsed int64) {
	r := s.at(id)
	r.lastUsed = lastUsed
	s.unlink(id)
	if !s.inUse(id) {
		s.link(id)
	}
}

// link puts a record into the list.
func (s *shard) link(id uint32) {
	r, after := s.at(id), s.tail
	for n := 0; after != 0 && s.at(after).lastUsed > r.lastUsed && !s.unsorted.Load(); n++ {
		if n == idleWalk {
			s.unsorted.Store(true)
			after = s.tail
			break
		}
		after = s.at(after).prev
	}
	if after == s.tail {
		s.pushTail(id)
		return
	}
	r.prev, r.next = after, s.head
	if after != 0 {
		r.next, s.at(after).next = s.at(after).next, id
	} else {
		s.head = id
	}
	s.at(r.next).prev = id
}

func (s *shard) linked(id uint32) bool { return s.head == id || s.at(id).prev != 0 }

func (s *shard) pushTail(id uint32) {
	r := s.at(id)
	r.prev, r.next = s.tail, 0
	if s.tail != 0 {
		s.at(s.tail).next = id
	} else {
		s.head = id
	}
	s.tail = id
}

func (s *shard) unlink(id uint32) {
	if !s.linked(id) {
		return
	}
	r := s.at(id)
	if r.prev != 0 {
		s.at(r.prev).next = r.next
	} else {
		s.head = r.next
	}
	if r.next != 0 {
		s.at(r.next).prev = r.prev
	} else {
		s.tail = r.prev
	}
	r.prev, r.next = 0, 0
}

// sortIdle puts the list in order.
func (s *shard) sortIdle() {
	type use struct {
		at int64
		id uint32
	}
	uses := make([]use, 0, s.live)
	for id := s.head; id != 0; id = s.at(id).next {
		uses = append(uses, use{s.at(id).lastUsed, id})
	}
	slices.SortStableFunc(uses, func(a, b use) int { return cmp.Compare(a.at, b.at) })
	s.head, s.tail = 0, 0
	for _, u := range uses {
		s.pushTail(u.id)
	}
	s.unsorted.Store(false)
}
