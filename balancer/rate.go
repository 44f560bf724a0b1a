package balancer

import (
	"sync/atomic"
	"time"
)

// Rate counts events per second as HAProxy's frequency counters do: those of
// the present second, and of the second before the part that lies within the
// last 1,000 ms. It is shared: any goroutine may call any method.
type Rate struct {
	now  atomic.Uint64 // Unix second in the upper 32 bits, its events in the lower
	prev atomic.Uint64 // the same of an earlier second
	max  atomic.Int64
}

// Add counts n events.
func (r *Rate) Add(now time.Time, n uint32) {
	sec := uint64(uint32(now.Unix()))
	for {
		old := r.now.Load()
		if old>>32 >= sec { // the same second, or a clock that went back
			raise(&r.max, int64(uint32(r.now.Add(uint64(n)))))
			return
		}
		if r.now.CompareAndSwap(old, sec<<32|uint64(n)) {
			r.prev.Store(old)
			raise(&r.max, int64(n))
			return
		}
	}
}

// Value is the number of events in the second before now.
func (r *Rate) Value(now time.Time) int64 {
	sec := uint64(uint32(now.Unix()))
	cur, prev := r.now.Load(), r.prev.Load()
	if cur>>32 < sec { // nothing yet in this second
		cur, prev = sec<<32, cur
	}
	n := int64(uint32(cur))
	if prev>>32+1 == cur>>32 {
		left := 1000 - int64(now.Nanosecond()/1e6)
		n += int64(uint32(prev)) * left / 1000
	}
	return n
}

// Max is the most events counted in one second.
func (r *Rate) Max() int64 { return r.max.Load() }
