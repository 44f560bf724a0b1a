package main

import (
	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/stats"
)

// What other peers do and say of a flush, and how one passes from peer to peer.

// flushEnd is how a flush ends at this peer.
type flushEnd uint8

const (
	flushOver   flushEnd = iota // it has ended, for all
	flushHanded                 // this peer stops, another one will go on
	flushGiven                  // another peer carries it, or has ended it: nothing is said
)

// flushPatience is how often, each flushRetry, a flush that another peer carried
// looks whether its server drains by now: the order may be heard later.
const flushPatience = 10

// CarryFlush goes on with a flush whose peer is gone. It is called by the
// cluster and does not block.
func (n *node) CarryFlush(c cluster.Flush) {
	s, err := n.server(c.Backend, c.Server)
	if err != nil || s.Backend.Table() == nil || !n.serving.Load() || n.stopping.Load() {
		return
	}
	f := n.newFlush(stats.Order{By: c.By}, s, min(max(c.Parallel, 1), stats.MaxParallel), c.Since)
	f.moved, f.failed, f.left = c.Moved, c.Failed, c.Left
	if n.flushes.add(f) == nil {
		go f.carryOn() // ends as run does
	}
}

func (f *flush) carryOn() {
	_ = f.say(cluster.FlushRuns, "") // else by tell
	for range flushPatience {
		if f.stopped() || effective(f.server) == balancer.Drain {
			break
		}
		f.pause(flushRetry)
	}
	f.run()
}

// LeaveFlush ends a flush that another peer carries too.
func (n *node) LeaveFlush(backend, server string) {
	if s, err := n.server(backend, server); err == nil {
		if f := n.flushes.of(s); f != nil {
			f.stopAs(flushGiven, "")
		}
	}
}

// StopFlush is that order, at every peer.
func (n *node) StopFlush(backend, server string) string {
	s, err := n.server(backend, server)
	if err != nil {
		return notHere
	}
	if f := n.flushes.of(s); f != nil {
		f.end("stopped by order")
	}
	return ""
}

// end has the flush stop for a reason.
func (f *flush) end(why string) { f.stopAs(flushOver, why) }

// handOver has it stop here because this peer does. If there are others, one of
// them goes on when this one has left.
func (f *flush) handOver() {
	if alive := f.n.alive(); alive > 1 {
		f.stopAs(flushHanded, "")
		return
	}
	f.end("this peer stops")
}

func (f *flush) stopAs(how flushEnd, why string) {
	f.once.Do(func() {
		f.how, f.note = how, why
		close(f.stop)
	})
}

// alive is how many peers are, this one included.
func (n *node) alive() int {
	if n.mesh == nil || n.mesh.group.Load() == nil {
		return 1
	}
	alive, _ := n.mesh.group.Load().Count()
	return alive
}
