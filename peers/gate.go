package peers

import (
	"net"
	"net/netip"
	"sync"
)

// Bounds of connections that have not shown whose they are, those of memberlist
// to their end. Whoever reaches the port can open some: what one source and all
// strangers together may have leaves room for the peers.
const (
	maxWaiting   = 128 // in all
	maxStrange   = 96  // of sources that are no peer's
	maxPerSource = 32  // of one source
)

// gate counts them. It is shared: any goroutine may call any method.
type gate struct {
	mu       sync.Mutex // guards the fields below
	all      int
	strange  int
	bySource map[netip.Prefix]int // an entry for each source that has some
	crowded  int64                // not let in as there were too many
	pushy    int64                // not let in as there were too many of their source
}

// A ticket is what leave takes back. Immutable.
type ticket struct {
	source  netip.Prefix
	strange bool
}

// sourceOf is what counts as one source: an IPv4 address, 64 bits of an IPv6
// address, since whoever has one has as many as he likes.
func sourceOf(a net.Addr) (addr netip.Addr, source netip.Prefix) {
	if tcp, ok := a.(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr().Unmap()
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	source, _ = addr.WithZone("").Prefix(bits) // the zero one if there is no address
	return addr, source
}

// enter lets a connection in or counts that it does not.
func (g *gate) enter(source netip.Prefix, known bool) (t ticket, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.bySource[source] >= maxPerSource:
		g.pushy++
		return t, false
	case g.all >= maxWaiting, !known && g.strange >= maxStrange:
		g.crowded++
		return t, false
	}
	if g.bySource == nil {
		g.bySource = map[netip.Prefix]int{}
	}
	g.all++
	g.bySource[source]++
	if !known {
		g.strange++
	}
	return ticket{source, !known}, true
}

// leave is called once for each enter that let in.
func (g *gate) leave(t ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if t.strange {
		g.strange--
	}
	if g.bySource[t.source]--; g.bySource[t.source] <= 0 {
		delete(g.bySource, t.source)
	}
}

// counts are the connections inside, and those that were not let in.
func (g *gate) counts() (inside int, crowded, pushy int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all, g.crowded, g.pushy
}

// isPeers tells whether a peer has that address: one that was met, or that join
// names.
func (g *Group) isPeers(addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	is := func(s string) bool {
		a, err := netip.ParseAddrPort(s)
		return err == nil && a.Addr().Unmap() == addr
	}
	for _, p := range g.peers {
		if is(p.addr) {
			return true
		}
	}
	for _, entry := range g.entries {
		if is(entry) {
			return true
		}
		for _, a := range g.resolved[entry] {
			if is(a) {
				return true
			}
		}
	}
	return false
}
