package cluster_test

import (
	"slices"
	"time"
)

// Who is there, as memberlist finds it: one that cannot be reached, not even
// by way of a third, is dead after two or three seconds, and alive again some
// time after it can be reached.

const (
	membersEvery = 250 * ms
	leftPause    = 5 * time.Second
)

// simMember is what a process thinks of another. Owned by its process.
type simMember struct {
	state   string        // "", "alive", "dead", "left"
	since   time.Duration // of the state
	changed time.Duration // since when the network says otherwise, 0 for not
	patient time.Duration // how long that is not believed
	gone    uint64        // the incarnation that was found gone
	dialing bool
}

// watchMembers looks at all pairs for ever.
func (w *simWorld) watchMembers() {
	for _, h := range w.hosts {
		for _, other := range w.hosts {
			if h != other && h.proc != nil && h.proc.alive {
				h.proc.look(other)
			}
		}
	}
	w.after(membersEvery, w.watchMembers)
}

// reaches reports whether two hosts hear of each other, maybe by way of a third.
func (w *simWorld) reaches(a, b *simHost) bool {
	if b.proc == nil || !b.proc.alive || b.proc.leaving {
		return false
	}
	return w.open(a.number, b.number) || slices.ContainsFunc(w.hosts, func(c *simHost) bool {
		return c != a && c != b && c.proc != nil && c.proc.alive && w.open(a.number, c.number) && w.open(c.number, b.number)
	})
}

// look compares what a process thinks of a host with what the network says.
func (p *simProc) look(other *simHost) {
	w, m := p.host.w, p.members[other.name]
	alive := w.reaches(p.host, other)
	if alive == (m.state == "alive") {
		m.changed = 0
		return
	}
	if m.state == "left" && w.now-m.since < leftPause || !alive && m.state != "alive" {
		return
	}
	if m.changed == 0 {
		m.changed, m.patient = w.now, w.between(2*time.Second, 3500*ms)
		if alive {
			m.patient = w.skewed(0, 2500*ms)
		}
	}
	if w.now-m.changed < m.patient {
		return
	}
	if alive {
		p.sawAlive(other.name)
	} else {
		p.sawDead(other.name)
	}
}

func (p *simProc) sawAlive(name string) {
	p.setMember(name, "alive")
	p.cluster.PeerUp(p.now(), name)
	p.tellMembers()
	if m := p.members[name]; p.host.name < name && !m.dialing {
		m.dialing = true
		p.dial(name, 50*ms)
	}
	p.learned() // nobody is alone any more
}

// met is for a process that has said hello: it counts as alive before membership
// lists it, but not if it was found gone.
func (p *simProc) met(other *simProc) {
	name, heard := other.host.name, p.remote(other.host.name).Info().Incarnation
	if m := p.members[name]; m.state != "alive" && heard == other.incarnation && heard != m.gone {
		p.sawAlive(name)
	}
}

func (p *simProc) sawDead(name string) {
	p.setMember(name, "dead")
	p.members[name].gone = p.remote(name).Info().Incarnation
	p.cluster.PeerDown(p.now(), name)
	p.tellMembers()
	if e := p.streams[name]; e != nil {
		e.close("it is dead")
	}
}

// sawBye is for a peer that leaves in order.
func (p *simProc) sawBye(name string) {
	if p.members[name].state != "alive" {
		return
	}
	p.setMember(name, "left")
	p.members[name].gone = p.remote(name).Info().Incarnation
	p.cluster.PeerLeft(p.now(), name)
	p.tellMembers()
}

func (p *simProc) setMember(name, state string) {
	w, m := p.host.w, p.members[name]
	m.state, m.since, m.changed = state, w.now, 0
	w.trace("", "%s sees %s %s", p.host.name, name, state)
}

// tellMembers is what the node does behind each event.
func (p *simProc) tellMembers() {
	alive, known := []string{p.host.name}, []string{p.host.name}
	for _, h := range p.host.w.hosts {
		switch m := p.members[h.name]; {
		case m == nil:
		case m.state == "alive":
			alive, known = append(alive, h.name), append(known, h.name)
		case m.state == "dead":
			known = append(known, h.name)
		}
	}
	p.cluster.SetMembers(p.now(), alive, known)
}

// dial connects to a peer while it is a member and there is no stream.
func (p *simProc) dial(name string, pause time.Duration) {
	w, m := p.host.w, p.members[name]
	if !p.alive || p.leaving || m.state != "alive" {
		m.dialing = false
		return
	}
	other := w.host(name)
	if p.streams[name] == nil && w.open(p.host.number, other.number) && other.proc != nil && other.proc.alive && !other.proc.leaving {
		acceptor := other.proc
		w.after(3*w.delays[[2]int{p.host.number, other.number}].most, func() {
			if p.alive && acceptor.alive && !p.leaving && !acceptor.leaving && p.streams[name] == nil && w.open(p.host.number, other.number) {
				w.connect(p, acceptor)
			}
		})
	}
	w.after(w.between(pause/2, pause)+3*w.plan.slowest, func() { p.dial(name, min(2*pause, 2*time.Second)) })
}

func (w *simWorld) host(name string) *simHost { return w.hosts[name[0]-'a'] }
