package sticktable

import (
	"time"
)

const sweepStep = 128 // records dropped under one lock

// Sweep drops expired entries, and the longest unused ones while there are
// more than Size, at most budget in all, and tells how many expired. Its cost
// is that of the entries dropped: shards without any are passed unlocked.
func (t *Table) Sweep(now time.Time, budget int) (expired int) {
	t.saw(now)
	t.sortShards()
	from := t.sweepAt.Load()
	for i := uint32(0); i < numShards && budget > 0; i++ {
		at := (from + i) % numShards
		n := t.sweepShard(&t.shards[at], now.UnixMilli()-t.expire.Load(), budget)
		expired += n
		budget -= n
		t.sweepAt.Store(at) // an exhausted budget goes on here
	}
	for ; budget > 0 && t.used.Load() > t.size.Load(); budget-- {
		if !t.evict(anyCost) {
			break
		}
	}
	t.expired.Add(int64(expired))
	return expired
}

// sortShards puts some idle lists in order that are not.
func (t *Table) sortShards() {
	for i, left := 0, sortStep; i < numShards && left > 0; i++ {
		sh := &t.shards[i]
		if !sh.unsorted.Load() {
			continue
		}
		sh.mu.Lock()
		if sh.live <= sortAtMost {
			left -= sh.live
			sh.sortIdle()
		}
		t.unlock(sh)
	}
}

// sweepShard drops the records last used at or before dead.
func (t *Table) sweepShard(sh *shard, dead int64, budget int) (n int) {
	for n < budget && sh.oldest.Load() <= dead {
		sh.mu.Lock()
		for k := 0; k < sweepStep && n < budget && sh.head != 0 && sh.at(sh.head).lastUsed <= dead; k++ {
			t.drop(sh, sh.head)
			n++
		}
		t.unlock(sh)
	}
	return n
}

// evict drops the longest unused record without sessions; false if there is
// none that was last used before over. Each shard shows its oldest, so only
// one shard is locked.
func (t *Table) evict(over int64) bool {
	for range maxAdmitTry {
		var victim *shard
		oldest := over
		for i := range t.shards {
			if o := t.shards[i].oldest.Load(); o < oldest {
				victim, oldest = &t.shards[i], o
			}
		}
		if victim == nil {
			return false
		}
		victim.mu.Lock()
		hit := victim.head != 0
		if hit {
			t.drop(victim, victim.head)
			t.evicted.Add(1)
		}
		t.unlock(victim)
		if hit {
			return true
		}
	}
	return false
}
