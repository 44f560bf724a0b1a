package cluster

import "time"

const (
	counterBits = 16               // bits of the counter below the milliseconds
	maxAhead    = 60 * time.Second // a peer whose clock is further ahead is not believed
)

// clock is a hybrid logical clock: its times, 48 bit milliseconds since 1970
// and a 16 bit counter, grow even if the wall clock goes back, and are later
// than every time heard of. Owned by Cluster, under its mu.
type clock struct{ last uint64 }

// next returns a time greater than all that were made or observed before.
func (c *clock) next(now time.Time) uint64 {
	c.last = max(wall(now), c.last+1)
	return c.last
}

// observe makes later times greater than t, which was checked with possible.
func (c *clock) observe(t uint64) { c.last = max(c.last, t) }

// wall is now as a time of the clock with a counter of zero.
func wall(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) << counterBits }

// when is the wall clock part of a time.
func when(t uint64) time.Time { return time.UnixMilli(int64(t >> counterBits)) }

// possible reports whether a peer's time t is not too far ahead of now.
func possible(t uint64, now time.Time) bool { return t > 0 && t < wall(now.Add(maxAhead)) }
