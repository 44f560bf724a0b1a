package stats

import (
	"sync"
	"syscall"
	"time"
)

// An idleMeter tells what part of the process's CPU share was not used of
// late. Shared: any goroutine may call its method.
type idleMeter struct {
	mu   sync.Mutex // guards the fields below
	at   time.Time
	used time.Duration // CPU time at that moment
	pct  int64
}

const idleSpan = time.Second // measured over at least this

// percent is the idle share since the last call that was at least a second
// ago, or since start for the first one.
func (m *idleMeter) percent(now, start time.Time, threads int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		m.at, m.pct = start, 100
	}
	wall := now.Sub(m.at)
	if wall < idleSpan {
		return m.pct
	}
	used := cpuTime()
	share := float64(used-m.used) / (float64(wall) * float64(max(threads, 1)))
	m.at, m.used = now, used
	m.pct = int64(100 * (1 - min(max(share, 0), 1)))
	return m.pct
}

// cpuTime is what the process has used, in user and system mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
