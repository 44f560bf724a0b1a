package cluster_test

import (
	"strconv"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// beginFaults breaks something now and then, until endFaults.
func (w *simWorld) beginFaults() {
	every := time.Minute / time.Duration(w.plan.faults)
	var next func()
	next = func() {
		if w.ended {
			return
		}
		w.fault()
		w.forget()
		w.after(w.between(0, 2*every), next)
	}
	w.after(w.between(3*time.Second, 6*time.Second), next)
}

// fault is one thing that breaks, or one order.
func (w *simWorld) fault() {
	h := w.hosts[w.rng.IntN(len(w.hosts))]
	length := w.skewed(200*ms, 25*time.Second)
	if w.chance(25) {
		length = w.between(3*time.Second, 35*time.Second)
	}
	switch n := w.rng.IntN(100); {
	case n < 15: // a cable, in one direction or both
		o := w.hosts[w.rng.IntN(len(w.hosts))]
		if o != h {
			w.cut([][2]int{{h.number, o.number}}, w.chance(60), length)
		}
	case n < 27: // a partition
		w.partition(length)
	case n < 37:
		if len(w.conns) > 0 {
			w.trace("", "a connection breaks")
			w.conns[w.rng.IntN(len(w.conns))].crash()
		}
	case n < 52:
		w.restart(h)
	case n < 70:
		w.serverFault(length)
	default:
		if h.proc != nil && h.proc.alive && h.proc.serving {
			h.proc.order()
		}
	}
}

// cut cuts cables for a while.
func (w *simWorld) cut(cables [][2]int, both bool, length time.Duration) {
	for _, c := range cables {
		w.block(c[0], c[1])
		if both {
			w.block(c[1], c[0])
		}
	}
	w.after(length, func() {
		for _, c := range cables {
			w.heal(c[0], c[1])
			w.heal(c[1], c[0])
		}
	})
}

// partition cuts the peers in two.
func (w *simWorld) partition(length time.Duration) {
	side := w.rng.IntN(1<<len(w.hosts)-2) + 1
	var cables [][2]int
	for i := range w.hosts {
		for k := range w.hosts {
			if side>>i&1 == 1 && side>>k&1 == 0 {
				cables = append(cables, [2]int{i, k})
			}
		}
	}
	w.cut(cables, w.chance(85), length)
}

// restart ends the process of a host in one of the ways there are, and starts
// another.
func (w *simWorld) restart(h *simHost) {
	p := h.proc
	if p == nil || !p.alive || p.stopping {
		return
	}
	pause := w.skewed(300*ms, 30*time.Second)
	switch w.rng.IntN(3) {
	case 0:
		p.leave()
		pause += 4 * time.Second
	default:
		p.kill(w.chance(40), w.chance(60))
	}
	if w.chance(40) && w.lose(h) {
		return
	}
	w.after(pause+ms, h.ensure)
}

// lose has a host stay dead once its process has ended, if the plan says so.
func (w *simWorld) lose(h *simHost) bool {
	if !w.plan.lose || w.lost != nil || len(w.hosts) < 3 || w.ended {
		return false
	}
	w.lost = h
	w.trace("", "%s stays dead", h.name)
	return true
}

// ensure starts a process unless there is one.
func (h *simHost) ensure() {
	if h != h.w.lost && (h.proc == nil || !h.proc.alive) {
		h.start()
	}
}

// serverFault has a server fail, for all peers or for some.
func (w *simWorld) serverFault(length time.Duration) {
	server := serverName(w.rng.IntN(w.plan.servers))
	if w.chance(50) {
		w.up[server] = false
		w.trace("", "server %s fails", server)
		w.after(length, func() {
			w.up[server] = true
			w.trace("", "server %s works", server)
		})
		return
	}
	for _, h := range w.hosts {
		if w.chance(50) {
			key := [2]string{h.name, server}
			w.noRoute[key] = true
			w.trace("", "%s does not reach %s", h.name, server)
			w.after(length, func() {
				delete(w.noRoute, key)
				w.trace("", "%s reaches %s", h.name, server)
			})
		}
	}
}

// endFaults mends everything.
func (w *simWorld) endFaults() {
	w.ended = true
	w.trace("", "faults end")
	for i, h := range w.hosts {
		for k := range w.hosts {
			w.heal(i, k)
		}
		if p := h.proc; p != nil && p.alive && p.stopping {
			w.after(6*time.Second, h.ensure)
		}
		h.ensure()
	}
	for i := range w.plan.servers {
		w.up[serverName(i)] = true
	}
	clear(w.noRoute)
	w.after(9*time.Second, w.allReady) // later than any order before, by every clock
}
