package cluster

import (
	"maps"
	"slices"
	"time"
)

// PeerUp says that a peer came, or came back.
func (c *Cluster) PeerUp(now time.Time, name string) {
	c.mu.Lock()
	defer c.unlock()
	if name == c.self || !validName(name) {
		return
	}
	what := name + " is up"
	if since, was := c.down[name]; was {
		what += " again after " + now.Sub(since).Round(time.Millisecond).String()
		delete(c.down, name)
	}
	c.note(Event{Time: now, Kind: EventPeer, What: what})
}

// PeerDown says that a peer was found dead. Unless it comes back within the
// grace its sessions are void.
func (c *Cluster) PeerDown(now time.Time, name string) {
	c.mu.Lock()
	defer c.unlock()
	if _, already := c.down[name]; already || name == c.self || !validName(name) {
		return
	}
	c.note(Event{Time: now, Kind: EventPeer, What: name + " is down"})
	if len(c.down) >= MaxPeers { // more peers than there can be: no grace
		c.void(now, name)
		return
	}
	c.down[name] = now
}

// Absent names peers that others have told of, such as by their sessions in a
// table. Those that are not there are dead, though this process may never have
// seen them alive: their grace begins.
func (c *Cluster) Absent(now time.Time, names []string) {
	for _, name := range names {
		c.mu.Lock()
		there := c.members.isAlive(name)
		c.mu.Unlock()
		if !there {
			c.PeerDown(now, name)
		}
	}
}

// PeerLeft says that a peer left in order: its sessions are void at once, and
// it is not known any more.
func (c *Cluster) PeerLeft(now time.Time, name string) {
	c.mu.Lock()
	defer c.unlock()
	if name == c.self || !validName(name) {
		return
	}
	delete(c.down, name)
	c.note(Event{Time: now, Kind: EventPeer, What: name + " left"})
	c.void(now, name)
	is := func(s string) bool { return s == name }
	m := &c.members
	c.setMembers(now, slices.DeleteFunc(slices.Clone(m.alive), is), slices.DeleteFunc(slices.Clone(m.known), is))
}

// tickPeers ends the grace of dead peers and returns when it is due next, zero
// for never. mu is held.
func (c *Cluster) tickPeers(now time.Time) (next time.Time) {
	for _, name := range slices.Sorted(maps.Keys(c.down)) {
		due := c.down[name].Add(c.cfg.PeerGrace)
		if !now.Before(due) {
			delete(c.down, name)
			c.void(now, name)
		} else {
			next = earlier(next, due)
		}
	}
	return next
}

// void has the sessions of a peer dropped. mu is held.
func (c *Cluster) void(now time.Time, name string) {
	c.note(Event{Time: now, Kind: EventVoid, What: "sessions of " + name + " count no more"})
	c.later(func() { c.effects.Void(name) })
}

// earlier is the earlier of two times, of which a may be zero for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
