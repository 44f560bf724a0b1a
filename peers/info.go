package peers

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// PeerInfo is a peer at one moment.
type PeerInfo struct {
	RemoteInfo
	Addr   string      // advertised
	State  string      // StateAlive and so on
	Since  time.Time   // of the state
	Linked bool        // there is a stream
	Ready  bool        // and all it knew has been learned over it
	States []StateInfo // over the stream, nil without one
}

// Totals are counted over all peers.
type Totals struct {
	WrongKey   int64 // streams and packets that were not of this group
	Crowded    int64 // connections closed because too many had not said whose they are
	Pushy      int64 // the same, because too many of their source had not
	LostEvents int64 // not told to OnPeer, which was too slow
}

// Self is this process, as the others see it.
func (g *Group) Self() (name, addr string, incarnation uint64) {
	return g.self.name, g.self.address, g.opts.Incarnation
}

// Keys is the ring of this group.
func (g *Group) Keys() *Ring { return g.ring }

// Peers lists the other peers that are known, by name.
func (g *Group) Peers() []PeerInfo {
	g.mu.Lock()
	list := make([]PeerInfo, 0, len(g.peers))
	var remotes []*Remote
	var streams []*stream
	for _, p := range g.peers {
		list = append(list, PeerInfo{Addr: p.addr, State: p.state, Since: p.since, Linked: p.stream != nil})
		remotes, streams = append(remotes, p.remote), append(streams, p.stream)
	}
	g.mu.Unlock()
	for i := range list {
		list[i].RemoteInfo = remotes[i].Info()
		if s := streams[i]; s != nil {
			list[i].Ready, list[i].States = s.link.Ready(), s.link.States()
		}
	}
	slices.SortFunc(list, func(a, b PeerInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Members has the names of the peers, this one included: those alive, and those
// that were members in this run or the last and did not leave in order. Sorted.
func (g *Group) Members() (alive, known []string) {
	alive, known = []string{g.cfg.Name}, []string{g.cfg.Name}
	g.mu.Lock()
	for _, p := range g.peers {
		switch p.state {
		case StateAlive:
			alive, known = append(alive, p.name), append(known, p.name)
		case StateDead:
			known = append(known, p.name)
		}
	}
	g.mu.Unlock()
	slices.Sort(alive)
	slices.Sort(known)
	return alive, known
}

// Known is a peer that this one waits for.
type Known struct{ Name, Addr string }

// Remember lists the other peers that are alive, or dead without having left,
// by name: what Options.Known is to be in the next run.
func (g *Group) Remember() (list []Known) {
	for _, p := range g.Peers() {
		if p.State == StateAlive || p.State == StateDead {
			list = append(list, Known{p.Name, p.Addr})
		}
	}
	return list
}

// Forget takes a dead peer that will not come back off the list of the known.
func (g *Group) Forget(name string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[name]
	if p == nil || p.state != StateDead {
		return fmt.Errorf("peers: no dead peer is called %q", name)
	}
	p.state, p.since = StateLeft, time.Now()
	g.say(PeerLeft, name, p.addr, "forgotten by an operator")
	return nil
}

// Count counts what Members names.
func (g *Group) Count() (alive, known int) {
	a, k := g.Members()
	return len(a), len(k)
}

// Totals returns the counters.
func (g *Group) Totals() Totals {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := Totals{WrongKey: g.wrongKey.Load(), LostEvents: g.lostEvents}
	if g.net != nil {
		_, t.Crowded, t.Pushy = g.net.gate.counts()
	}
	return t
}

// Message sends b to the peer with the name to, to all that are connected for
// "". It is best effort: what was taken may be lost with the connection. The
// error names those that did not take it.
func (g *Group) Message(topic string, b []byte, to string) error {
	var errs []error
	found := false
	for _, s := range *g.live.Load() {
		if to != "" && to != s.peer.name {
			continue
		}
		found = true
		if err := s.link.Message(topic, b); err != nil {
			errs = append(errs, fmt.Errorf("to %s: %w", s.peer.name, err))
		}
		s.nudge()
	}
	if to != "" && !found {
		return fmt.Errorf("%w: %s", ErrAway, to)
	}
	return errors.Join(errs...)
}
