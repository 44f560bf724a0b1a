package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/health"
	"imaplb/proxyproto"
	"imaplb/relay"
	"imaplb/upstream"
)

// checkKey names a server over all backends.
type checkKey struct{ backend, server string }

// updateCheckers starts, changes and stops the checks so that each server has
// its own; of checks that go on, only those of the servers in only change, if it
// is not nil.
func (n *node) updateCheckers(p *parts, only map[*balancer.Server]bool) {
	wanted := map[checkKey]bool{}
	for _, b := range p.backends {
		servers := b.Servers()
		for i, s := range servers {
			key := checkKey{b.Name, s.Name}
			if b.conf.Check.Kind == "none" {
				n.unchecked(key, s)
				continue
			}
			wanted[key] = true
			if only != nil && !only[s] && n.checker(key) != nil {
				continue
			}
			n.updateChecker(key, b, s, i, len(servers))
		}
	}
	n.eachChecker(func(key checkKey, c *health.Checker) {
		if !wanted[key] {
			n.checkers.Delete(key)
			c.Stop()
			n.cluster.Abstain(time.Now(), key.backend, key.server)
		}
	})
}

// checked takes the result of a check: this peer's, and its vote.
func (n *node) checked(s *balancer.Server, r health.Result) {
	s.SetHealth(r.Time, healthOf(r))
	n.vote(r.Time, s)
}

// vote tells the peers what this one finds a server to be, by its checks and
// the server's agent.
func (n *node) vote(now time.Time, s *balancer.Server) {
	state := s.State()
	if n.mesh == nil || rests(s) {
		return
	}
	n.cluster.Vote(now, s.Backend.Name, s.Name, state.LocalUp())
	if rests(s) { // put there meanwhile
		n.cluster.Abstain(now, s.Backend.Name, s.Name)
	}
}

// unchecked makes a server count as up whose checks a reload has ended.
func (n *node) unchecked(key checkKey, s *balancer.Server) {
	if c := n.checker(key); c != nil {
		n.checkers.Delete(key)
		s.SetObserver(nil)
		c.Stop()
		n.cluster.Abstain(time.Now(), key.backend, key.server)
		if !n.cluster.Votes(key.backend, key.server).Told { // nobody looks any more
			s.SetVerdict(time.Now(), balancer.NoVerdict)
		}
		s.SetHealth(time.Now(), balancer.Health{Up: true})
	}
}

func (n *node) eachChecker(f func(checkKey, *health.Checker)) {
	n.checkers.Range(func(k, v any) bool {
		f(k.(checkKey), v.(*health.Checker))
		return true
	})
}

// checker is the checker of a server, nil if it is not checked.
func (n *node) checker(key checkKey) *health.Checker {
	c, _ := n.checkers.Load(key)
	checker, _ := c.(*health.Checker)
	return checker
}

func (n *node) updateChecker(key checkKey, b *backend, s *balancer.Server, i, of int) {
	probe := health.NewProbe(b.conf.Check.Kind, checkTarget(b.Target(s)), b.conf.Check.User, b.secret)
	if c := n.checker(key); c != nil {
		c.Update(b.conf.Check, probe)
		observe(s, b.conf.Check, c)
		c.Pause(rests(s))
		return
	}
	s.SetHealth(time.Now(), healthOf(health.Result{Check: "INI", Status: health.NewStatus(b.conf.Check.Rise, b.conf.Check.Fall)}))
	c := health.New(b.conf.Check, probe, func(r health.Result) { n.checked(s, r) })
	c.Pause(rests(s))
	c.Start(health.Spread(b.conf.Check.Inter, i, of))
	n.checkers.Store(key, c)
	observe(s, b.conf.Check, c)
}

// observe lets the checker know when users' logins fail.
func observe(s *balancer.Server, cfg health.Config, c *health.Checker) {
	if cfg.Observe == "none" {
		s.SetObserver(nil)
		return
	}
	s.SetObserver(&balancer.Observer{
		Layer7: cfg.Observe == "layer7", Limit: int32(cfg.ErrorLimit), Act: func(time.Time) { c.Blame() },
	})
}

// checkTarget is how a check reaches a server: as logins do.
func checkTarget(t *upstream.Target) health.Target {
	to := health.Target{
		Network: "tcp", Address: t.Addr.String(), Source: sourceAddr(t),
		TLS: t.TLS(), StartTLS: t.TLSMode() == "starttls",
		Preamble: proxyproto.AppendLocal(nil, t.SendProxy()),
	}
	if path, ok := strings.CutPrefix(to.Address, "unix:"); ok {
		to.Network, to.Address = "unix", path
	}
	return to
}

// readSecret reads the password of checks.
func readSecret(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return health.ParsePassword(content)
}

func effective(s *balancer.Server) balancer.Admin {
	state := s.State()
	return state.Effective()
}

// rests reports whether nobody looks at a server: it is in maintenance, or its
// name has no address.
func rests(s *balancer.Server) bool {
	state := s.State()
	return state.Effective() == balancer.Maint || state.Unresolved
}

func healthOf(r health.Result) balancer.Health {
	return balancer.Health{
		Up: r.Status.Up(), Text: r.Status.String(), Check: r.Check, Desc: r.Desc, Duration: r.Duration,
		Failed: r.Failed, Rise: r.Status.Rise, Fall: r.Status.Fall, Count: r.Status.Count, Caps: r.Caps,
	}
}

func (n *node) stopCheckers() {
	n.eachChecker(func(_ checkKey, c *health.Checker) { c.Stop() })
	n.stopAgents()
}

// serverChanged logs a change and ends the sessions that must not go on: a
// user has one home, and the next login finds a new one.
func (n *node) serverChanged(c balancer.Change) {
	s, state := c.Server, c.Server.State()
	attrs := []any{
		"be", s.Backend.Name, "srv", s.Name, "state", state.Text(), "weight", s.Weight(),
		"active", c.Active, "sessions", s.Scur.Load(),
	}
	switch c.Kind {
	case balancer.WentUp:
		n.log.Info("server is UP", append(attrs, "check", state.Health.Check)...)
	case balancer.WentDown:
		if state.Agent.Down {
			attrs = append(attrs, "agent", state.Agent.Word, "said", state.Agent.Desc)
		}
		n.log.Warn("server is DOWN", append(attrs, "check", state.Health.Check, "desc", state.Health.Desc)...)
	case balancer.SetAdmin:
		now, was := state.Effective(), c.Old.Effective()
		n.log.Info("server admin state changed", append(attrs, "admin", now.String(), "was", was.String())...)
		n.pauseCheck(s, rests(s))
		n.revote(s, rests(s))
		n.draining.changed(s, now)
	case balancer.SetWeight:
		n.log.Info("server weight changed", attrs...)
	case balancer.PanicBegan:
		n.log.Warn("too few servers are up, health counts for nothing", "be", s.Backend.Name, "active", c.Active)
	case balancer.PanicOver:
		n.log.Info("health of servers counts again", "be", s.Backend.Name, "active", c.Active)
		for _, s := range s.Backend.Servers() {
			n.closeAway(s, balancer.WentDown)
		}
	}
	if c.Kind != balancer.SetAdmin || c.Old.Effective() != balancer.Maint {
		n.closeAway(s, c.Kind)
	}
	if c.Active == 0 {
		n.log.Error("backend has no server available", "be", s.Backend.Name)
	}
}

// closeAway ends the sessions of a server that nobody may be on any more, after
// a change of that kind. With on_marked_down = "none" those of one that is down
// go on until their user is placed elsewhere.
func (n *node) closeAway(s *balancer.Server, kind balancer.Kind) {
	if !s.Away() || kind == balancer.WentDown && s.KeepsSessions() {
		return
	}
	if kind == balancer.WentDown || kind == balancer.SetAdmin {
		n.engine.CloseServer(s, relay.ServerDown, n.parts.Load().conf.Global.ShutdownSpread)
	}
}

// revote takes this peer's vote back for a server in maintenance, which nobody
// looks at, and takes the verdict of the others when it leaves it.
func (n *node) revote(s *balancer.Server, maint bool) {
	switch {
	case n.mesh == nil:
	case maint:
		n.cluster.Abstain(time.Now(), s.Backend.Name, s.Name)
		s.SetVerdict(time.Now(), balancer.NoVerdict)
	default:
		n.cluster.Renew(s.Backend.Name, s.Name, cluster.RenewHealth)
	}
}

// pauseCheck stops or resumes the checks of a server.
func (n *node) pauseCheck(s *balancer.Server, pause bool) {
	if c := n.checker(checkKey{s.Backend.Name, s.Name}); c != nil {
		c.Pause(pause)
	}
}

// sortedKeys are the keys of both maps, each once.
func sortedKeys(a, b map[string]any) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
