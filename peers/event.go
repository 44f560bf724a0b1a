package peers

import (
	"log/slog"
	"time"
)

// maxEvents is how many events may wait for OnPeer. Half of the room is for those
// that tell who is there, since what depends on them is not told again; the
// others come as fast as connections break.
const maxEvents = 1024

// Kinds of events.
const (
	PeerAlive   = "alive"   // a member, for the first time or again
	PeerUp      = "up"      // all it knew has been learned over a new connection
	PeerDown    = "down"    // the connection is lost
	PeerDead    = "dead"    // no member any more, and it did not say why
	PeerLeft    = "left"    // it has left in order
	PeerClash   = "clash"   // two processes use one name; Addr is the other's
	PeerRefused = "refused" // wrong key, name of another, or no common version
)

// Event is something that happened to a peer. Immutable.
type Event struct {
	Time   time.Time
	Kind   string
	Peer   string // "" if unknown
	Addr   string
	Detail string // why, "" if it goes without saying
}

// eventLevels are those of kinds in the log; the rest is information.
var eventLevels = map[string]slog.Level{
	PeerDown: slog.LevelWarn, PeerDead: slog.LevelWarn, PeerClash: slog.LevelError, PeerRefused: slog.LevelError,
}

// say queues an event for the log and OnPeer, and wakes those who wait for what
// it tells of, whether there is room for it or not. g.mu is held: the order of
// events is that of what they tell of.
func (g *Group) say(kind, peer, addr, detail string) {
	g.changed.Broadcast()
	most := maxEvents
	if kind != PeerAlive && kind != PeerDead && kind != PeerLeft {
		most /= 2
	}
	if len(g.events) >= most {
		g.lostEvents++
		return
	}
	g.events = append(g.events, Event{time.Now(), kind, peer, addr, detail})
}

// announce logs events and hands them to OnPeer, one after the other, until
// the group is closed and all have been told.
func (g *Group) announce() {
	defer g.wg.Done()
	for {
		g.mu.Lock()
		for len(g.events) == 0 && !g.closed {
			g.changed.Wait()
		}
		events := g.events
		g.events = nil
		g.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			g.log.Log(g.ctx, eventLevels[e.Kind], "peer "+e.Kind, "peer", e.Peer, "addr", e.Addr, "detail", e.Detail)
			if g.opts.OnPeer != nil {
				g.opts.OnPeer(e)
			}
		}
	}
}
