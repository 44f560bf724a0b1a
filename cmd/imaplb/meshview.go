package main

import (
	"imaplb/cluster"
	"imaplb/peers"
	"imaplb/stats"
)

// Cluster is what is known of the peers.
func (n *node) Cluster() stats.Cluster {
	m := n.mesh
	if m == nil {
		return stats.Cluster{}
	}
	_, frozen := n.cluster.Frozen()
	k := stats.Cluster{
		Name: m.cfg.Cluster, Self: n.self, Addr: m.cfg.Bind, Since: n.start, Ready: n.serving.Load(),
		Learned: "has not learned yet", Frozen: frozen, Alive: 1, Known: 1,
	}
	if words := m.learned.Load(); words != nil {
		k.Learned = *words
	}
	known := map[[2]string]bool{}
	for _, b := range n.parts.Load().backends {
		for _, s := range b.Servers() {
			known[[2]string{b.Name, s.Name}] = true
			if v := n.cluster.Votes(b.Name, s.Name); v.Told {
				k.Votes = appendDisagreement(k.Votes, b.Name, s.Name, v)
			}
		}
	}
	for _, e := range n.cluster.VotedElsewhere() {
		if !known[[2]string{e.Backend, e.Server}] {
			k.Missing = append(k.Missing, stats.Elsewhere(e))
		}
	}
	g := m.group.Load()
	if g == nil {
		return k
	}
	k.Alive, k.Known = g.Count()
	k.Refused = n.refused(g)
	for _, p := range g.Peers() {
		k.Peers = append(k.Peers, peerOf(&p))
	}
	for _, key := range g.Keys().Keys() {
		k.Keys = append(k.Keys, stats.Key{Fingerprint: key.Fingerprint, Encrypts: key.Encrypts})
	}
	return k
}

// refused is what the peers' connections and decisions were refused for.
func (n *node) refused(g *peers.Group) stats.Refused {
	t, c := g.Totals(), n.cluster.Counters()
	return stats.Refused{
		WrongKey: t.WrongKey, Crowded: t.Crowded, Pushy: t.Pushy, Untold: t.LostEvents,
		Messages: n.mesh.badMessages.Load(), Ahead: c.Ahead, Dropped: c.Dropped, Facts: int64(c.Facts),
	}
}

// linked counts the peers that are connected, and those of them from which
// everything has been learned.
func (n *node) linked() (linked, ready int64) {
	if n.mesh == nil || n.mesh.group.Load() == nil {
		return 0, 0
	}
	for _, p := range n.mesh.group.Load().Peers() {
		if p.Linked {
			linked++
		}
		if p.Ready {
			ready++
		}
	}
	return linked, ready
}

func peerOf(p *peers.PeerInfo) stats.Peer {
	link := "down"
	switch {
	case p.Ready:
		link = "up"
	case p.Linked:
		link = "learning"
	}
	c := &p.Counters
	var unlike []string
	for _, s := range p.States {
		if s.Unlike {
			unlike = append(unlike, s.Name)
		}
	}
	return stats.Peer{
		Unlike: unlike,
		Name:   p.Name, Addr: p.Addr, State: p.State, Link: link, Since: p.Since,
		Lag: p.Timing.Smooth / 2, Offset: p.Timing.Offset, Agreed: p.Agreed, Version: int(p.Version),
		UpdatesSent: int64(c.EntriesOut), UpdatesReceived: int64(c.EntriesIn), Repaired: int64(c.RepairedIn),
		Dropped: int64(c.Dropped), Connects: int64(c.Connects), BytesIn: int64(c.BytesIn), BytesOut: int64(c.BytesOut),
	}
}

// appendDisagreement appends the votes on a server, unless all are alike.
func appendDisagreement(dst []stats.Vote, backend, server string, v cluster.Votes) []stats.Vote {
	vote := stats.Vote{Backend: backend, Server: server, Up: v.Up}
	vote.For, vote.Against = sides(v)
	if len(vote.For) == 0 || len(vote.Against) == 0 {
		return dst
	}
	return append(dst, vote)
}

// sides are the peers that are alive and reach a server, and those that do not.
func sides(v cluster.Votes) (up, down []string) {
	for _, p := range v.Peers {
		switch {
		case !p.Alive:
		case p.Up:
			up = append(up, p.Peer)
		default:
			down = append(down, p.Peer)
		}
	}
	return up, down
}
