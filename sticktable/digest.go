package sticktable

import (
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// The digest of a bucket is the XOR of a number for each assignment and for
// each slot in it, of sessions and of counts, so that it follows every change at once and does not care
// for order. When an entry was last used is not in it: that follows the rest.

const (
	numBuckets = 16 // of a shard; a shard is a part of what the peers compare

	seedAssignment = 0x9e3779b97f4a7c15 // so that an assignment, a slot, counts and a floor never look alike
	seedSlot       = 0xc2b2ae3d27d4eb4f
	seedFloor      = 0x165667b19e3779f9
	seedCounts     = 0x27d4eb2f165667c5
)

// keyHash says where in the table a key is, on every peer the same. It has no
// seed; the index within a shard has one, so keys made up to collide here
// crowd a shard but do not make it slow.
func keyHash(key string) uint64 { return xxhash.Sum64String(key) }

func shardOf(hash uint64) uint64  { return hash >> 56 }
func bucketOf(hash uint64) uint64 { return hash >> 52 & (numBuckets - 1) }

// mix stirs v into h.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^0xa0761d6478bd642f, v^0xe7037ed1a0b428db)
	return hi ^ lo ^ h
}

// flipAssignment puts the assignment of a record into the digest, or takes it
// out again.
func (t *Table) flipAssignment(sh *shard, r *record) {
	if sh.digests == nil || r.stamp == 0 {
		return
	}
	h := keyHash(r.key)
	d := mix(mix(h^seedAssignment, r.stamp), t.peers.hash(r.writer))
	sh.digests[bucketOf(h)] ^= mix(d, t.servers.hash(r.server))
}

// flipSlot does the same for the slot of a peer, of a record with that key.
func (t *Table) flipSlot(sh *shard, key string, s peerSlot) {
	if sh.digests == nil || s.version == 0 {
		return
	}
	h := keyHash(key)
	d := mix(mix(h^seedSlot, s.version), t.peers.hash(s.peer))
	sh.digests[bucketOf(h)] ^= mix(d, uint64(s.count))
}

// flip does both for all that a record holds.
func (t *Table) flip(sh *shard, id uint32) {
	if sh.digests == nil {
		return
	}
	r := sh.at(id)
	t.flipAssignment(sh, r)
	t.flipSlot(sh, r.key, r.own())
	for i := r.slots; i != 0; i = sh.slots[i].next {
		t.flipSlot(sh, r.key, sh.slots[i])
	}
	for n := sh.counters.head(id); n != 0; n = next(sh.counters.slot(n)) {
		t.flipCounts(sh, r.key, sh.counters.slot(n))
	}
}

// flipCounts does the same as flipSlot for a peer's counters. The version
// stands for all of them.
func (t *Table) flipCounts(sh *shard, key string, w []uint64) {
	if sh.counted == nil || w[slotVersion] == 0 {
		return
	}
	h := keyHash(key)
	sh.counted[bucketOf(h)] ^= mix(mix(h^seedCounts, w[slotVersion]), t.peers.hash(peerOf(w)))
}

// setAssignment changes an assignment and its digest.
func (t *Table) setAssignment(sh *shard, r *record, s Stamp, server uint16) {
	t.flipAssignment(sh, r)
	r.stamp, r.writer, r.server = s.Time, s.Peer, server
	t.flipAssignment(sh, r)
}

// setOwn changes the slot of this peer and its digest.
func (t *Table) setOwn(sh *shard, r *record, sessions uint32, version uint64) {
	t.flipSlot(sh, r.key, r.own())
	r.sessions, r.version = sessions, version
	t.flipSlot(sh, r.key, r.own())
}

// own is the slot of this peer; its version is 0 if there is none.
func (r *record) own() peerSlot {
	return peerSlot{peer: selfID, count: r.sessions, version: r.version}
}

// Digests appends a number for each bucket of each part, in order: 256 times
// 16. Equal content gives equal numbers on every peer. The first covers the
// floors too. A table that is not replicated has zeros.
func (t *Table) Digests(dst []uint64) []uint64 {
	first := len(dst)
	dst = t.DigestsUnlike(dst)
	if t.layout.Load() == nil {
		return dst
	}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		if sh.counted != nil {
			for b, d := range sh.counted {
				dst[first+i*numBuckets+b] ^= d
			}
		}
		sh.mu.Unlock() // nothing was changed
	}
	return dst
}

// DigestsUnlike are the digests without the counts, for peers whose table of
// this name stores others: what they do not store they would miss for ever.
func (t *Table) DigestsUnlike(dst []uint64) []uint64 {
	first := len(dst)
	for i := range t.shards {
		sh := &t.shards[i]
		var d [numBuckets]uint64
		sh.mu.Lock()
		if sh.digests != nil {
			d = *sh.digests
		}
		sh.mu.Unlock() // nothing was changed
		dst = append(dst, d[:]...)
	}
	for peer, version := range t.floors.all() {
		dst[first] ^= mix(mix(seedFloor, t.peers.hash(peer)), version)
	}
	return dst
}
