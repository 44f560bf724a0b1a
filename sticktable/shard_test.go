package sticktable

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A shard under random work holds what a map holds, and its idle list holds
// exactly the records without sessions, in the order of their last touch.
func TestShardAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s shard
	model := map[string]uint32{} // key → record
	touched := map[string]int{}
	for step := range 20_000 {
		key := string(rune('A' + rng.IntN(200)))
		hash := uint32(len(key)) + uint32(key[0])%5 // long runs of collisions
		id := s.find(hash, key)
		if id != model[key] {
			t.Fatalf("step %d: find = %d, want %d", step, id, model[key])
		}
		switch op := rng.IntN(4); {
		case id == 0:
			model[key] = s.insert(hash, key)
			touched[key] = step
		case op == 0:
			s.remove(id, hash)
			delete(model, key)
		case op == 1:
			s.at(id).sessions = uint32(rng.IntN(2))
			s.slot(s.at(id), uint16(2+rng.IntN(3))).count = uint32(rng.IntN(2))
			s.touch(id, int64(step))
			touched[key] = step
		}
		if step%500 == 0 {
			checkShard(t, &s, model, touched)
		}
	}
	checkShard(t, &s, model, touched)
}

func checkShard(t *testing.T, s *shard, model map[string]uint32, touched map[string]int) {
	t.Helper()
	idle, last, prev := map[uint32]bool{}, -1, uint32(0)
	for id := s.head; id != 0; id = s.at(id).next {
		if r := s.at(id); touched[r.key] < last || r.prev != prev {
			t.Fatalf("idle list: %q is out of order", r.key)
		}
		idle[id], last, prev = true, touched[s.at(id).key], id
	}
	if s.tail != prev || s.live != len(model) {
		t.Fatalf("tail %d, live %d, want %d and %d", s.tail, s.live, prev, len(model))
	}
	for key, id := range model {
		if s.at(id).key != key || idle[id] != (s.count(s.at(id)) == 0) {
			t.Fatalf("record of %q: %+v, idle %v", key, s.at(id), idle[id])
		}
	}
}

// Slots of removed records are used again: a table does not grow with time.
func TestSlotsAreReused(t *testing.T) {
	var s shard
	for range 1000 {
		id := s.insert(1, "k")
		for peer := range uint16(3) {
			s.slot(s.at(id), peer+2).count = 1
		}
		s.touch(id, 0)
		s.remove(id, 1)
	}
	if len(s.slots) != 4 || s.top != 1 {
		t.Fatalf("%d slots and %d records for 3 and 1, want them used again", len(s.slots)-1, s.top)
	}
}

func TestSweepIsBounded(t *testing.T) {
	tb := newTable(10_000, time.Second)
	for i := range 5000 {
		mustAssign(t, tb, start, string(rune(0x4e00+i)), "s1")
	}
	now := start.Add(time.Minute)
	for left := 5000; left > 0; {
		n := tb.Sweep(now, 700)
		if n != min(700, left) {
			t.Fatalf("Sweep = %d with %d left, want %d", n, left, min(700, left))
		}
		left -= n
	}
	if tb.Len() != 0 || tb.Sweep(now, 700) != 0 {
		t.Fatalf("Len = %d after all sweeps, want 0", tb.Len())
	}
}

// Entries learned in any order expire in theirs.
func TestIdleListIsSorted(t *testing.T) {
	tb := newTable(100_000, time.Hour)
	const n = 40_000
	for i := range n {
		age := time.Duration(i*7919%n) * time.Millisecond
		tb.MergeUpdate(start, Update{
			Key: string(rune(0x10000 + i)), Server: "s1", Time: 1, Writer: "lb2", LastUsed: start.Add(-age).UnixMilli(),
		})
	}
	tb.Sweep(start, 1)
	if sorted := countSorted(tb); sorted == 0 || sorted == numShards {
		t.Fatalf("one sweep put %d shards in order, want some", sorted)
	}
	for range n/sortStep + 1 {
		tb.Sweep(start, 1)
	}
	if sorted := countSorted(tb); sorted != numShards {
		t.Fatalf("%d shards are in order, want all", sorted)
	}
	if got := tb.Sweep(start.Add(time.Hour-10*time.Second), n); got != n-10_000 {
		t.Fatalf("Sweep = %d, want the %d that are older than 10 s", got, n-10_000)
	}
	for i := range tb.shards { // one that is a little late finds its place
		sh := &tb.shards[i]
		if sh.tail == 0 {
			continue
		}
		late := sh.at(sh.tail).lastUsed - 1
		sh.touch(sh.insert(1, "late"), late)
	}
	if sorted := countSorted(tb); sorted != numShards {
		t.Fatalf("%d shards are in order, want all", sorted)
	}
}

func countSorted(tb *Table) (n int) {
	for i := range tb.shards {
		sh, sorted := &tb.shards[i], true
		for id, prev := sh.head, uint32(0); id != 0; prev, id = id, sh.at(id).next {
			sorted = sorted && sh.at(id).prev == prev && (prev == 0 || sh.at(prev).lastUsed <= sh.at(id).lastUsed)
		}
		if sorted {
			n++
		}
	}
	return n
}
