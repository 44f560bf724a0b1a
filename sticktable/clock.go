package sticktable

import (
	"sync/atomic"
	"time"
)

const (
	stampShift = 16               // bits of the counter below the milliseconds
	maxAhead   = 60 * time.Second // a peer whose clock is further ahead is not believed
)

// Stamp says when an assignment was made and by whom, so that of two the later
// one wins on every peer. The zero Stamp is "no entry". It is comparable.
type Stamp struct {
	Time uint64 // hybrid logical clock: 48 bit milliseconds since 1970, 16 bit counter
	Peer uint16 // this table's number for the peer that made it; see Entry.Writer
}

// IsZero reports whether there is no entry behind the stamp.
func (s Stamp) IsZero() bool { return s == Stamp{} }

// When is the wall clock part of the stamp.
func (s Stamp) When() time.Time { return time.UnixMilli(int64(s.Time >> stampShift)) }

// clock makes times that grow even if the wall clock goes back. It is shared:
// any goroutine may call any method.
type clock struct{ last atomic.Uint64 }

// next returns a time greater than all that were made or observed before.
func (c *clock) next(now time.Time) uint64 {
	for {
		last := c.last.Load()
		t := max(wall(now), last+1)
		if c.last.CompareAndSwap(last, t) {
			return t
		}
	}
}

// observe makes later times greater than t, which was checked with possible.
func (c *clock) observe(t uint64) {
	for {
		last := c.last.Load()
		if t <= last || c.last.CompareAndSwap(last, t) {
			return
		}
	}
}

// wall is now as a time of the clock with a counter of zero.
func wall(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) << stampShift }

// possible reports whether a peer's time t is not too far ahead of now.
func possible(t uint64, now time.Time) bool { return t < wall(now.Add(maxAhead)) }
