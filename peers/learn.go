package peers

import (
	"context"
	"time"
)

// learnAlone is how long a process waits for somebody while its first joins go
// on. The kernel sends a lost SYN again after one second.
const learnAlone = 2500 * time.Millisecond

// Ways a start may go.
const (
	HowLearned = "learned" // the peers have told all they know, or some of them in time
	HowAlone   = "alone"   // nobody is there
	HowFailed  = "failed"  // somebody is there, but nobody has told all in time
)

// Learned tells how a start went.
type Learned struct {
	How     string
	From    string // the peer that told most
	Entries int    // that came from those that have told all
}

// Learn waits, after Start or SetStates, until all peers that are alive have told
// all they know: one of them may have learned nothing itself. After timeout those
// count that have told all by then.
func (g *Group) Learn(ctx context.Context, timeout time.Duration) Learned {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if !g.waitJoined(ctx) {
		return Learned{How: HowAlone}
	}
	g.waitFor(ctx, g.allToldLocked)
	g.mu.Lock()
	defer g.mu.Unlock()
	l, most := Learned{How: HowFailed}, -1
	for _, p := range g.peers {
		if !p.told() {
			continue
		}
		c := p.remote.Info().Counters
		n := int(c.EntriesIn + c.RepairedIn)
		l.How = HowLearned
		l.Entries += n
		if n > most {
			l.From, most = p.name, n
		}
	}
	return l
}

// allToldLocked tells whether somebody is alive, and all who are have told all
// they know. g.mu is held.
func (g *Group) allToldLocked() bool {
	alive := 0
	for _, p := range g.peers {
		if p.state != StateAlive {
			continue
		}
		if !p.told() {
			return false
		}
		alive++
	}
	return alive > 0
}

// told tells whether a peer has told all it knows of what is shared now, over the
// stream there is. Group.mu is held.
func (p *peer) told() bool {
	s := p.stream
	return s != nil && s.states == s.g.states.Load() && s.link.Ready()
}

// waitJoined waits until somebody is there, or the first joins have all ended,
// and tells whether somebody is. One that keeps us out since the others have not
// yet missed the process that had our name is somebody.
func (g *Group) waitJoined(ctx context.Context) bool {
	g.mu.Lock()
	aloneAt := g.aloneAt
	g.mu.Unlock()
	ctx, cancel := context.WithDeadline(ctx, aloneAt)
	defer cancel()
	there := false
	g.waitFor(ctx, func() bool {
		there = there || g.clash != ""
		for _, p := range g.peers {
			there = there || p.state == StateAlive
		}
		return there || g.first == 0
	})
	return there
}
