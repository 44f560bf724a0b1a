package sticktable

import "slices"

// Holders are the other peers that this table counts sessions or connections of. It looks at
// all entries, a few under one lock: it is for when a peer was met, not for
// each login.
func (t *Table) Holders() (peers []string) {
	met := map[uint16]bool{}
	for i := range t.shards {
		sh := &t.shards[i]
		for from, more := uint32(1), true; more; from += rangeStep {
			more = sh.holders(from, met)
		}
	}
	for peer := range met {
		peers = append(peers, t.peers.name(peer))
	}
	slices.Sort(peers)
	return peers
}

// holders notes the peers that have sessions in the records numbered from to
// from+rangeStep, and reports whether there are higher ones.
func (s *shard) holders(from uint32, met map[uint16]bool) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := from; id < from+rangeStep && id <= s.top; id++ {
		if s.at(id).key == "" {
			continue
		}
		for i := s.at(id).slots; i != 0; i = s.slots[i].next {
			if s.slots[i].count > 0 {
				met[s.slots[i].peer] = true
			}
		}
		for n := s.counters.head(id); n != 0; n = next(s.counters.slot(n)) {
			if w := s.counters.slot(n); w[slotCur] > 0 && peerOf(w) != selfID {
				met[peerOf(w)] = true
			}
		}
	}
	return from+rangeStep <= s.top
}
