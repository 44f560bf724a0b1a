package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"imaplb/balancer"
	"imaplb/conf"
	"imaplb/frontend"
	"imaplb/relay"
	"imaplb/resolver"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// firstID is the first id of a proxy; HAProxy's own are from 2 on as well.
const firstID = 2

// resolveTimeout bounds looking up the names of all servers at start and reload.
const resolveTimeout = 10 * time.Second

// Addresses in use are tried again for bindPatience in all, each bindPause.
const (
	bindPatience = 2 * time.Second
	bindPause    = 10 * time.Millisecond
)

// plan is everything about a configuration that can fail, done before anything
// is changed.
type plan struct {
	tls     map[string]*tls.Config                 // by frontend
	targets map[string]map[string]*upstream.Target // by backend and server
	secrets map[string][]byte                      // by backend: the password of the checks
	bound   map[string]map[string]*frontend.Listener

	backends []conf.Backend // with the addresses of names
	keep     bool           // servers that are there already stay as they are, but for the address
}

// apply makes a configuration hold: all of it or nothing. It returns what
// changed in words.
func (n *node) apply(ctx context.Context, cfg *conf.Config) (string, error) {
	p, err := n.prepare(ctx, cfg)
	if err != nil {
		return "", err
	}
	next, old := n.applyParts(cfg, p)
	err = n.updateFrontends(cfg, next, p)
	return changes(old.conf, cfg), err
}

// applyParts is everything but the listeners.
func (n *node) applyParts(cfg *conf.Config, p *plan) (next, old *parts) {
	now := time.Now()
	old = n.parts.Load()
	next = &parts{conf: cfg, tables: n.updateTables(old, cfg)}
	n.reshare(old.tables, next.tables)
	n.cluster.SetConfig(now, clusterConfig(cfg.Peers))
	n.rejoin(cfg.Peers)
	n.level.Set(parseLevel(cfg.Global.LogLevel))
	n.engine.SetLimits(n.limits(cfg))
	for i := range p.backends {
		next.backends = append(next.backends, n.updateBackend(now, old, next, &p.backends[i], p))
	}
	n.parts.Store(next)
	n.settle(now, next, next.backends, nil)
	n.claims.nudge()
	n.names.keep(hostNames(cfg))
	return next, old
}

// prepare does all that may fail.
func (n *node) prepare(ctx context.Context, cfg *conf.Config) (p *plan, err error) {
	p = &plan{
		tls: map[string]*tls.Config{}, targets: map[string]map[string]*upstream.Target{},
		bound: map[string]map[string]*frontend.Listener{}, secrets: map[string][]byte{},
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ask, err := resolver.New(cfg.Global.Nameservers)
	if err != nil {
		return nil, err
	}
	n.names.add(time.Now(), hostNames(cfg))
	n.lookUp(ctx, ask, hostNames(cfg))
	faults := n.prepareBackends(ctx, cfg, p)
	for _, f := range cfg.Frontends {
		if f.TLS == "none" {
			continue
		}
		c, err := frontend.LoadTLS(f.Certs, protocols(f)...)
		if err == nil {
			err = frontend.VerifyClients(c, f.VerifyClient, f.ClientCA)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: frontend.%s: %w", n.path, f.Name, err))
		}
		p.tls[f.Name] = c
	}
	faults = append(faults, n.bind(ctx, cfg, p)...)
	if len(faults) > 0 {
		p.release()
		n.names.keep(hostNames(n.parts.Load().conf))
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// prepareBackends makes the ways to all servers.
func (n *node) prepareBackends(ctx context.Context, cfg *conf.Config, p *plan) (faults []error) {
	for _, b := range cfg.Backends {
		b = n.names.expand(b)
		p.backends = append(p.backends, b)
		p.targets[b.Name] = map[string]*upstream.Target{}
		for _, s := range b.Servers {
			t, err := upstream.NewTarget(ctx, &b.Upstream, &s.Upstream, n.socket)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: backend.%s.server.%s: %w", n.path, b.Name, s.Name, err))
			}
			p.targets[b.Name][s.Name] = t
		}
		if b.Check.Kind == "login" {
			secret, err := readSecret(b.Check.PasswordFile)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: backend.%s.check.password_file: %w", n.path, b.Name, err))
			}
			p.secrets[b.Name] = secret
		}
	}
	return faults
}

// protocols are what is agreed on by ALPN; in mode tcp nothing is known of them.
func protocols(f conf.Frontend) []string {
	if f.Mode == "imap" {
		return []string{"imap"}
	}
	return nil
}

// bind opens the sockets that are not open yet.
func (n *node) bind(ctx context.Context, cfg *conf.Config, p *plan) (faults []error) {
	until := time.Now().Add(bindPatience)
	have := map[string][]string{}
	for _, f := range n.parts.Load().conf.Frontends {
		if n.frontend(f.Name) != nil {
			have[f.Name] = f.Bind
		}
	}
	for _, f := range cfg.Frontends {
		p.bound[f.Name] = map[string]*frontend.Listener{}
		for _, addr := range f.Bind {
			if slices.Contains(have[f.Name], addr) {
				continue
			}
			l, err := n.listen(ctx, addr, until)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: frontend.%s.bind: %w", n.path, f.Name, err))
				continue
			}
			p.bound[f.Name][addr] = l
		}
	}
	return faults
}

// listen waits for an address in use to become free until the time given. The
// kernel takes the rings of a process that was killed apart behind its end, and
// their listeners live until then: some 40 ms, longer on a busy machine.
func (n *node) listen(ctx context.Context, addr string, until time.Time) (*frontend.Listener, error) {
	for said := false; ; said = true {
		l, err := n.engine.Listen(ctx, addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(until) {
			return l, err
		}
		if !said {
			n.log.Warn("address in use, trying on", "bind", addr, "for", bindPatience)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(bindPause):
		}
	}
}

// release closes what a plan that will not be carried out has opened.
func (p *plan) release() {
	for _, byAddr := range p.bound {
		for _, l := range byAddr {
			l.Close()
		}
	}
}

func (n *node) frontend(name string) *frontend.Frontend {
	for _, f := range n.engine.Frontends() {
		if f.Name == name {
			return f
		}
	}
	return nil
}

func (p *parts) table(name string) *sticktable.Table {
	for _, t := range p.tables {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

func (p *parts) backend(name string) *backend {
	for _, b := range p.backends {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// updateTables keeps the tables that stay, with their entries.
func (n *node) updateTables(old *parts, cfg *conf.Config) (tables []*sticktable.Table) {
	for _, c := range cfg.StickTables {
		t := old.table(c.Name)
		if t == nil {
			t = sticktable.New(c.Name, c.Config, n.self)
			if n.stateDir != "" {
				loadTable(n.log, n.stateDir, t)
			}
			n.shareTable(t, c.Peers)
		}
		t.SetLimits(c.Config)
		if store, err := sticktable.ParseStore(c.Store); err == nil { // conf has checked it
			t.Widen(store)
		}
		tables = append(tables, t)
	}
	slices.SortFunc(tables, func(a, b *sticktable.Table) int { return strings.Compare(a.Name(), b.Name()) })
	return tables
}

func (n *node) updateBackend(now time.Time, old, next *parts, cfg *conf.Backend, p *plan) *backend {
	setup := balancer.Setup{Config: cfg.Balancer, Table: next.table(cfg.Balancer.StickTable), OnChange: n.serverChanged, Frozen: n.frozen}
	if n.mesh != nil {
		setup.Shared, setup.OnFull = true, n.claims.nudge
	}
	if setup.Table != nil {
		name := setup.Table.Name()
		setup.Pinned = func(key string) string { return n.cluster.Pinned(name, key) }
	}
	for _, s := range cfg.Servers {
		setup.Servers = append(setup.Servers, balancer.ServerSpec{Name: s.Name, Config: s.Balancer, Keep: p.keep})
	}
	targets := func(servers []*balancer.Server) map[*balancer.Server]*upstream.Target {
		m := map[*balancer.Server]*upstream.Target{}
		for _, s := range servers {
			m[s] = p.targets[cfg.Name][s.Name]
		}
		return m
	}
	b := old.backend(cfg.Name)
	if b == nil {
		bal := balancer.NewBackend(now, cfg.Name, n.id(), setup)
		b := &backend{frontend.NewBackend(bal, targets(bal.Servers()), cfg.Upstream.TimeoutServer), cfg, p.secrets[cfg.Name]}
		b.SetUserLimits(cfg.Users)
		return b
	}
	// Sessions on a server that left the file go on; their users' next login
	// finds another home and ends them.
	moved, table := b.moved(p.targets[cfg.Name]), b.Table()
	setup.Before = func(servers []*balancer.Server) { b.AddTargets(targets(servers)) }
	b.Update(now, setup)
	b.SetUserLimits(cfg.Users)
	b.SetTargets(targets(b.Servers()), cfg.Upstream.TimeoutServer)
	// At once: from now on the next login of a user goes to the new address.
	for _, s := range moved {
		n.engine.CloseServer(s, relay.Moved, 0)
	}
	if b.Table() != table {
		n.engine.Recount(b.Backend)
	}
	return &backend{b.Backend, cfg, p.secrets[cfg.Name]}
}

// moved are the servers that will have another address: a user must not be at
// the old and the new one.
func (b *backend) moved(targets map[string]*upstream.Target) (moved []*balancer.Server) {
	for _, s := range b.Servers() {
		next := targets[s.Name] // nil if it leaves
		if t := b.Target(s); t != nil && next != nil && t.Addr.String() != "" && t.Addr.String() != next.Addr.String() {
			moved = append(moved, s)
		}
	}
	return moved
}

func (n *node) id() int {
	n.nextID++
	return n.nextID - 1
}

// updateFrontends changes, opens and closes frontends. Sessions of a frontend
// that is closed live on.
func (n *node) updateFrontends(cfg *conf.Config, next *parts, p *plan) error {
	var faults []error
	keep := map[string]bool{}
	for _, c := range cfg.Frontends {
		keep[c.Name] = true
		s := frontend.Settings{
			Config: c.Config, TLS: p.tls[c.Name], Backend: next.backend(c.Backend).Backend, Backends: map[string]*frontend.Backend{},
			Track: next.table(c.TrackSrc),
		}
		for _, r := range slices.Concat(c.Route, c.UseBackend) {
			s.Backends[r.Backend] = next.backend(r.Backend).Backend
		}
		f := n.frontend(c.Name)
		if f == nil {
			f = n.engine.Add(c.Name, n.id(), s)
		} else {
			f.Update(s)
		}
		for _, addr := range f.KeepListeners(c.Bind) {
			if err := f.AddListener(addr, p.bound[c.Name][addr]); err != nil {
				faults = append(faults, fmt.Errorf("frontend.%s.bind: %w", c.Name, err))
			}
		}
	}
	for _, f := range n.engine.Frontends() {
		if !keep[f.Name] {
			f.KeepListeners(nil)
			n.engine.Remove(f)
		}
	}
	return errors.Join(faults...)
}

// sourceAddr is the local address of checks, nil for the kernel's choice.
func sourceAddr(t *upstream.Target) net.Addr {
	if !t.Source().IsValid() {
		return nil
	}
	return &net.TCPAddr{IP: t.Source().AsSlice()}
}
