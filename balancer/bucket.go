package balancer

import (
	"sync/atomic"
	"time"
)

// bucket is a token bucket that holds the tokens of one second: a generic cell
// rate algorithm, the whole state of which is when the next token would come if
// all were taken as they come. The zero bucket is full. take is for one
// goroutine at a time.
type bucket struct{ next atomic.Int64 } // Unix ns

// wait is how long from now, in Unix ns, the next token takes at rate tokens
// per second; 0 is none, there is one.
func (b *bucket) wait(now, rate int64) time.Duration {
	next, step := b.next.Load(), int64(time.Second)/rate
	if next > now+int64(time.Second)+step {
		return 0 // the clock went back
	}
	return time.Duration(max(next+step-now-int64(time.Second), 0))
}

// take takes a token if there is one.
func (b *bucket) take(now, rate int64) bool {
	if b.wait(now, rate) > 0 {
		return false
	}
	next, step := b.next.Load(), int64(time.Second)/rate
	if next < now || next > now+int64(time.Second) {
		next = now
	}
	b.next.Store(next + step)
	return true
}

// resize is for a rate that rises from old: the tokens that are there stay what
// they are, and no more come at once.
func (b *bucket) resize(now, old, rate int64) {
	debt := min(max(b.next.Load()-now, 0), int64(time.Second))
	tokens := (int64(time.Second) - debt) * old // in parts of a second
	b.next.Store(now + int64(time.Second) - tokens/rate)
}
