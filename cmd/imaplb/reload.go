package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"imaplb/conf"
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
		changed, err = n.apply(context.Background(), cfg)
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
	for _, s := range restartOnly(old, cfg) {
		list = append(list, fmt.Sprintf("%s (takes effect at the next start)", s))
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

// restartOnly names what differs and is read at start only.
func restartOnly(old, cfg *conf.Config) (list []string) {
	for _, t := range cfg.StickTables {
		o := old.StickTable(t.Name)
		if o != nil && o.Key != t.Key {
			list = append(list, "stick_table."+t.Name+".key")
		}
		if o != nil && (o.IPv4Prefix != t.IPv4Prefix || o.IPv6Prefix != t.IPv6Prefix) {
			list = append(list, "stick_table."+t.Name+".ipv4_prefix and ipv6_prefix")
		}
		if o != nil && !slices.Equal(o.Store, t.Store) {
			list = append(list, "stick_table."+t.Name+".store")
		}
		if cfg.Peers.Bind != "" && t.Peers && (o == nil || !o.Peers) {
			list = append(list, "stick_table."+t.Name+".peers")
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
		{"peers", old.Peers, cfg.Peers},
	} {
		if !reflect.DeepEqual(c.a, c.b) {
			list = append(list, c.what)
		}
	}
	return list
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
