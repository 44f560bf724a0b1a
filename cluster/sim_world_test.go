package cluster_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// simEpoch is the true time at which each simulation begins.
var simEpoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	ms        = time.Millisecond
	faultMark = "FAULT: " // begins the lines of a trace that tell of a broken invariant
)

// simWorld is several peers, their servers, users and network, on one virtual clock. It
// is owned by the goroutine of its run: nothing in it runs beside anything
// else, and the same seed gives the same run.
type simWorld struct {
	seed  uint64
	rng   *rand.Rand
	plan  simPlan
	now   time.Duration // true time since simEpoch
	queue simQueue
	count uint64 // events ever made: the order of those of one moment

	hosts   []*simHost
	up      map[string]bool          // servers by name: whether they work at all
	noRoute map[[2]string]bool       // peer and server: that peer does not reach it
	blocked map[[2]int]bool          // from and to: no packet gets through
	delays  map[[2]int]simDelay      // from and to
	conns   []*simConn               // that have an open end
	since   map[string]time.Duration // when a user's sessions were first seen astray, by peer and user
	lost    *simHost                 // a host that stays dead, nil for none
	ended   bool                     // faults are over
	stopped bool                     // no client begins a login any more
	pending int                      // logins that have begun and not ended
	logins  int                      // that have been accepted
	faults  []string                 // invariants broken
	traced  bool                     // lines are kept
	lines   []simLine
}

// simLine is one line of the trace.
type simLine struct {
	at   time.Duration
	user string // "" concerns all
	text string
}

// simPlan is what the seed has chosen for a run.
type simPlan struct {
	peers, servers, clients, users int
	run                            time.Duration // with faults
	balance                        string
	onMinority, tieBreaker         string
	grace                          time.Duration
	expire                         time.Duration
	chaos                          bool // blobs come twice, late, and by third peers
	overruns                       bool // journals are lost now and then
	faults                         int  // in a minute, about
	slowest                        time.Duration
	spread                         time.Duration // over which the sessions of a server that goes down are ended
	calm                           bool          // nothing breaks
	lose                           bool          // one host stays dead
}

// simEvent is something that happens at a time.
type simEvent struct {
	at    time.Duration
	count uint64
	run   func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].count < q[j].count
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = simEvent{}
	*q = old[:len(old)-1]
	return e
}

// after has run called once d has passed.
func (w *simWorld) after(d time.Duration, run func()) {
	w.count++
	heap.Push(&w.queue, simEvent{w.now + max(d, 0), w.count, run})
}

// until runs events up to a time, or to the first fault.
func (w *simWorld) until(end time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= end && len(w.faults) == 0 {
		e := heap.Pop(&w.queue).(simEvent)
		w.now = e.at
		e.run()
	}
	w.now = max(w.now, end)
}

// between is a random duration, uniform.
func (w *simWorld) between(a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(w.rng.Int64N(int64(b-a)))
}

// skewed is a random duration, mostly near a.
func (w *simWorld) skewed(a, b time.Duration) time.Duration {
	f := w.rng.Float64()
	return a + time.Duration(f*f*f*float64(b-a))
}

// chance is true in percent of the cases.
func (w *simWorld) chance(percent float64) bool { return w.rng.Float64()*100 < percent }

func (w *simWorld) fail(user, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.faults = append(w.faults, fmt.Sprintf("at %v: %s", w.now, text))
	w.trace(user, faultMark+"%s", text)
}

// trace notes what happens to a user, or to all.
func (w *simWorld) trace(user, format string, args ...any) {
	if w.traced {
		w.lines = append(w.lines, simLine{w.now, user, fmt.Sprintf(format, args...)})
	}
}

// story is what happened to those users, and around them.
func (w *simWorld) story(users []string) string {
	var b strings.Builder
	for _, l := range w.lines {
		if l.user == "" || slices.Contains(users, l.user) {
			fmt.Fprintf(&b, "%12s  %-6s %s\n", l.at.Truncate(10*time.Microsecond), l.user, l.text)
		}
	}
	return b.String()
}

// newPlan draws what a run is like; big ones are rare.
func newPlan(rng *rand.Rand, big bool) simPlan {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	p := simPlan{
		peers: 2 + rng.IntN(2), servers: 2 + rng.IntN(3), clients: 12 + rng.IntN(20), run: time.Duration(15+rng.IntN(35)) * time.Second,
		balance: pick("hash", "roundrobin"), onMinority: pick("freeze", "freeze", "serve"), tieBreaker: pick("", "a", "serve"),
		grace: time.Duration(5+rng.IntN(15)) * time.Second, expire: time.Hour,
		chaos: rng.IntN(4) == 0, overruns: rng.IntN(4) == 0, faults: 6 + rng.IntN(30),
		spread: []time.Duration{0, time.Second, 10 * time.Second}[rng.IntN(3)],
		calm:   rng.IntN(20) == 0, lose: rng.IntN(5) == 0,
		slowest: []time.Duration{2 * ms, 30 * ms, 250 * ms}[rng.IntN(3)],
	}
	if rng.IntN(10) == 0 {
		p.peers = 4 + rng.IntN(2)
	}
	if rng.IntN(8) == 0 {
		p.expire = time.Duration(5+rng.IntN(20)) * time.Second
	}
	if big {
		p.peers, p.clients = 3+rng.IntN(5), 200+rng.IntN(1000)
		p.run = time.Duration(60+rng.IntN(140)) * time.Second
		p.servers = 2 + rng.IntN(9)
	}
	if p.calm {
		p.chaos, p.overruns, p.lose = false, false, false
	}
	p.users = max(4, p.clients/(2+rng.IntN(3)))
	return p
}

func newWorld(seed uint64, big, traced bool) *simWorld {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	w := &simWorld{
		seed: seed, rng: rng, plan: newPlan(rng, big), traced: traced,
		up: map[string]bool{}, noRoute: map[[2]string]bool{}, blocked: map[[2]int]bool{},
		delays: map[[2]int]simDelay{}, since: map[string]time.Duration{},
	}
	for i := range w.plan.servers {
		w.up[serverName(i)] = true
	}
	for i := range w.plan.peers {
		w.hosts = append(w.hosts, &simHost{
			w: w, number: i, name: string(rune('a' + i)),
			offset: w.between(-4*time.Second, 4*time.Second), drift: (rng.Float64() - 0.5) * 200e-6,
		})
	}
	w.layCables()
	w.trace("", "seed %d: %+v", seed, w.plan)
	return w
}

func serverName(i int) string { return fmt.Sprintf("s%d", i+1) }

// run is a whole simulation: peers start, users come and go while things
// break, then nothing breaks and at last nobody comes.
func (w *simWorld) run() {
	for _, h := range w.hosts {
		w.after(w.skewed(0, 3*time.Second), h.start)
	}
	w.beginClients()
	if !w.plan.calm {
		w.beginFaults()
	}
	w.watchMembers()
	w.watchUsers()
	w.until(w.plan.run)
	w.endFaults()
	w.until(w.now + 5*time.Second)
	w.stopped = true
	w.trace("", "nobody logs in any more")
	w.until(w.now + settled)
	if len(w.faults) == 0 {
		w.checkSettled()
	}
	w.until(w.now + quiescence - settled)
	if len(w.faults) == 0 {
		w.checkAll()
	}
}

// settled is how long it takes until all are connected again and have told each
// other what was missed, whatever a comparison of digests finds later; a host
// that stays dead is given up by then.
const settled = 20 * time.Second

// quiescence is how long it takes until the peers agree at the latest: two
// comparisons of digests and what comes of them.
const quiescence = 90 * time.Second
