package balancer

import (
	"sync/atomic"
	"time"
)

const averageOver = 1024 // samples, as HAProxy's TIME_STATS_SAMPLES

// Average is a sliding mean of times and their maximum. It is shared: any
// goroutine may call any method. The zero Average has no samples.
type Average struct{ n, sum, max atomic.Int64 }

// Add takes one sample.
func (a *Average) Add(d time.Duration) {
	ms := max(d.Milliseconds(), 0)
	raise(&a.max, ms)
	if a.n.Add(1) <= averageOver {
		a.sum.Add(ms)
		return
	}
	for {
		// Each sample takes the place of one average one, rounded up so that
		// the sum can come down to zero.
		old := a.sum.Load()
		if a.sum.CompareAndSwap(old, old-(old+averageOver-1)/averageOver+ms) {
			return
		}
	}
}

// Value is the mean in ms over the last 1024 samples or so.
func (a *Average) Value() int64 {
	n := min(a.n.Load(), averageOver)
	if n == 0 {
		return 0
	}
	return (a.sum.Load() + n/2) / n
}

// Max is the greatest sample in ms.
func (a *Average) Max() int64 { return a.max.Load() }
