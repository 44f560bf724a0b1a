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
			s.remove(id)
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
		s.remove(id)
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
