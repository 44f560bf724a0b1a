package frontend

import (
	"net/netip"
	"time"

	"imaplb/balancer"
	"imaplb/relay"
)

// kickSlice is how many connections are asked about before others get their
// turn.
const kickSlice = 512

// KickIf ends the connections for which match is true, spread over the given
// time, and tells how many. user is "" before login. match is called on the
// loops, with slices of their connections, so that they go on meanwhile. It
// waits for them.
func (e *Engine) KickIf(match func(user string, src netip.Addr) bool, spread time.Duration) (n int) {
	for _, w := range e.workers {
		var ids []uint64
		for from, more := 0, true; more; from += kickSlice {
			more = false // a loop that has stopped has none
			w.loop.Do(func() {
				end := min(from+kickSlice, len(w.slots))
				for _, c := range w.slots[min(from, end):end] {
					if c != nil && match(c.user, c.src.Addr().Unmap()) {
						ids = append(ids, c.id)
					}
				}
				more = end < len(w.slots)
			})
		}
		n += len(ids)
		w.loop.Do(func() { w.closeAll(ids, relay.Killed, spread) })
	}
	return n
}

// KickServer ends the sessions on a server, spread over the given time, and
// tells how many. It waits for the loops.
func (e *Engine) KickServer(s *balancer.Server, spread time.Duration) int {
	return e.sum(func(w *worker) int {
		ids := w.serverSessions(s)
		w.closeAll(ids, relay.Killed, spread)
		return len(ids)
	})
}
