package cluster_test

import (
	"encoding/binary"
	"slices"
	"time"

	"imaplb/peers"
)

// The network of a simulation: connections that keep the order of their
// frames, lose their tail when they break, and stall while a cable is cut.

const (
	simWindow   = 256 << 10        // bytes that a connection holds
	simPatience = 15 * time.Second // of a reader that hears nothing
	simWrite    = 10 * time.Second // of a writer that is stuck
	simZombies  = 4                // frames that a replaced reader has in its buffer at most
)

// simDelay is how long a packet takes.
type simDelay struct{ least, most time.Duration }

// simConn is a connection of two processes. Owned by its world.
type simConn struct {
	w    *simWorld
	ends [2]*simEnd
}

// simEnd is one end of a connection, with what is on its way to it.
type simEnd struct {
	c       *simConn
	p       *simProc
	side    int
	remote  *peers.Remote
	link    *peers.Link
	closed  bool
	ready   bool
	heard   time.Duration // when something came last
	stuck   time.Duration // since when the window is full, 0 for not
	pumpAt  time.Duration // when the writer looks next, 0 for never
	in      []simFrame    // on its way to this end
	size    int           // bytes of it
	moving  bool          // an event for the head of in is made
	arrived time.Duration // of the last of in
}

// simFrame is a frame, or the end of a connection if it is nil.
type simFrame struct {
	at time.Duration
	b  []byte
}

func (w *simWorld) layCables() {
	for i := range w.hosts {
		for k := range w.hosts {
			least := w.between(ms/10, w.plan.slowest/2+ms/5)
			w.delays[[2]int{i, k}] = simDelay{least, least + w.between(0, w.plan.slowest/2+ms)}
		}
	}
}

// open reports whether packets get through both ways.
func (w *simWorld) open(a, b int) bool { return !w.blocked[[2]int{a, b}] && !w.blocked[[2]int{b, a}] }

// connect makes a connection of two processes; it takes over from older ones.
func (w *simWorld) connect(dialer, acceptor *simProc) *simConn {
	c := &simConn{w: w}
	for side, p := range []*simProc{dialer, acceptor} {
		other := []*simProc{acceptor, dialer}[side].host.name
		e := &simEnd{c: c, p: p, side: side, remote: p.remote(other), heard: w.now}
		e.link = peers.NewLink(peers.LinkConfig{Self: p.host.name, Incarnation: p.incarnation, States: p.states}, e.remote)
		c.ends[side] = e
	}
	w.conns = append(w.conns, c)
	for side, e := range c.ends {
		other := c.ends[1-side].p.host.name
		if old := e.p.streams[other]; old != nil {
			old.takenOver()
		}
		e.p.streams[other] = e
		e.nudge(0)
	}
	w.trace("", "%s and %s have a new connection", dialer.host.name, acceptor.host.name)
	return c
}

func (e *simEnd) other() *simEnd { return e.c.ends[1-e.side] }

// nudge has the writer look soon.
func (e *simEnd) nudge(d time.Duration) {
	w := e.c.w
	at := w.now + d
	if e.closed || e.pumpAt != 0 && e.pumpAt <= at {
		return
	}
	e.pumpAt = at
	w.after(d, func() {
		if e.pumpAt == at {
			e.pumpAt = 0
			e.pump()
		}
	})
}

// pump writes what the link has.
func (e *simEnd) pump() {
	w, o := e.c.w, e.other()
	if e.closed || !e.p.alive {
		return
	}
	for o.size < simWindow {
		buf := e.link.Next(e.p.now(), nil)
		if len(buf) == 0 {
			break
		}
		o.send(buf)
		if e.link.Bidden() {
			e.closed = true
			o.push(nil)
			return
		}
	}
	if o.size < simWindow {
		e.stuck = 0
	} else if e.stuck == 0 {
		e.stuck = w.now
	}
	switch {
	case e.stuck != 0 && w.now-e.stuck > simWrite:
		e.close("writing takes too long")
	case w.now-e.heard > simPatience:
		e.close("silence")
	default:
		wait := e.link.Deadline(e.p.now()).Sub(e.p.now())
		e.nudge(max(wait, ms))
	}
}

// send puts frames on their way to e.
func (e *simEnd) send(buf []byte) {
	for len(buf) > 0 {
		n := 4 + int(binary.BigEndian.Uint32(buf))
		e.push(buf[4:n])
		buf = buf[n:]
	}
}

func (e *simEnd) push(b []byte) {
	w := e.c.w
	d := w.delays[[2]int{e.other().p.host.number, e.p.host.number}]
	e.arrived = max(e.arrived, w.now+w.skewed(d.least, d.most))
	e.in = append(e.in, simFrame{e.arrived, b})
	e.size += len(b)
	e.move()
}

// move makes the event for the next frame unless a cable is cut.
func (e *simEnd) move() {
	if e.moving || len(e.in) == 0 {
		return
	}
	e.moving = true
	e.c.w.after(e.in[0].at-e.c.w.now, e.deliver)
}

func (e *simEnd) deliver() {
	w := e.c.w
	e.moving = false
	if len(e.in) == 0 || w.blocked[[2]int{e.other().p.host.number, e.p.host.number}] {
		return // healed calls move
	}
	f := e.in[0]
	e.in = e.in[1:]
	e.size -= len(f.b)
	e.move()
	if !e.p.alive && e.p.host.proc != e.p && e.p.host.proc.alive && f.b != nil {
		e.other().push(nil) // another process knows nothing of the connection
	}
	if e.closed || !e.p.alive {
		return
	}
	if f.b == nil {
		e.close("it was closed")
		return
	}
	e.heard = w.now
	e.receive(f.b)
	if o := e.other(); o.stuck != 0 {
		o.nudge(0)
	}
}

// receive is what the reader does with a frame.
func (e *simEnd) receive(b []byte) {
	err := e.link.Receive(e.p.now(), b)
	if err != nil {
		e.c.w.fail("", "%s does not take a frame from %s: %v", e.p.host.name, e.other().p.host.name, err)
		return
	}
	if e.link.Left() {
		e.p.sawBye(e.other().p.host.name)
		e.close("bye")
		return
	}
	e.p.met(e.other().p)
	if !e.ready && e.link.Ready() {
		e.ready = true
		e.p.cluster.Absent(e.p.now(), e.p.table.Holders())
		e.p.learned()
	}
	e.nudge(0)
}

// takenOver ends the part of a stream in whose place another came: what its
// reader has in its buffer is taken in beside the new one.
func (e *simEnd) takenOver() {
	n := min(e.c.w.rng.IntN(simZombies+1), len(e.in))
	late := slices.Clone(e.in[:n])
	e.close("a newer one took over")
	for _, f := range late {
		if f.b == nil {
			return
		}
		e.c.w.after(e.c.w.between(0, 20*ms), func() {
			if e.p.alive {
				_ = e.link.Receive(e.p.now(), f.b)
			}
		})
	}
}

// close ends this end; the other hears of it when the cable allows, after some
// of what is on its way, or all.
func (e *simEnd) close(why string) {
	if e.closed {
		return
	}
	w, o := e.c.w, e.other()
	e.closed = true
	w.trace("", "%s closes the connection with %s: %s", e.p.host.name, o.p.host.name, why)
	if w.chance(70) {
		o.cut()
	}
	o.push(nil)
	if e.p.streams[o.p.host.name] != e {
		return
	}
	delete(e.p.streams, o.p.host.name)
	if why == "bye" {
		return
	}
	for _, h := range w.hosts {
		if other := e.p.streams[h.name]; other != nil {
			other.link.Look(e.p.now())
			other.nudge(0)
		}
	}
}

// cut loses the tail of what is on its way.
func (e *simEnd) cut() {
	if len(e.in) == 0 {
		return
	}
	e.in = e.in[:e.c.w.rng.IntN(len(e.in)+1)]
	e.size = 0
	for _, f := range e.in {
		e.size += len(f.b)
	}
}

// crash breaks a connection under both ends.
func (c *simConn) crash() {
	for _, e := range c.ends {
		e.cut()
		e.push(nil)
	}
}

// block cuts a cable in one direction.
func (w *simWorld) block(from, to int) {
	w.blocked[[2]int{from, to}] = true
	w.trace("", "cable cut: %s to %s", w.hosts[from].name, w.hosts[to].name)
}

// heal mends it: what waited goes on.
func (w *simWorld) heal(from, to int) {
	if !w.blocked[[2]int{from, to}] {
		return
	}
	delete(w.blocked, [2]int{from, to})
	w.trace("", "cable mended: %s to %s", w.hosts[from].name, w.hosts[to].name)
	for _, c := range w.conns {
		for _, e := range c.ends {
			if e.p.host.number == to && e.other().p.host.number == from && len(e.in) > 0 {
				e.in[0].at = max(e.in[0].at, w.now+w.between(0, 400*ms))
				e.arrived = max(e.arrived, e.in[0].at)
				e.move()
			}
		}
	}
}

// forget drops the connections of which nothing is left.
func (w *simWorld) forget() {
	w.conns = slices.DeleteFunc(w.conns, func(c *simConn) bool {
		dead := func(e *simEnd) bool { return e.closed || !e.p.alive }
		return dead(c.ends[0]) && dead(c.ends[1])
	})
}
