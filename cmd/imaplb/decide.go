package main

import (
	"fmt"
	"time"

	"imaplb/auth"
	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/sticktable"
)

// The methods in this file carry out what the peers decide together.
var _ cluster.Effects = (*node)(nil)

const notHere = "this peer has no such server"

// Admin gives a server an admin state: an operator's order at some peer.
func (n *node) Admin(backend, server, state string) string {
	s, err := n.server(backend, server)
	if err != nil {
		return notHere
	}
	admin, err := balancer.ParseAdmin(state)
	if err != nil {
		return err.Error()
	}
	s.SetAdmin(time.Now(), admin)
	return ""
}

// Weight gives a server a weight.
func (n *node) Weight(backend, server string, weight int) string {
	s, err := n.server(backend, server)
	if err != nil {
		return notHere
	}
	s.SetWeight(time.Now(), weight)
	return ""
}

// Maxconn bounds a server's sessions at all peers together.
func (n *node) Maxconn(backend, server string, maxconn int) string {
	s, err := n.server(backend, server)
	if err != nil {
		return notHere
	}
	s.SetMaxconn(maxconn)
	n.claims.nudge()
	return ""
}

// Clear removes entries without sessions from a table of this peer.
func (n *node) Clear(table, key string) string {
	t := n.parts.Load().table(table)
	if t == nil {
		return "this peer has no such table"
	}
	if key == "" {
		removed, inUse := t.Clear()
		return fmt.Sprintf("%d entries removed here, %d are in use", removed, inUse)
	}
	t.Delete(key)
	return ""
}

// Health is the verdict of all peers on a server. One that rests here takes it
// when it does no more (revote).
func (n *node) Health(backend, server string, up bool) {
	s, err := n.server(backend, server)
	if err != nil || rests(s) {
		return // or the others have a server that this peer's file does not
	}
	verdict := balancer.AllDown
	if up {
		verdict = balancer.AllUp
	}
	s.SetVerdict(time.Now(), verdict)
}

// Void drops the sessions of a peer that is gone from the tables.
func (n *node) Void(peer string) {
	for _, t := range n.Tables() {
		t.Void(time.Now(), peer)
	}
}

// CloseUser ends a user's sessions at this peer, so that he can be moved. That
// the last one has ended is found by lookAtMoves.
func (n *node) CloseUser(table, key, except string) {
	t := n.parts.Load().table(table)
	if t == nil {
		n.cluster.Gone(time.Now(), table, key, except)
		return
	}
	n.moves.add(moving{t, key, except})
	n.engine.CloseMoved(t, key, except)
}

// Assign writes a moved user's new server into the table.
func (n *node) Assign(table, key, server string) (cluster.Stamp, error) {
	t := n.parts.Load().table(table)
	if t == nil {
		return cluster.Stamp{}, fmt.Errorf("no stick table %q", table)
	}
	now := time.Now()
	if err := t.Set(now, key, server); err != nil {
		return cluster.Stamp{}, err
	}
	e, _ := t.Lookup(now, key)
	return cluster.Stamp{Time: e.Stamp.Time, Writer: e.Writer}, nil
}

// Assigned takes the new server of a user that another peer has moved.
func (n *node) Assigned(table, key, server string, stamp cluster.Stamp) {
	t := n.parts.Load().table(table)
	if t == nil {
		return
	}
	now := time.Now()
	u := sticktable.Update{Key: key, Server: server, Time: stamp.Time, Writer: stamp.Writer, LastUsed: now.UnixMilli()}
	// Should this peer have sessions of him elsewhere, OnMoved ends them.
	if _, err := t.MergeUpdate(now, u); err != nil {
		n.log.Error("moved user not taken into the table", "table", table, "err", err)
	}
}

// Release is the end of a move. The logins that wait look for it themselves.
func (n *node) Release(table, key, _ string) { n.moves.remove(table, key) }

// keyOf is what a table knows a user by.
func keyOf(t *sticktable.Table, user string) string { return t.KeyOf(auth.NormalizeUser(user)) }
