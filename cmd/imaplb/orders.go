package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/stats"
	"imaplb/sticktable"
)

// Orders of the runtime socket. One that is for the cluster is told to it and
// carried out by the effects (decide.go), here as everywhere; a process without
// peers, and one told "local", carries it out at once.

// alone reports whether an order is for this process only.
func (n *node) alone(o stats.Order) bool { return o.Local || n.mesh == nil }

// SetState gives a server an admin state.
func (n *node) SetState(o stats.Order, backend, server, state string) error {
	s, err := n.server(backend, server)
	if err != nil {
		return err
	}
	admin, err := balancer.ParseAdmin(state)
	if err != nil {
		return err
	}
	if !n.alone(o) {
		return n.cluster.OrderAdmin(time.Now(), o.By, backend, server, state)
	}
	s.SetAdmin(time.Now(), admin)
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("set server %s/%s state %s local", backend, server, state))
	return nil
}

// SetWeight gives a server a weight.
func (n *node) SetWeight(o stats.Order, backend, server string, weight int) error {
	s, err := n.server(backend, server)
	if err != nil {
		return err
	}
	if !n.alone(o) {
		return n.cluster.OrderWeight(time.Now(), o.By, backend, server, weight)
	}
	s.SetWeight(time.Now(), weight)
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("set server %s/%s weight %d local", backend, server, weight))
	return nil
}

// ClearTable removes entries without sessions.
func (n *node) ClearTable(o stats.Order, table, key string) error {
	t := n.parts.Load().table(table)
	if t == nil {
		return fmt.Errorf("no stick table %q", table)
	}
	if !n.alone(o) && t.Replicated() {
		return n.cluster.OrderClear(time.Now(), o.By, table, key)
	}
	outcome := n.Clear(table, key)
	if key == "" {
		n.cluster.Note(time.Now(), o.By, "clear table "+table+" local: "+outcome)
	}
	return nil
}

// moveMargin is how much longer than the move itself its result is waited for.
const moveMargin = 10 * time.Second

// movable finds the table a user is to be moved in, and makes sure that the
// server takes him.
func (n *node) movable(m stats.Move) (*sticktable.Table, error) {
	t := n.parts.Load().table(m.Table)
	s, err := n.server(m.Backend, m.Server)
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return nil, fmt.Errorf("no stick table %q", m.Table)
	case s.Away() || effective(s) != balancer.Ready:
		state := s.State()
		return nil, fmt.Errorf("server %s/%s is not usable: %s", m.Backend, m.Server, state.Text())
	}
	return t, nil
}

// Move moves a user and waits for the end of it.
func (n *node) Move(ctx context.Context, o stats.Order, m stats.Move) error {
	t, err := n.movable(m)
	if err != nil {
		return err
	}
	p := n.parts.Load()
	done := make(chan cluster.MoveResult, 1)
	order := n.moveOrder(o, t, p.backend(m.Backend), keyOf(t, m.User), m.Server)
	order.Done = func(r cluster.MoveResult) { done <- r }
	if _, err = n.cluster.Move(time.Now(), order); err != nil {
		return ours(err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.conf.Peers.MoveTimeout+order.Grace+moveMargin)
	defer cancel()
	select {
	case r := <-done:
		return moved(r)
	case <-ctx.Done():
		return errors.New("the move goes on, but nothing was heard of its end (see 'show events')")
	}
}

// moved is the answer to an order to move.
func moved(r cluster.MoveResult) error {
	switch {
	case r.Err != nil:
		return errors.New("not moved: " + words(r.Err))
	case len(r.Missing) > 0 && r.Note != "":
		return fmt.Errorf("moved, but %s did not answer in time and may have sessions of the user yet; %s", strings.Join(r.Missing, ", "), r.Note)
	case len(r.Missing) > 0:
		return fmt.Errorf("moved, but %s did not answer in time and may have sessions of the user yet", strings.Join(r.Missing, ", "))
	case r.Note != "":
		return errors.New("moved, but " + r.Note)
	}
	return nil
}

// Events are the last n events, a line each.
func (n *node) Events(last int) (lines []string) {
	for _, e := range n.cluster.Events(last) {
		lines = append(lines, e.String())
	}
	return lines
}

// tellServers says which servers this process has: orders on them are kept.
func (n *node) tellServers(now time.Time, p *parts) {
	servers := map[string][]string{}
	for _, b := range p.backends {
		for _, s := range b.Servers() {
			servers[b.Name] = append(servers[b.Name], s.Name)
		}
	}
	n.cluster.SetServers(now, servers)
}

// applyOrders makes the orders in force hold for servers that a reload brought
// or changed.
func (n *node) applyOrders(b *backend) {
	if n.mesh == nil {
		return
	}
	for _, s := range b.Servers() {
		what := cluster.RenewWeight | cluster.RenewMaxconn | cluster.RenewHealth
		if s.State().FromFile { // a state that was set at run time stays, also one for this peer alone
			what |= cluster.RenewAdmin
		}
		n.cluster.Renew(b.Name, s.Name, what)
	}
}
