// Package cluster is what the peers decide together: operators' orders, the
// verdict on a server's health from the votes of all, moves of users from one
// server to another, and whether this side of a cut may move anybody.
//
// All of it is kept as facts, a small map that is replicated between the peers
// and in which the newest fact of a key wins. A Cluster is a State of package
// peers, which ships it; neither knows the other.
//
// A move of a user, as each peer sees it:
//
//	Move ─▶ hold: logins wait, sessions are ended, then gone/ID/PEER is said
//	          │ all who are alive are gone, or the deadline passed
//	          ▼
//	        Before (a hook), then Assign, where it began ─▶ done: assigned, logins go on
//
//	hold ─ frozen, no stamp, or started anew where it began ─▶ done: given up
//	hold ─ the fact of another move of the user is newer ─▶ that one's hold or done
//	hold ─ deadline and 5 s passed, nothing heard ─▶ logins go on
//
// It is memory and arithmetic only. It reads no clock (now is a parameter),
// opens no file, starts no goroutine and sends nothing: its owner calls Tick,
// Save and Load, and carries out the Effects.
package cluster

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Errors a caller may branch on.
var (
	ErrFull     = errors.New("cluster: too many facts")
	ErrName     = errors.New("cluster: name is empty or too long")
	ErrKey      = errors.New("cluster: key or value is too long")
	ErrFrozen   = errors.New("cluster: frozen")
	ErrMoving   = errors.New("cluster: a move of this user is under way")
	ErrMoves    = errors.New("cluster: too many moves under way")
	ErrTimeout  = errors.New("cluster: the table did not answer in time")
	ErrNoFlush  = errors.New("cluster: no flush of this server is under way")
	ErrReplaced = errors.New("cluster: another move of this user won")
)

// sweepEvery is how often expired facts are looked for, and tickEvery how
// often Tick wants to be called at least, as other calls set deadlines too.
const (
	sweepEvery = 10 * time.Second
	tickEvery  = time.Second
)

// A Cluster is shared: any goroutine may call any method.
type Cluster struct {
	// Immutable after New.
	self    string
	effects Effects
	begun   uint64 // a time of the clock: what was said before is no news here

	held   atomic.Pointer[map[moveKey]struct{}] // keys of holds: replaced, never written to
	pinMap atomic.Pointer[map[moveKey]string]   // servers of pins: replaced, never written to

	mu       sync.Mutex // guards the fields below; nothing of others is called under it
	cfg      Config
	facts    *store
	events   events
	members  members
	health   verdicts
	holds    map[moveKey]*hold
	own      map[string]*ownMove  // moves begun here, by id
	pins     map[moveKey]*fact    // of users that are pinned
	flushes  map[target]flushNews // servers that have a fact of a flush
	servers  map[target]struct{}  // those in this peer's file
	down     map[string]time.Time // dead peers whose grace runs, since when
	counters Counters
	tooEarly map[string]bool // peers whose facts are refused, as their clock is ahead
	astray   map[string]bool // peers whose clock was told to be far off
	noRoom   time.Time       // when making room failed last
	forgot   uint64          // time of the newest fact that went for lack of room
	sweepAt  time.Time
	latest   int64 // ms since 1970 of the last Tick
	orders   uint64
	heldOld  bool // held is not what holds are
	pinsOld  bool // pinMap is not what pins are
	grown    bool // the journal has, and nobody was told
	watchers []func()
	queue    []func() // effects to come
	running  bool     // a goroutine runs effects
}

// Counters tells how the facts do.
type Counters struct {
	Facts   int   // held now
	Ahead   int64 // refused, as their time is too far ahead
	Dropped int64 // not taken from a peer, or put out, for lack of room
}

// New returns a cluster of one: self, whose name has 1 to MaxName bytes. The
// effects are called from the first call of another method on.
func New(now time.Time, self string, cfg Config, effects Effects) (*Cluster, error) {
	if !validName(self) {
		return nil, fmt.Errorf("%w: of this peer", ErrName)
	}
	c := &Cluster{
		self: self, effects: effects, begun: wall(now), cfg: cfg,
		facts:    newStore(now, self),
		members:  members{alive: []string{self}, known: []string{self}},
		health:   newVerdicts(),
		holds:    map[moveKey]*hold{},
		own:      map[string]*ownMove{},
		pins:     map[moveKey]*fact{},
		flushes:  map[target]flushNews{},
		down:     map[string]time.Time{},
		tooEarly: map[string]bool{},
		astray:   map[string]bool{},
		sweepAt:  now.Add(sweepEvery),
	}
	return c, nil
}

// SetConfig takes another configuration, for what begins from now on.
func (c *Cluster) SetConfig(now time.Time, cfg Config) {
	c.mu.Lock()
	defer c.unlock()
	c.cfg = cfg
	c.membersChanged(now)
}

// Self is the name of this peer.
func (c *Cluster) Self() string { return c.self }

// Counters are the numbers as they are now.
func (c *Cluster) Counters() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	counters := c.counters
	counters.Facts = len(c.facts.byKey)
	return counters
}

// Tick does what has become due, and returns when it wants to be called
// again, a second from now at the latest.
func (c *Cluster) Tick(now time.Time) (next time.Time) {
	c.mu.Lock()
	defer c.unlock()
	c.watchClock(now)
	if !now.Before(c.sweepAt) {
		c.keepOrders(now)
		c.sweep(now)
		c.refreshVotes(now)
		c.sweepAt = now.Add(sweepEvery)
	}
	next = now.Add(tickEvery)
	for _, due := range [...]time.Time{c.tickMoves(now), c.tickPeers(now), c.tickVotes(now), c.tickFlushes(now)} {
		if !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next
}

// unlock ends a method that may have changed something: Held and the watchers
// are told, and the effects are run unless another goroutine does it already.
func (c *Cluster) unlock() {
	var watchers []func()
	if c.grown {
		watchers, c.grown = c.watchers, false
	}
	if c.heldOld {
		c.publish()
	}
	if c.pinsOld {
		c.publishPins()
	}
	run := !c.running && len(c.queue) > 0
	c.running = c.running || run
	c.mu.Unlock()
	for _, wake := range watchers {
		wake()
	}
	if run {
		c.runEffects()
	}
}

// runEffects runs what is in the queue until it is empty, so that effects are
// in order although many goroutines cause them.
func (c *Cluster) runEffects() {
	for {
		c.mu.Lock()
		batch := c.queue
		c.queue = nil
		c.running = len(batch) > 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, run := range batch {
			run()
		}
	}
}

// later queues an effect. mu is held now, not when it runs.
func (c *Cluster) later(effect func()) { c.queue = append(c.queue, effect) }
