package cluster

import (
	"fmt"
	"strings"
	"time"
)

// farOff is how much two clocks differ when the operator is told: far more than
// clocks do that are kept, and well before what peers say is refused.
const farOff = 10 * time.Second

// ClockOffset says what was measured of a peer's clock: it is ahead of this
// peer's by offset, or behind if that is negative, give or take doubt. The
// operator is told once when they differ by farOff or more.
func (c *Cluster) ClockOffset(now time.Time, peer string, offset, doubt time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	off := offset.Abs()
	switch {
	case off+doubt < farOff/2:
		delete(c.astray, peer)
	case off-doubt >= farOff && !c.astray[peer] && len(c.astray) < MaxPeers:
		c.astray[peer] = true
		side := "ahead of"
		if offset < 0 {
			side = "behind"
		}
		c.note(Event{
			Time: now, Kind: EventClock, What: fmt.Sprintf("the clock of %s is %v %s this peer's", peer, off.Round(time.Second), side),
			Outcome: "set it right: beyond a minute what the one ahead says is refused",
		})
	}
}

// watchClock tells the operator that this peer's clock was set back so far that
// the others may not believe it. Its own times never go back, here and in the
// tables: it goes on where its clock had been. mu is held.
func (c *Cluster) watchClock(now time.Time) {
	back := time.Duration(c.latest-now.UnixMilli()) * time.Millisecond
	c.latest = now.UnixMilli()
	if back >= maxAhead {
		c.note(Event{Time: now, Kind: EventClock, What: "the clock of this peer was set back by " + back.Round(time.Second).String(),
			Outcome: "if it was wrong before, the others refuse what this peer says until that time has passed: start it anew"})
	}
}

// noteAhead tells the operator once of a peer whose clock is wrong. mu is held.
func (c *Cluster) noteAhead(now time.Time, from string, ahead int) {
	switch {
	case ahead == 0:
		delete(c.tooEarly, from)
	case !c.tooEarly[from] && len(c.tooEarly) < MaxPeers:
		c.tooEarly[strings.Clone(from)] = true
		c.note(Event{Time: now, Kind: EventClock, What: fmt.Sprintf(
			"clocks differ by more than a minute: %d facts from %s refused", ahead, from)})
	}
}
