package main

import (
	"net"
	"strconv"
	"time"

	"imaplb/balancer"
	"imaplb/conf"
	"imaplb/health"
)

// updateAgents starts, changes and stops the talks with the servers' agents;
// only is as with updateCheckers.
func (n *node) updateAgents(p *parts, only map[*balancer.Server]bool) {
	wanted := map[checkKey]bool{}
	for _, b := range p.backends {
		servers := b.Servers()
		for i, s := range servers {
			cfg := agentOf(b.conf, s.Name)
			key, addr := checkKey{b.Name, s.Name}, agentAddr(cfg, b.Target(s).Addr.String())
			if addr == "" {
				continue
			}
			wanted[key] = true
			if _, talks := n.agents.Load(key); only == nil || only[s] || !talks {
				n.updateAgent(b, s, addr, cfg, health.Spread(cfg.Inter, i, len(servers)))
			}
		}
	}
	n.agents.Range(func(k, v any) bool {
		if key := k.(checkKey); !wanted[key] {
			n.agents.Delete(key)
			v.(*health.Agent).Stop()
			n.silence(key)
		}
		return true
	})
}

// silence forgets what the agent of a server said that has none any more.
func (n *node) silence(key checkKey) {
	now := time.Now()
	s, err := n.server(key.backend, key.server)
	if err != nil { // it has left
		n.cluster.Abstain(now, key.backend, key.server)
		return
	}
	s.SetAgent(now, balancer.Agent{})
	if n.checker(key) != nil {
		n.vote(now, s)
		return
	}
	n.cluster.Abstain(now, key.backend, key.server)
	if !n.cluster.Votes(key.backend, key.server).Told { // nobody looks any more
		s.SetVerdict(now, balancer.NoVerdict)
	}
}

// agentOf is the agent of a server as the file says.
func agentOf(b *conf.Backend, name string) health.AgentConfig {
	if s := serverOf(b, name); s != nil {
		return s.Agent
	}
	return health.AgentConfig{}
}

// agentAddr is where the agent of the server at addr is asked, "" for none.
func agentAddr(cfg health.AgentConfig, addr string) string {
	if cfg.Addr != "" || cfg.Port == 0 {
		return cfg.Addr
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "" // a unix socket, which the configuration does not let be
	}
	return net.JoinHostPort(host, strconv.Itoa(cfg.Port))
}

func (n *node) updateAgent(b *backend, s *balancer.Server, addr string, cfg health.AgentConfig, after time.Duration) {
	key, ask := checkKey{b.Name, s.Name}, health.AskAt(addr, cfg.Send, sourceAddr(b.Target(s)))
	if a, ok := n.agents.Load(key); ok {
		a.(*health.Agent).Update(cfg.Inter, b.conf.Check.Timeout, ask)
		return
	}
	a := health.NewAgent(cfg.Inter, b.conf.Check.Timeout, ask, func(now time.Time, v health.Voice) { n.heard(now, s, v) })
	a.Start(after)
	n.agents.Store(key, a)
}

// heard takes what an agent said: this peer's, and its vote.
func (n *node) heard(now time.Time, s *balancer.Server, v health.Voice) {
	if v.New {
		n.log.Warn("agent not understood, its answers are ignored", "be", s.Backend.Name, "srv", s.Name, "what", v.Trouble)
	}
	a := balancer.Agent{Down: v.Down(), Word: v.Word, Weight: v.Weight, Check: v.Check, Desc: v.Desc, Took: v.Took}
	if admin, err := balancer.ParseAdmin(v.Admin); err == nil {
		a.Admin = admin
	}
	if v.Trouble != "" {
		a.Desc = v.Trouble
	}
	if v.NewMaxconn && s.Maxconn() != v.Maxconn {
		s.SetMaxconn(v.Maxconn)
		n.claims.nudge()
	}
	s.SetAgent(now, a)
	n.vote(now, s)
}

func (n *node) stopAgents() {
	n.agents.Range(func(_, v any) bool {
		v.(*health.Agent).Stop()
		return true
	})
}
