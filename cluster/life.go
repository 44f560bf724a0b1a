package cluster

import (
	"slices"
	"time"
)

// Orders on servers hold until another is given, but not for ever if no peer's
// file has the server any more. So they expire, and every peer whose file has it
// gives them a longer life in time: the same fact with a later end, which takes
// the place of the other by the order that facts have, and says nothing new.
const (
	orderKeep = 30 * 24 * time.Hour // how long an order outlasts its server
	orderDay  = 24 * time.Hour      // its end is a multiple of it, so that all peers say the same

	// orderAgain is how long an order lives that has expired while this process
	// was not running: by then it knows whether its file has the server.
	orderAgain = time.Hour
)

// serverKinds are the orders on a server.
var serverKinds = [...]string{kindAdmin, kindWeight, kindMaxconn}

// orderEnd is when an order expires that gets a life now, in ms since 1970.
func orderEnd(now time.Time) int64 {
	day := orderDay.Milliseconds()
	return (now.Add(orderKeep).UnixMilli()/day + 1) * day
}

// lasts reports whether a fact is an order on a server.
func (f *fact) lasts() bool {
	return slices.Contains(serverKinds[:], kindOf(f.key))
}

// prolongs reports whether f says what old says, for longer.
func (f *fact) prolongs(old *fact) bool {
	return f.lasts() && old != nil && f.time == old.time && f.writer == old.writer && f.value == old.value
}

// SetServers says which servers this peer's file has, by backend. Orders on them
// are kept.
func (c *Cluster) SetServers(now time.Time, servers map[string][]string) {
	known := map[target]struct{}{}
	for backend, names := range servers {
		for _, name := range names {
			known[target{backend, name}] = struct{}{}
		}
	}
	c.mu.Lock()
	defer c.unlock()
	c.servers = known
	c.keepOrders(now)
}

// keepOrders gives a longer life to orders on servers that this peer has, and a
// first one to those that peers of before gave none. mu is held.
func (c *Cluster) keepOrders(now time.Time) {
	soon := now.Add(orderKeep / 2).UnixMilli()
	for t := range c.servers {
		for _, kind := range serverKinds {
			if f := c.facts.byKey[factKey(kind, t.backend, t.server)]; f != nil && f.expires < soon {
				c.prolong(now, f)
			}
		}
	}
}

// prolong gives an order a life from now on, and tells the others. mu is held.
func (c *Cluster) prolong(now time.Time, f *fact) {
	c.facts.prolong(f, orderEnd(now))
	c.orders++
	c.grown = true
}
