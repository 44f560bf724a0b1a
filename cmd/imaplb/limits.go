package main

import (
	"fmt"
	"time"

	"imaplb/stats"
)

// Limits that are changed on the runtime socket. Those of connections are for
// this process, as in HAProxy, and until the next reload.

// SetGlobalMaxconn bounds the client connections; 0 is the file's limit.
func (n *node) SetGlobalMaxconn(o stats.Order, maxconn int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := *n.engine.Limits()
	if l.Maxconn = maxconn; maxconn == 0 {
		l.Maxconn = n.parts.Load().conf.Global.Maxconn
	}
	n.engine.SetLimits(l)
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("set maxconn global %d local", maxconn))
	return nil
}

// SetFrontendMaxconn bounds the connections of a frontend; 0 is no limit.
func (n *node) SetFrontendMaxconn(o stats.Order, name string, maxconn int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.frontend(name)
	if f == nil {
		return fmt.Errorf("no frontend %q", name)
	}
	s := f.Settings()
	s.Config.Maxconn = maxconn
	f.Update(s)
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("set maxconn frontend %s %d local", name, maxconn))
	return nil
}

// SetServerMaxconn bounds the sessions of a server; 0 is no limit. It is an
// order to all peers. Alone, or for this peer only, it is until the next reload.
func (n *node) SetServerMaxconn(o stats.Order, backend, server string, maxconn int) error {
	s, err := n.server(backend, server)
	if err != nil {
		return err
	}
	if !n.alone(o) {
		return n.cluster.OrderMaxconn(time.Now(), o.By, backend, server, maxconn)
	}
	s.SetMaxconn(maxconn)
	n.claims.nudge()
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("set maxconn server %s/%s %d local", backend, server, maxconn))
	return nil
}
