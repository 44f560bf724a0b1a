package cluster_test

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/peers"
	"imaplb/sticktable"
)

const (
	simTable    = "users"
	simBackend  = "mail"
	syncTimeout = 5 * time.Second
)

// simHost is a machine: its clock, its disk, and the process on it. Owned by
// its world.
type simHost struct {
	w      *simWorld
	number int
	name   string
	offset time.Duration // of its clock
	drift  float64       // of its clock
	table  []byte        // saved
	orders []byte        // saved
	proc   *simProc      // the newest, nil before the first
}

// simProc is a process, joined as cmd/imaplb joins it: it is the Effects of its
// cluster. Owned by its host.
type simProc struct {
	host        *simHost
	alive       bool
	leaving     bool
	stopping    bool // takes no login any more
	serving     bool
	incarnation uint64
	states      []peers.State
	table       *sticktable.Table
	cluster     *cluster.Cluster
	backend     *balancer.Backend
	remotes     map[string]*peers.Remote
	streams     map[string]*simEnd
	members     map[string]*simMember
	sessions    map[string][]*simLogin // by user
	moves       []simMoving
	born        time.Duration
	flushes     map[string]*simFlush // by server
	told        map[string]uint64    // stamps of moves told by others, by user
}

// simMoving is a user whose sessions are being ended for a move.
type simMoving struct{ table, key, except string }

// now is the wall clock of a host.
func (h *simHost) now() time.Time {
	return simEpoch.Add(h.w.now + h.offset + time.Duration(float64(h.w.now)*h.drift))
}

func (p *simProc) now() time.Time { return p.host.now() }

// start starts a process on what the disk has.
func (h *simHost) start() {
	w := h.w
	p := &simProc{
		host: h, alive: true, born: w.now, told: map[string]uint64{}, flushes: map[string]*simFlush{}, remotes: map[string]*peers.Remote{}, streams: map[string]*simEnd{},
		members: map[string]*simMember{}, sessions: map[string][]*simLogin{},
	}
	now := p.now()
	p.incarnation = uint64(now.UnixNano())
	p.table = sticktable.New(simTable, sticktable.Config{Key: "user", Size: 100_000, Expire: w.plan.expire}, h.name)
	var err error
	p.cluster, err = cluster.New(now, h.name, cluster.Config{
		OnMinority: w.plan.onMinority, TieBreaker: w.plan.tieBreaker, PeerGrace: w.plan.grace, MoveTimeout: 4 * time.Second,
	}, p)
	if err == nil && h.orders != nil {
		err = p.cluster.Load(now, h.orders)
	}
	if err == nil && h.table != nil {
		_, err = p.table.Load(now, bytes.NewReader(h.table))
	}
	if err != nil {
		w.fail("", "%s does not start: %v", h.name, err)
		return
	}
	p.table.Replicate(now)
	p.table.OnMoved(func(key, from, to string) {
		w.trace(key, "%s hears of a move from %s to %s", h.name, from, to)
		p.closeMoved(key, to)
	})
	p.backend = balancer.NewBackend(now, simBackend, 1, p.setup())
	h.proc = p
	p.applyOrders()
	p.join()
	w.trace("", "%s starts, %d entries from the disk", h.name, p.table.Len())
}

func (p *simProc) setup() balancer.Setup {
	s := balancer.Setup{
		Config: balancer.Config{Balance: p.host.w.plan.balance, StickTable: simTable, Retries: 1}, Table: p.table,
		OnChange: p.serverChanged,
		Frozen:   func() bool { _, frozen := p.cluster.Frozen(); return frozen },
		Pinned:   func(key string) string { return p.cluster.Pinned(simTable, key) },
	}
	for i := range p.host.w.plan.servers {
		s.Servers = append(s.Servers, balancer.ServerSpec{Name: serverName(i), Config: balancer.DefaultServerConfig()})
	}
	return s
}

// join is startMesh and what runs beside.
func (p *simProc) join() {
	w := p.host.w
	for _, h := range w.hosts {
		if h != p.host {
			p.members[h.name] = &simMember{}
		}
	}
	p.states = []peers.State{&simState{State: p.cluster, p: p}, &simState{State: p.table, p: p}}
	for _, s := range p.states {
		s.Watch(p.wake)
	}
	p.keepCluster()
	p.keepTable()
	for i := range w.plan.servers {
		p.check(serverName(i))
	}
	w.after(time.Second, func() { // learnAlone
		if !slices.ContainsFunc(w.hosts, func(h *simHost) bool { return h != p.host && p.members[h.name].state == "alive" }) {
			p.serve("alone")
		}
	})
	w.after(syncTimeout, func() { p.serve("without having learned") })
}

// learned looks whether the process knows what a peer knows.
func (p *simProc) learned() {
	for _, e := range p.streams {
		if e.ready {
			p.serve("having learned")
			return
		}
	}
}

func (p *simProc) serve(how string) {
	if p.alive && !p.serving && !p.stopping {
		p.serving = true
		p.host.w.trace("", "%s serves, %s", p.host.name, how)
	}
}

// wake has all writers look at the states.
func (p *simProc) wake() {
	for _, h := range p.host.w.hosts {
		if e := p.streams[h.name]; e != nil {
			e.nudge(0)
		}
	}
}

func (p *simProc) remote(name string) *peers.Remote {
	r := p.remotes[name]
	if r == nil {
		r = peers.NewRemote(name)
		p.remotes[name] = r
	}
	return r
}

// keepCluster does what is due.
func (p *simProc) keepCluster() {
	if !p.alive {
		return
	}
	p.lookAtMoves()
	next := p.cluster.Tick(p.now()).Sub(p.now())
	if len(p.moves) > 0 {
		next = min(next, 20*ms)
	}
	p.host.w.after(max(next, ms), p.keepCluster)
}

// keepTable sweeps and saves.
func (p *simProc) keepTable() {
	if !p.alive {
		return
	}
	p.table.Sweep(p.now(), 1000)
	if p.host.w.chance(3) {
		p.save()
	}
	p.host.w.after(500*ms, p.keepTable)
}

func (p *simProc) save() {
	var b bytes.Buffer
	if err := p.table.Save(p.now(), &b); err != nil {
		p.host.w.fail("", "%s does not save: %v", p.host.name, err)
	}
	p.host.table, p.host.orders = b.Bytes(), p.cluster.Save()
}

// kill ends a process without a word; its kernel may close its connections.
func (p *simProc) kill(silent, disk bool) {
	w := p.host.w
	w.trace("", "%s is killed (without a sound %t, disk kept %t)", p.host.name, silent, disk)
	p.alive, p.serving = false, false
	for _, h := range w.hosts {
		if e := p.streams[h.name]; e != nil && !silent {
			e.other().cut()
			e.other().push(nil)
		}
	}
	if !disk {
		p.host.table, p.host.orders = nil, nil
	}
	p.dropSessions()
}

// leave ends it in order: sessions first, then it says bye.
func (p *simProc) leave() {
	w := p.host.w
	w.trace("", "%s stops", p.host.name)
	p.serving, p.stopping = false, true
	for _, list := range p.sortedSessions() {
		for _, l := range list {
			l.close(w.between(0, 500*ms))
		}
	}
	w.after(3*time.Second, func() {
		if !p.alive {
			return
		}
		p.leaving = true
		for _, h := range w.hosts {
			if e := p.streams[h.name]; e != nil {
				e.link.Bye()
				e.nudge(0)
			}
		}
	})
	w.after(4*time.Second, func() {
		if p.alive {
			p.save()
			p.kill(false, true)
		}
	})
}

// simState is a state that a peer has, on a bad day.
type simState struct {
	peers.State
	p *simProc
}

// Pull forgets the journal now and then: an overrun.
func (s *simState) Pull(dst []byte, pos uint64, limit int) ([]byte, uint64, bool) {
	w := s.p.host.w
	if w.plan.overruns && !w.ended && w.chance(0.5) {
		return dst, pos, false
	}
	return s.State.Pull(dst, pos, limit)
}

// Merge takes a blob, and has it come again, there or somewhere else.
func (s *simState) Merge(now time.Time, from string, b []byte) (int, error) {
	w := s.p.host.w
	if w.plan.chaos && !w.ended && w.chance(10) {
		again, to := bytes.Clone(b), w.hosts[w.rng.IntN(len(w.hosts))]
		w.after(w.skewed(0, 15*time.Second), func() {
			if to.proc == nil || !to.proc.alive || to.name == from || w.host(from) == w.lost {
				return // of one that stays dead nobody would hear that it is
			}
			for _, other := range to.proc.states {
				if other.Name() == s.Name() {
					_, _ = other.(*simState).State.Merge(to.now(), from, again)
				}
			}
		})
	}
	n, err := s.State.Merge(now, from, b)
	if err != nil {
		return n, fmt.Errorf("simulation: %w", err)
	}
	return n, nil
}
