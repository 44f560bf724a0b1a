package cluster

import (
	"fmt"
	"slices"
	"time"
)

// MaxPeers is the most peers that are told apart, and the most names that
// SetMembers takes.
const MaxPeers = 256

// settleTime is how long verdicts that a server is down wait after a peer was
// found dead. A side that is cut off loses the others one by one, with seconds
// between them, and must not judge servers by its own votes just before it
// knows that it is a minority. Where that cannot be (isSure) nothing waits: a peer
// that comes and goes would else keep servers up as long as it does.
const settleTime = 10 * time.Second

// members is who is there. Owned by Cluster, under its mu.
type members struct {
	alive  []string  // sorted; self is in it
	known  []string  // sorted; alive and dead, not those that left
	frozen string    // why nobody is moved; "" if users may be
	settle time.Time // until then no server goes down by verdict; zero is no wait
}

func (m *members) isAlive(peer string) bool {
	_, is := slices.BinarySearch(m.alive, peer)
	return is
}

// rank is how many living peers stand before one by name.
func (m *members) rank(peer string) int {
	n, _ := slices.BinarySearch(m.alive, peer)
	return n
}

// minority tells why a side with these members moves nobody, "" if it may. It is
// the side with fewer than half of the known peers. In a cut in two halves it
// is the one without the tie breaker, or, where none is named, without the
// peer of the smallest name. Of two peers without a tie breaker both are
// frozen when they do not see each other: neither can tell whether the other
// is dead.
func (m *members) minority(cfg Config) string {
	alive, known := len(m.alive), len(m.known)
	if cfg.OnMinority != Freeze || alive*2 > known {
		return ""
	}
	if alive*2 < known {
		return fmt.Sprintf("only %d of %d peers are in reach", alive, known)
	}
	breaker := cfg.TieBreaker
	switch {
	case breaker == Serve:
		return ""
	case breaker == "" && known == 2:
		return "1 of 2 peers is in reach, and there is no tie breaker"
	case breaker == "":
		breaker = m.known[0]
	}
	if m.isAlive(breaker) {
		return ""
	}
	return fmt.Sprintf("%d of %d peers are in reach, without %s", alive, known, breaker)
}

// isSure reports whether the votes of so many that a server is down would count on
// whatever side of a cut this is: they are those of most known peers, or there is
// nobody left to be lost.
func (m *members) isSure(down int) bool { return down*2 > len(m.known) || len(m.alive) == 1 }

// SetMembers says which peers are alive and which are known: alive, or dead
// without having left. Self is in both, whether named or not. Votes of peers
// that are not alive do not count.
func (c *Cluster) SetMembers(now time.Time, alive, known []string) {
	c.mu.Lock()
	defer c.unlock()
	alive = c.names(alive)
	c.setMembers(now, alive, c.names(append(known[:len(known):len(known)], alive...)))
}

// names makes a sorted list with self of at most MaxPeers.
func (c *Cluster) names(list []string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == c.self || !validName(s) })
	slices.Sort(list)
	list = slices.Compact(list)
	list = append(list[:min(len(list), MaxPeers-1)], c.self)
	slices.Sort(list)
	return list
}

// setMembers takes sorted lists. mu is held.
func (c *Cluster) setMembers(now time.Time, alive, known []string) {
	m := &c.members
	if c.cfg.OnMinority == Freeze && slices.ContainsFunc(m.alive, func(peer string) bool {
		return slices.Contains(known, peer) && !slices.Contains(alive, peer)
	}) {
		m.settle = now.Add(settleTime)
	}
	m.alive, m.known = alive, known
	c.membersChanged(now)
}

// membersChanged looks anew at what depends on the members. mu is held.
func (c *Cluster) membersChanged(now time.Time) {
	was := c.members.frozen
	c.members.frozen = c.members.minority(c.cfg)
	switch is := c.members.frozen; {
	case is == was:
	case is == "":
		c.note(Event{Time: now, Kind: EventMinority, What: "this side is no minority any more: users may be moved"})
	default:
		c.note(Event{Time: now, Kind: EventMinority, What: "frozen, nobody is moved: " + is})
	}
	c.judgeAll(now)
	c.checkMoves(now)
	c.tickFlushes(now)
}

// IsAlive reports whether a peer is there; this one is.
func (c *Cluster) IsAlive(peer string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members.isAlive(peer)
}

// Frozen reports whether this side of a cut moves nobody, and why.
func (c *Cluster) Frozen() (reason string, frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members.frozen, c.members.frozen != ""
}
