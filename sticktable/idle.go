package sticktable

// The idle list holds the records without sessions. It is in the order of the
// last touch by this table, so a record whose lastUsed came from a peer may
// stand a little late: it is found expired in time, only its memory waits for
// those before it.

// touch sets lastUsed and puts the record where its sessions say: out of the
// idle list while it has some, else at its tail.
func (s *shard) touch(id uint32, lastUsed int64) {
	r := s.at(id)
	r.lastUsed = lastUsed
	s.unlink(id)
	if s.count(r) == 0 {
		s.pushTail(id)
	}
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
