package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"imaplb/cluster"
	"imaplb/stats"
)

// Pin has a user always go to a server, and moves him there if he lives on
// another one.
func (n *node) Pin(ctx context.Context, o stats.Order, m stats.Move) error {
	t, err := n.movable(m)
	if err != nil {
		return err
	}
	key := keyOf(t, m.User)
	p := cluster.Pin{By: o.By, Table: t.Name(), Key: key, Backend: m.Backend, Server: m.Server}
	if err := n.cluster.OrderPin(time.Now(), p); err != nil {
		return ours(err)
	}
	if e, ok := t.Lookup(time.Now(), key); !ok || e.Server == m.Server {
		return nil
	}
	if err := n.Move(ctx, o, m); err != nil {
		return fmt.Errorf("pinned; %w", err)
	}
	return nil
}

// Unpin ends that.
func (n *node) Unpin(o stats.Order, table, user string) error {
	t := n.parts.Load().table(table)
	if t == nil {
		return fmt.Errorf("no stick table %q", table)
	}
	return ours(n.cluster.OrderUnpin(time.Now(), o.By, table, keyOf(t, user)))
}

// Pins are the users that are pinned.
func (n *node) Pins() (list []stats.Pin) {
	for _, p := range n.cluster.Pins() {
		list = append(list, stats.Pin{
			Table: p.Table, Key: p.Key, Backend: p.Backend, Server: p.Server, By: p.By, Peer: p.Peer, When: p.When,
		})
	}
	return list
}

// ours is an error of one of our packages without the package's name in front,
// which no operator knows.
func ours(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(words(err))
}

// words are the text of such an error.
func words(err error) string {
	text := err.Error()
	for _, name := range [...]string{"balancer: ", "cluster: ", "frontend: ", "hook: ", "peers: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}
