package cluster

import (
	"cmp"
	"slices"
	"time"
)

// MaxFacts is the most facts a peer holds.
const MaxFacts = 20_000

const (
	bucketBits = 4
	numBuckets = 1 << bucketBits // BucketsPerPart of package peers: the facts are one part
)

// store holds the facts of a peer and what is needed to replicate them. Owned
// by Cluster, under its mu.
type store struct {
	self    string
	clock   clock
	byKey   map[string]*fact
	buckets [numBuckets][]*fact
	digests [numBuckets]uint64 // XOR of the digests of the facts of a bucket
	journal journal
}

func newStore(now time.Time, self string) *store {
	s := &store{self: self, byKey: map[string]*fact{}}
	s.journal.begin = max(wall(now), 1)
	s.journal.head = s.journal.begin
	return s
}

// say makes a fact of this peer, which is newer than any it knows. The caller
// has made room.
func (s *store) say(now time.Time, key, value string, expires int64) *fact {
	f := &fact{key: key, value: value, time: s.clock.next(now), writer: s.self, expires: expires}
	s.place(f)
	f.position = s.journal.add(key)
	return f
}

// prolong has a fact, whoever said it, end later.
func (s *store) prolong(old *fact, expires int64) {
	f := *old
	f.expires = expires
	s.place(&f)
	f.position = s.journal.add(f.key)
}

// place puts f where the fact of its key was, or adds it.
func (s *store) place(f *fact) {
	n := bucket(f.key)
	if old := s.byKey[f.key]; old != nil {
		f.index, f.position = old.index, old.position
		s.buckets[n][f.index] = f
		s.digests[n] ^= old.digest()
	} else {
		f.index = len(s.buckets[n])
		s.buckets[n] = append(s.buckets[n], f)
	}
	s.byKey[f.key] = f
	s.digests[n] ^= f.digest()
}

// remove forgets a fact that is held.
func (s *store) remove(f *fact) {
	n := bucket(f.key)
	list := s.buckets[n]
	last := list[len(list)-1]
	last.index, list[f.index] = f.index, last
	list[len(list)-1] = nil
	s.buckets[n] = list[:len(list)-1]
	delete(s.byKey, f.key)
	s.digests[n] ^= f.digest()
}

// find returns all facts for which is returns true, the oldest first.
func (s *store) find(is func(*fact) bool) []*fact {
	var found []*fact
	for _, f := range s.byKey {
		if is(f) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b *fact) int {
		return cmp.Or(a.compare(b), cmp.Compare(a.key, b.key))
	})
	return found
}
