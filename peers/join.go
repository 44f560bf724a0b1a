package peers

import (
	"context"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// rejoinEvery is the time between two rounds of joins.
const rejoinEvery = 2 * time.Second

// SetJoin replaces the entries of join, of which MaxJoin count, at any time: the
// next round of joins asks those that are new. Who is a member stays one, and who
// has died is still asked.
func (g *Group) SetJoin(entries []string) {
	entries = slices.Clone(entries[:min(len(entries), MaxJoin)])
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entries = entries
	gone := func(entry string) bool { return !slices.Contains(entries, entry) }
	maps.DeleteFunc(g.resolved, func(entry string, _ []string) bool { return gone(entry) })
	maps.DeleteFunc(g.failing, func(entry string, _ bool) bool { return gone(entry) })
}

// rejoin asks the peers of join that are not members, and those that were once
// there, for ever: two halves of a group that have lost each other do not meet
// again by themselves.
func (g *Group) rejoin() {
	defer g.wg.Done()
	for {
		g.reconcile(time.Now())
		g.mu.Lock()
		for _, target := range g.targetsLocked() {
			if g.joining[target] || g.leaving || g.closed {
				continue
			}
			g.joining[target] = true
			g.wg.Add(1)
			go g.join(target) // until the peer has answered, or not in time
		}
		g.mu.Unlock()
		pause := rejoinEvery*3/4 + rand.N(rejoinEvery/2)
		select {
		case <-time.After(pause):
		case <-g.ctx.Done():
			return
		}
	}
}

// targetsLocked has the entries of join that are not yet members, and the
// addresses of peers that died or left. g.mu is held.
func (g *Group) targetsLocked() (targets []string) {
	there := g.thereLocked()
	for _, entry := range g.entries {
		addrs := g.resolved[entry]
		missing := slices.ContainsFunc(addrs, func(a string) bool { return !there[a] })
		if (len(addrs) == 0 || missing) && !slices.Contains(targets, entry) {
			targets = append(targets, entry)
		}
	}
	for _, p := range g.peers {
		gone := p.state == StateDead || p.state == StateLeft
		if gone && p.addr != "" && !there[p.addr] && !slices.Contains(targets, p.addr) {
			targets = append(targets, p.addr)
		}
	}
	return targets
}

// thereLocked has the addresses of the members, ours included. g.mu is held.
func (g *Group) thereLocked() map[string]bool {
	there := map[string]bool{g.self.address: true}
	for _, p := range g.peers {
		if p.state == StateAlive {
			there[p.addr] = true
		}
	}
	return there
}

// join asks one entry of join, at all its addresses.
func (g *Group) join(target string) {
	defer g.wg.Done()
	addrs, err := resolve(g.ctx, target)
	g.mu.Lock()
	if err == nil && slices.Contains(g.entries, target) {
		g.resolved[target] = addrs
	}
	there := g.thereLocked()
	g.mu.Unlock()

	for _, addr := range addrs {
		if there[addr] {
			continue
		}
		if _, joinErr := g.members.Join([]string{addr}); joinErr != nil {
			err = joinErr
		}
	}
	g.joined(target, err)
}

// joined notes how a join ended, and logs when that is news.
func (g *Group) joined(target string, err error) {
	if g.isNews(target, err != nil) && err != nil {
		g.log.Warn("joining a peer failed, trying on", "addr", target, "err", strings.Join(strings.Fields(err.Error()), " "))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.joining, target)
	g.first = max(0, g.first-1)
	g.changed.Broadcast()
}

// isNews tells whether an entry of join fares differently than before. Of other
// peers, that died or left, there was an event.
func (g *Group) isNews(target string, failing bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || !slices.Contains(g.entries, target) {
		return false
	}
	news := g.failing[target] != failing
	g.failing[target] = failing
	return news
}

// resolve returns all addresses of "host:port", as the peers advertise them.
func resolve(ctx context.Context, target string) ([]string, error) {
	if a, err := netip.ParseAddrPort(target); err == nil {
		return []string{netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()}, nil
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, introWithin)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	return addressesOf(ips, port), err
}

// addressesOf has the addresses of a name, of which MaxPeers count: more there
// cannot be.
func addressesOf(ips []netip.Addr, port string) (addrs []string) {
	for _, ip := range ips[:min(len(ips), MaxPeers)] {
		addrs = append(addrs, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return addrs
}
