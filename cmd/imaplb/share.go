package main

import (
	"context"
	"slices"
	"time"

	"imaplb/cluster"
	"imaplb/peers"
	"imaplb/sticktable"
)

// shareWithin bounds how long a reload waits for what the peers know of a table
// that it brought.
const shareWithin = 2 * time.Second

// clusterConfig is what the cluster obeys of [peers].
func clusterConfig(p peers.Config) cluster.Config {
	return cluster.Config{
		OnMinority: p.OnMinority, TieBreaker: p.TieBreaker, PeerGrace: p.PeerGrace, MoveTimeout: p.MoveTimeout,
	}
}

// rejoin has the peers that a reload names asked to join.
func (n *node) rejoin(p peers.Config) {
	if p.Bind == "" || n.mesh == nil || n.mesh.group.Load() == nil {
		return // a file without [peers] changes nothing before the next start
	}
	n.mesh.group.Load().SetJoin(p.Join)
}

// shareTable makes a table that nobody uses yet one of the cluster's.
func (n *node) shareTable(t *sticktable.Table, shared bool) {
	if n.mesh == nil || !shared {
		return
	}
	t.Replicate(time.Now())
	t.OnMoved(func(key, _, to string) { n.engine.CloseMoved(t, key, to) })
}

// states are what the peers share.
func (n *node) states(tables []*sticktable.Table) []peers.State {
	list := []peers.State{n.cluster}
	for _, t := range tables {
		if t.Replicated() {
			list = append(list, t)
		}
	}
	return list
}

// reshare tells the peers of tables that a reload brought or took away. A table
// that is new learns what the peers have in theirs, before it is used.
func (n *node) reshare(old, tables []*sticktable.Table) {
	if n.mesh == nil || n.mesh.group.Load() == nil {
		return
	}
	before, after := n.states(old), n.states(tables)
	if slices.Equal(before, after) {
		return
	}
	g := n.mesh.group.Load()
	if err := g.SetStates(after); err != nil { // the configuration was checked for all that can be
		n.log.Error("stick tables not shared with the peers", "err", err)
		return
	}
	fresh := slices.DeleteFunc(slices.Clone(tables), func(t *sticktable.Table) bool { return !t.Replicated() || slices.Contains(old, t) })
	if len(fresh) == 0 {
		return
	}
	wait := min(n.mesh.cfg.SyncTimeout, shareWithin)
	if wait > 0 && g.Learn(context.Background(), wait).How == peers.HowFailed {
		n.log.Warn("not all peers have told in time what they have in the new stick tables; it comes later")
	}
	for _, t := range fresh {
		n.cluster.Absent(time.Now(), t.Holders()) // the sessions of those that are dead go after their grace
	}
}
