package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// claimSim is some processes that share limits, on a network that delays,
// loses and mixes up messages as a seeded generator says. Owned by the
// goroutine of its test.
type claimSim struct {
	t      *testing.T
	rng    *rand.Rand
	now    time.Time
	limits map[string]int64
	procs  map[string]*claimProc
	air    []claimPacket
	later  []claimEvent
	delay  time.Duration // of a message, at most
	loss   int           // per cent
	runs   uint64
	cut    map[string]bool // one side of a cut, nil for none
	shaky  time.Time       // until then the sums need not hold: peers meet again
	over   int64           // by how much a sum may pass its limit: sessions of one that was found dead
	paused map[string]bool // those that do not run
}

type claimPacket struct {
	at       time.Time
	from, to string
	run      uint64 // of the process that sent it
	blob     []byte
}

type claimEvent struct {
	at  time.Time
	run func()
}

// claimProc is a process.
type claimProc struct {
	name    string
	run     uint64
	claims  *Claims
	alive   []string
	servers map[string]*claimServer
	stepAt  time.Time
	soon    bool
	wake    bool
}

// claimServer is a server's limits at a process.
type claimServer struct {
	sim  *claimSim
	name string
	here [claimKinds]int64
	used [claimKinds]int64
	wait int64
	want int64 // sessions that its clients would like to have

	limit int64 // of this process alone, 0 is what all have
}

func (s *claimServer) Need(_ time.Time, kind ClaimKind) Need {
	n := Need{Here: s.here[kind], Used: s.used[kind], Waiting: s.wait}
	if kind == ClaimConn {
		n.Limit = cmp.Or(s.limit, s.sim.limits[s.name])
	}
	return n
}

func (s *claimServer) Allow(_ time.Time, kind ClaimKind, n int64) int64 {
	s.here[kind] = n
	return s.used[kind]
}

// serve lets in who waits, and lets some leave.
func (s *claimServer) serve(leave int64) {
	used := &s.used[ClaimConn]
	*used -= min(*used, leave)
	*used -= max(0, min(*used-s.want, 3))
	*used += max(0, min(s.want, s.here[ClaimConn])-*used)
	s.wait = max(0, s.want-*used)
}

func newClaimSim(t *testing.T, seed uint64, peers int, limits map[string]int64) *claimSim {
	t.Helper()
	w := &claimSim{
		t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: start, limits: limits, procs: map[string]*claimProc{},
		delay: 20 * time.Millisecond,
	}
	for i := range peers {
		w.boot(fmt.Sprint("lb", i+1))
	}
	return w
}

// boot starts a process, which knows who is there; the others hear of it soon.
func (w *claimSim) boot(name string) *claimProc {
	w.runs++
	p := &claimProc{name: name, run: w.runs, claims: NewClaims(name, w.runs), servers: map[string]*claimServer{}}
	list := map[string]Limited{}
	for server := range w.limits {
		p.servers[server] = &claimServer{sim: w, name: server}
		list[server] = p.servers[server]
	}
	p.claims.SetServers(list)
	w.procs[name] = p
	p.alive = slices.DeleteFunc(slices.Collect(maps.Keys(w.procs)), func(n string) bool { return !w.together(n, name) })
	p.claims.SetPeers(w.now, p.alive)
	w.tell(name, true)
	return p
}

// tell has all others hear that a process came or went.
func (w *claimSim) tell(name string, alive bool) {
	most := 1500 // ms
	if !alive {
		most = 3000
	}
	for _, p := range w.procs {
		if p.name == name || !w.together(p.name, name) {
			continue
		}
		run := p.run
		w.later = append(w.later, claimEvent{w.now.Add(time.Duration(w.rng.IntN(most)) * time.Millisecond), func() {
			q := w.procs[p.name]
			if q == nil || q.run != run || alive != (w.procs[name] != nil && w.together(p.name, name)) {
				return
			}
			q.sees(w.now, name, alive)
		}})
	}
}

func (p *claimProc) sees(now time.Time, name string, alive bool) {
	p.alive = slices.DeleteFunc(p.alive, func(n string) bool { return n == name })
	if alive {
		p.alive = append(p.alive, name)
	}
	p.claims.SetPeers(now, p.alive)
	p.wake = true
}

func (w *claimSim) together(a, b string) bool { return w.cut[a] == w.cut[b] }

// kill ends a process and its sessions.
func (w *claimSim) kill(name string) {
	delete(w.procs, name)
	w.tell(name, false)
}

// breakStream loses some of what is under way between two peers; the rest comes
// later, behind what a new stream brings.
func (w *claimSim) breakStream(a, b string) {
	w.air = slices.DeleteFunc(w.air, func(m claimPacket) bool {
		return (m.from == a && m.to == b || m.from == b && m.to == a) && w.rng.IntN(2) == 0
	})
	for _, pair := range [2][2]string{{a, b}, {b, a}} {
		if p := w.procs[pair[0]]; p != nil {
			p.claims.Connected(pair[1])
			p.wake = true
		}
	}
}

// run lets time pass in steps of 10 ms.
func (w *claimSim) run(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end) && !w.t.Failed(); {
		w.now = w.now.Add(10 * time.Millisecond)
		w.events()
		w.deliver()
		for _, name := range slices.Sorted(maps.Keys(w.procs)) {
			w.step(w.procs[name])
		}
		w.check()
	}
}

func (w *claimSim) events() {
	due := w.later
	w.later = nil
	for _, e := range due {
		if e.at.After(w.now) {
			w.later = append(w.later, e)
		} else {
			e.run()
		}
	}
}

func (w *claimSim) deliver() {
	var rest, due []claimPacket
	for _, m := range w.air {
		if m.at.After(w.now) {
			rest = append(rest, m)
		} else {
			due = append(due, m)
		}
	}
	w.air = rest
	w.rng.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for _, m := range due {
		if p := w.procs[m.to]; p != nil && w.together(m.from, m.to) && !w.paused[m.to] {
			if err := p.claims.Receive(w.now, m.from, m.blob); err != nil {
				w.t.Fatalf("%s from %s: %v", m.to, m.from, err)
			}
			p.wake = true
		}
	}
}

func (w *claimSim) step(p *claimProc) {
	if w.paused[p.name] {
		return
	}
	for _, s := range p.servers {
		waited := s.wait
		s.serve(int64(w.rng.IntN(2)))
		p.wake = p.wake || s.wait > 0 && waited == 0
	}
	since := w.now.Sub(p.stepAt)
	if since < ClaimPace || !p.wake && !p.soon && since < ClaimRest {
		return
	}
	p.stepAt, p.wake = w.now, false
	p.soon = p.claims.Step(w.now)
	for _, m := range p.claims.Messages(w.now) {
		if len(m.Blob) > 64<<10 {
			w.t.Fatalf("message of %d bytes", len(m.Blob))
		}
		heard := w.procs[m.To] != nil && w.procs[m.To].claims.peers[p.name] != nil && !w.procs[m.To].claims.peers[p.name].heard.IsZero()
		if w.rng.IntN(100) >= w.loss || !heard { // else it would be taken for mute
			at := w.now.Add(time.Duration(w.rng.Int64N(int64(w.delay))))
			w.air = append(w.air, claimPacket{at, p.name, m.To, p.run, m.Blob})
		}
	}
}

// sum is what all processes may have of a limit now.
func (w *claimSim) sum(server string) (n int64) {
	for _, p := range w.procs {
		s := p.servers[server]
		n += max(s.here[ClaimConn], s.used[ClaimConn])
	}
	return n
}

// check is the law.
func (w *claimSim) check() {
	w.t.Helper()
	if w.now.Before(w.shaky) {
		return
	}
	for server, limit := range w.limits {
		if n := w.sum(server); n > limit+w.over {
			w.t.Fatalf("%v: the claims on %s are %d together, at most %d: %s", w.now.Sub(start), server, n, limit+w.over, w.tells(server))
		}
	}
}

func (w *claimSim) tells(server string) (text string) {
	for _, name := range slices.Sorted(maps.Keys(w.procs)) {
		p := w.procs[name]
		s := p.servers[server]
		text += fmt.Sprintf("%s(%v) has %d, uses %d of %d; ", name, p.alive, s.here[ClaimConn], s.used[ClaimConn], s.want)
	}
	return text
}

// want sets how many sessions each process would like to have.
func (w *claimSim) want(server string, wants ...int64) {
	for i, n := range wants {
		w.procs[fmt.Sprint("lb", i+1)].servers[server].want = n
	}
}

func (w *claimSim) here(server string) (list []int64) {
	for _, name := range slices.Sorted(maps.Keys(w.procs)) {
		list = append(list, w.procs[name].servers[server].here[ClaimConn])
	}
	return list
}
