package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"imaplb/balancer"
	"imaplb/conf"
	"imaplb/loop"
	"imaplb/upstream"
)

// readdress is a small reload of the backends whose servers' names stand for
// other addresses now. What was set at run time stays, as do the checks of the
// other servers.
func (n *node) readdress(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopping.Load() {
		return
	}
	old := n.parts.Load()
	p, changed, err := n.readdressed(ctx, old)
	if err != nil {
		n.log.Error("new addresses not taken", "err", err)
		return
	}
	if len(changed) == 0 {
		return
	}
	now := time.Now()
	next := &parts{conf: old.conf, tables: old.tables, backends: slices.Clone(old.backends)}
	touched, replaced := map[*balancer.Server]bool{}, []*backend{}
	for _, i := range changed {
		b := n.updateBackend(now, old, next, &p.backends[i], p)
		next.backends[i] = b
		replaced = append(replaced, b)
		for _, s := range b.Servers() {
			if !sameServer(old.backends[i].conf, b.conf, s.Name) {
				touched[s] = true
				n.log.Info("server has another address", "be", b.Name, "srv", s.Name, "addr", b.Target(s).Addr.String())
			}
		}
	}
	n.parts.Store(next)
	n.settle(now, next, replaced, touched)
}

// settle is what follows when the servers of some backends have been replaced
// and others can see it; only is as with updateCheckers.
func (n *node) settle(now time.Time, p *parts, backends []*backend, only map[*balancer.Server]bool) {
	for _, b := range backends {
		n.resolved(now, b, false)
		n.applyOrders(b)
		n.engine.CloseStrays(b.Backend.Backend)
	}
	n.tellServers(now, p)
	n.updateCheckers(p, only)
	n.updateAgents(p, only)
	for _, b := range backends {
		n.resolved(now, b, true) // the checks know the way by now
	}
}

// resolved tells the servers which have an address, or those which have none.
func (n *node) resolved(now time.Time, b *backend, have bool) {
	for _, s := range b.Servers() {
		if (b.Target(s).Addr.String() != "") == have {
			s.SetResolved(now, have)
		}
	}
}

// readdressed plans the backends whose servers changed; changed has their
// places in the file.
func (n *node) readdressed(ctx context.Context, old *parts) (p *plan, changed []int, err error) {
	p = &plan{targets: map[string]map[string]*upstream.Target{}, secrets: map[string][]byte{}, keep: true}
	for i, b := range old.backends {
		cfg := n.names.expand(old.conf.Backends[i])
		p.backends = append(p.backends, cfg)
		if slices.EqualFunc(cfg.Servers, b.conf.Servers, func(x, y conf.Server) bool {
			return x.Name == y.Name && x.Upstream.Addr == y.Upstream.Addr
		}) {
			continue
		}
		changed = append(changed, i)
		p.secrets[b.Name] = b.secret
		p.targets[b.Name] = map[string]*upstream.Target{}
		for _, s := range cfg.Servers {
			if p.targets[b.Name][s.Name], err = n.retarget(ctx, b, &s); err != nil {
				return nil, nil, fmt.Errorf("backend.%s.server.%s: %w", b.Name, s.Name, err)
			}
		}
	}
	return p, changed, nil
}

// retarget is the way to a server at its address of now: as it was, if there
// was one, so that files need not be read again.
func (n *node) retarget(ctx context.Context, b *backend, s *conf.Server) (*upstream.Target, error) {
	known := b.Server(s.Name)
	if known == nil {
		return upstream.NewTarget(ctx, &b.conf.Upstream, &s.Upstream, n.socket)
	}
	t := b.Target(known)
	if sameServer(b.conf, &conf.Backend{Servers: []conf.Server{*s}}, s.Name) {
		return t, nil
	}
	addr, err := loop.Resolve(ctx, s.Upstream.Addr) // no name: nothing is looked up
	return t.At(addr), err
}

// sameServer reports whether a server has the same address in both.
func sameServer(a, b *conf.Backend, name string) bool {
	x, y := serverOf(a, name), serverOf(b, name)
	return x != nil && y != nil && x.Upstream.Addr == y.Upstream.Addr
}

// serverOf is a server as the file says, nil if there is none.
func serverOf(b *conf.Backend, name string) *conf.Server {
	for i := range b.Servers {
		if b.Servers[i].Name == name {
			return &b.Servers[i]
		}
	}
	return nil
}
