package cluster_test

import (
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/sticktable"
)

// What cmd/imaplb does in flush.go and flushcarry.go.

const (
	flushPace     = 200 * ms // between two looks for users to move
	flushSay      = 2 * time.Second
	flushPatience = 10 * time.Second // of one that another peer carried, for the order to drain
	flushParallel = 3
)

// simFlush is a flush that a process carries. Owned by it.
type simFlush struct {
	p      *simProc
	is     cluster.Flush
	begun  time.Duration // here
	moving int
	over   bool
}

// flush drains a server and has its users moved away. Some carriers do not live to
// see the end.
func (p *simProc) flush(server string) {
	w := p.host.w
	if p.cluster.OrderAdmin(p.now(), "admin", simBackend, server, "drain") != nil || p.cluster.FlushedBy(p.now(), simBackend, server) != "" {
		return
	}
	w.trace("", "order at %s: flush of %s", p.host.name, server)
	p.carry(cluster.Flush{Backend: simBackend, Server: server, By: "admin", Since: p.now(), Parallel: flushParallel})
	if w.chance(40) {
		w.after(w.skewed(0, 5*time.Second), func() {
			if !w.ended {
				w.restart(p.host)
			}
		})
	}
}

func (p *simProc) carry(f cluster.Flush) {
	if p.flushes[f.Server] != nil || !p.serving || p.stopping {
		return
	}
	x := &simFlush{p: p, is: f, begun: p.host.w.now}
	p.flushes[f.Server] = x
	x.tell()
	p.host.w.after(0, x.pass)
}

func (x *simFlush) carries() bool { return x.p.alive && !x.over }

func (x *simFlush) say(phase, note string) {
	x.is.Phase, x.is.Note = phase, note
	if err := x.p.cluster.SayFlush(x.p.now(), x.is); err != nil {
		x.p.host.w.fail("", "%s cannot say its flush: %v", x.p.host.name, err)
	}
}

func (x *simFlush) tell() {
	if x.carries() {
		x.say(cluster.FlushRuns, "")
		x.p.host.w.after(flushSay, x.tell)
	}
}

// end is also for one that another peer carries: then phase is "".
func (x *simFlush) end(phase, note string) {
	x.over = true
	delete(x.p.flushes, x.is.Server)
	x.p.host.w.trace("", "%s ends its flush of %s: %q %s", x.p.host.name, x.is.Server, phase, note)
	if phase != "" {
		x.say(phase, note)
	}
}

// pass looks for users to move, until nobody is left.
func (x *simFlush) pass() {
	if !x.carries() {
		return
	}
	p, s := x.p, x.p.backend.Server(x.is.Server)
	state, left := s.State(), false
	switch {
	case p.stopping:
		x.end(cluster.FlushRuns, "")
		return
	case state.Effective() != balancer.Drain && p.host.w.now-x.begun >= flushPatience:
		x.end(cluster.FlushEnded, "the server is not in drain any more")
		return
	case state.Effective() == balancer.Drain:
		left = x.moveSome(s)
	default:
		left = true
	}
	if !left && x.moving == 0 {
		x.end(cluster.FlushEnded, "")
		return
	}
	p.host.w.after(flushPace, x.pass)
}

func (x *simFlush) moveSome(s *balancer.Server) (left bool) {
	p := x.p
	p.table.Range(p.now(), func(e sticktable.Entry) bool {
		if e.Server != s.Name || e.Sessions == 0 || p.cluster.Pinned(simTable, e.Key) == s.Name {
			return true
		}
		left = true
		to := p.backend.Choose(p.now(), balancer.Ask{Key: e.Key}, s)
		if to == nil || x.moving >= flushParallel {
			return false
		}
		began := p.host.w.now
		_, err := p.cluster.Move(p.now(), cluster.MoveOrder{
			By: "admin", Table: simTable, Key: e.Key, Backend: simBackend, Server: to.Name,
			Done: func(r cluster.MoveResult) {
				x.moving--
				p.moved(r, e.Key, to.Name, began)
			},
		})
		if err == nil { // Done may have been called already
			x.moving++
		}
		return true
	})
	return left
}

func (p *simProc) CarryFlush(f cluster.Flush) {
	p.host.w.trace("", "%s goes on with the flush of %s", p.host.name, f.Server)
	p.carry(f)
}

func (p *simProc) LeaveFlush(_, server string) {
	if x := p.flushes[server]; x != nil {
		x.end("", "another carries it")
	}
}

func (p *simProc) StopFlush(_, server string) string {
	if x := p.flushes[server]; x != nil {
		x.end(cluster.FlushEnded, "stopped by order")
	}
	return ""
}

// checkFlushes: all servers are ready in the end, so no flush runs.
func (w *simWorld) checkFlushes() {
	for _, p := range w.present() {
		if n := len(p.flushes); n > 0 {
			w.fail("", "%s carries %d flushes", p.host.name, n)
		}
		for _, f := range p.cluster.Flushes(p.now()) {
			if f.Phase == cluster.FlushRuns {
				w.fail("", "at %s the flush of %s runs at %s", p.host.name, f.Server, f.Peer)
			}
		}
	}
}
