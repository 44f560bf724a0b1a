package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"imaplb/conf"
	"imaplb/peers"
	"imaplb/sticktable"
)

// Reload loads the configuration file again. If it is wrong, or something in
// it cannot be had, the running one stays.
func (n *node) Reload() (changed string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.stopping.Load():
		return "", errors.New("imaplb is stopping")
	case !n.serving.Load():
		return "", errors.New("imaplb is starting, try again when it is ready")
	}
	cfg, err := conf.Load(n.path)
	if err == nil {
		for _, w := range cfg.Warnings {
			n.log.Warn("configuration", "warning", w.String())
		}
		old := n.parts.Load().conf
		if changed, err = n.apply(context.Background(), cfg); err == nil {
			for _, path := range restartOnly(old, cfg) {
				n.log.Warn("configuration", "warning", cfg.At(path, "differs from what runs, and takes effect at the next start").String())
			}
		}
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			n.log.Error("reload refused, the running configuration stays", "fault", strings.TrimSpace(line))
		}
		return "", err
	}
	n.log.Info("configuration reloaded", "config", n.path, "changed", changed)
	return changed, nil
}

// changes tells in words what differs between two configurations.
func changes(old, cfg *conf.Config) string {
	var list []string
	note := func(what string, a, b any) {
		if !reflect.DeepEqual(a, b) {
			list = append(list, what)
		}
	}
	names := func(what string, a, b map[string]any) {
		for _, name := range sortedKeys(a, b) {
			switch x, y := a[name], b[name]; {
			case x == nil:
				list = append(list, what+"."+name+" added")
			case y == nil:
				list = append(list, what+"."+name+" removed")
			default:
				note(what+"."+name, x, y)
			}
		}
	}
	note("global", runtimeGlobal(old.Global), runtimeGlobal(cfg.Global))
	a, b := sections(old), sections(cfg)
	for i, what := range [...]string{"stick_table", "frontend", "backend"} {
		names(what, a[i], b[i])
	}
	if !reflect.DeepEqual(runtimePeers(old.Peers), runtimePeers(cfg.Peers)) {
		list = append(list, "peers")
	}
	for _, path := range restartOnly(old, cfg) {
		list = append(list, fmt.Sprintf("%s (takes effect at the next start)", path))
	}
	if len(list) == 0 {
		return "no setting; certificates and names of servers were read again"
	}
	return strings.Join(list, ", ")
}

// runtimeGlobal is the part of [global] that a reload can change.
func runtimeGlobal(g conf.Global) conf.Global {
	g.Threads, g.Poller, g.StateDir, g.LogFormat = 0, "", "", ""
	return g
}

// restartOnly names what differs and is read at start only, as paths of the file.
func restartOnly(old, cfg *conf.Config) (paths []string) {
	for _, t := range cfg.StickTables {
		o := old.StickTable(t.Name)
		if o == nil {
			continue
		}
		for _, c := range [...]struct {
			key     string
			differs bool
		}{
			{"key", o.Key != t.Key},
			{"ipv4_prefix", o.IPv4Prefix != t.IPv4Prefix},
			{"ipv6_prefix", o.IPv6Prefix != t.IPv6Prefix},
			{"store", !storesMore(o.Store, t.Store)},
			{"peers", old.Peers.Bind != "" && o.Peers != t.Peers},
		} {
			if c.differs {
				paths = append(paths, "stick_table."+t.Name+"."+c.key)
			}
		}
	}
	for _, c := range [...]struct {
		what string
		a, b any
	}{
		{"global.threads", old.Global.Threads, cfg.Global.Threads},
		{"global.poller", old.Global.Poller, cfg.Global.Poller},
		{"global.state_dir", old.Global.StateDir, cfg.Global.StateDir},
		{"global.log_format", old.Global.LogFormat, cfg.Global.LogFormat},
		{"stats", old.Stats, cfg.Stats},
		{"peers", startPeers(old.Peers), startPeers(cfg.Peers)},
	} {
		if !reflect.DeepEqual(c.a, c.b) {
			paths = append(paths, c.what)
		}
	}
	return paths
}

// runtimePeers is the part of [peers] that a reload can change.
func runtimePeers(p peers.Config) peers.Config {
	return peers.Config{
		Join: p.Join, OnMinority: p.OnMinority, TieBreaker: p.TieBreaker, PeerGrace: p.PeerGrace, MoveTimeout: p.MoveTimeout,
	}
}

// startPeers is the part that it cannot change.
func startPeers(p peers.Config) peers.Config {
	p.Join, p.OnMinority, p.TieBreaker, p.PeerGrace, p.MoveTimeout = nil, "", "", 0, 0
	return p
}

// storesMore reports whether a table that stores what old says needs not be made
// anew to store what next says.
func storesMore(old, next []string) bool {
	a, errA := sticktable.ParseStore(old)
	b, errB := sticktable.ParseStore(next)
	return errA == nil && errB == nil && a.Within(&b)
}

// sections are the named sections by name: stick tables, frontends, backends.
func sections(c *conf.Config) (s [3]map[string]any) {
	for i := range s {
		s[i] = map[string]any{}
	}
	for _, t := range c.StickTables {
		s[0][t.Name] = t
	}
	for _, f := range c.Frontends {
		s[1][f.Name] = f
	}
	for _, b := range c.Backends {
		s[2][b.Name] = b
	}
	return s
}
