package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/stats"
	"imaplb/sticktable"
)

const (
	maxFlushes = 16              // carried by this peer at once
	flushSay   = 2 * time.Second // how often the others are told
	flushRetry = time.Second     // before what could not be done is tried again
	flushStop  = 3 * time.Second // for moves under way, when this process stops
)

// A flush moves the users of a draining server elsewhere, a few at a time. It
// is owned by its goroutine but for what mu guards.
type flush struct {
	// Fixed at start.
	n        *node
	order    stats.Order
	backend  string
	server   *balancer.Server
	table    *sticktable.Table
	parallel int
	since    time.Time
	slots    chan struct{} // one for each move under way
	stop     chan struct{} // closed by end
	tell     *time.Ticker

	once sync.Once
	note string   // why it was ended; read behind stop
	how  flushEnd // the same

	mu            sync.Mutex // guards the fields below
	moved, failed int
	left, pinned  int
	waits         string // why it does not go on
}

// flushes are those this peer carries. Shared.
type flushes struct {
	mu      sync.Mutex // guards list and closed
	list    map[*balancer.Server]*flush
	closed  bool
	quit    chan struct{} // closed when moves under way are not waited for any more
	running sync.WaitGroup
}

func newFlushes() *flushes {
	return &flushes{list: map[*balancer.Server]*flush{}, quit: make(chan struct{})}
}

func (fs *flushes) add(f *flush) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	switch {
	case fs.closed:
		return errors.New("imaplb is stopping")
	case fs.list[f.server] != nil:
		return errors.New("a flush of this server is under way (see 'show flushes')")
	case len(fs.list) >= maxFlushes:
		return fmt.Errorf("%d flushes are under way, more are not possible", maxFlushes)
	}
	fs.list[f.server] = f
	fs.running.Add(1)
	return nil
}

func (fs *flushes) remove(f *flush) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	delete(fs.list, f.server)
	fs.running.Done()
}

func (fs *flushes) of(s *balancer.Server) *flush {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.list[s]
}

// stopAll ends all and waits for them, for a while also for the moves they have
// begun: a user whose move is cut short waits for its time to be over. It is
// called once.
func (fs *flushes) stopAll() {
	fs.mu.Lock()
	fs.closed = true
	list := slices.Collect(maps.Values(fs.list))
	fs.mu.Unlock()
	for _, f := range list {
		f.handOver()
	}
	enough := time.AfterFunc(flushStop, func() { close(fs.quit) })
	defer enough.Stop()
	fs.running.Wait()
}

// Flush begins to move the users of a draining server elsewhere.
func (n *node) Flush(o stats.Order, backend, server string, parallel int) error {
	s, err := n.server(backend, server)
	if err != nil {
		return err
	}
	state := s.State()
	switch peer := n.cluster.FlushedBy(time.Now(), backend, server); {
	case s.Backend.Table() == nil:
		return fmt.Errorf("backend %s has no stick table: it is not known who is on the server", backend)
	case state.Effective() != balancer.Drain:
		return fmt.Errorf("server %s/%s is not in drain but %s: new users would come while the others are moved", backend, server, state.Text())
	case peer != "":
		return fmt.Errorf("%s flushes this server already (see 'show flushes')", peer)
	}
	f := n.newFlush(o, s, parallel, time.Now())
	if err := n.flushes.add(f); err != nil {
		return err
	}
	f.left = populationOf(f.table)[s.Name].Users
	if err := f.say(cluster.FlushRuns, ""); err != nil {
		n.flushes.remove(f)
		return ours(err)
	}
	go f.run() // ends when nobody is left, or by end
	return nil
}

func (n *node) newFlush(o stats.Order, s *balancer.Server, parallel int, since time.Time) *flush {
	return &flush{
		n: n, order: o, backend: s.Backend.Name, server: s, table: s.Backend.Table(), parallel: parallel, since: since,
		slots: make(chan struct{}, parallel), stop: make(chan struct{}), tell: time.NewTicker(flushSay),
	}
}

// EndFlush stops a flush, wherever it is carried.
func (n *node) EndFlush(o stats.Order, backend, server string) error {
	return ours(n.cluster.OrderFlushStop(time.Now(), o.By, backend, server))
}

// Flushes are those that run at any peer and those that have ended of late.
func (n *node) Flushes() (list []stats.Flush) {
	for _, f := range n.cluster.Flushes(time.Now()) {
		list = append(list, stats.Flush{
			Backend: f.Backend, Server: f.Server, Phase: f.Phase, By: f.By, Peer: f.Peer, Since: f.Since,
			Parallel: f.Parallel, Moved: f.Moved, Failed: f.Failed, Left: f.Left, Note: f.Note,
		})
	}
	return list
}

func (f *flush) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// run goes through the table again and again until nobody is left.
func (f *flush) run() {
	defer f.n.flushes.remove(f)
	defer f.tell.Stop()
	for !f.stopped() {
		found, tried := f.pass()
		f.drain()
		switch {
		case f.stopped():
		case found == 0:
			f.end(f.pinnedWords())
		case tried == 0:
			f.pause(flushRetry)
		}
	}
	f.drain()
	if f.how == flushGiven {
		return
	}
	f.mu.Lock()
	f.left = populationOf(f.table)[f.server.Name].Users
	f.mu.Unlock()
	phase := cluster.FlushEnded
	if f.how == flushHanded {
		phase = cluster.FlushRuns
	}
	// Without room for the fact the others see that nothing is heard any more.
	_ = f.say(phase, f.note)
}

// pinnedWords names those who stay, if any do.
func (f *flush) pinnedWords() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pinned == 0 {
		return ""
	}
	return fmt.Sprintf("%d stay, as they are pinned to it (see 'show pins')", f.pinned)
}

// pass goes through the table once: found are the users that have sessions on
// the server and may leave, tried those whose move was begun.
func (f *flush) pass() (found, tried int) {
	pinned := 0
	f.table.Range(time.Now(), func(e sticktable.Entry) bool {
		if f.stopped() || !f.onDuty() {
			return false
		}
		if e.Server != f.server.Name || e.Sessions == 0 {
			return true
		}
		if f.n.cluster.Pinned(f.table.Name(), e.Key) == f.server.Name {
			pinned++
			return true
		}
		found++
		if f.move(e.Key) {
			tried++
		}
		return true
	})
	f.mu.Lock()
	f.pinned = pinned
	f.mu.Unlock()
	return found, tried
}

// onDuty ends the flush when the server does not drain any more.
func (f *flush) onDuty() bool {
	state := f.server.State()
	switch {
	case f.server.Backend.Server(f.server.Name) != f.server:
		f.end("the server left the configuration")
	case f.server.Backend.Table() != f.table:
		f.end("the backend has another stick table")
	case state.Effective() != balancer.Drain:
		f.end("the server is not in drain any more but " + state.Text())
	default:
		return true
	}
	return false
}

// move begins the move of one user when there is a slot for it; false if it
// cannot be begun now.
func (f *flush) move(key string) bool {
	if !f.slot() {
		return false
	}
	now := time.Now()
	to := f.target(now, key)
	if to == nil {
		<-f.slots
		f.wait("no other server takes users")
		return false
	}
	p := f.n.parts.Load()
	b := p.backend(f.backend)
	if b == nil {
		<-f.slots
		f.end("the backend left the configuration")
		return false
	}
	order := f.n.moveOrder(f.order, f.table, b, key, to.Name)
	order.Done = f.done
	_, err := f.n.cluster.Move(now, order)
	switch {
	case err == nil:
		f.wait("")
		return true
	case errors.Is(err, cluster.ErrMoving): // by somebody else: the next pass looks again
	default:
		f.wait(ours(err).Error())
	}
	<-f.slots
	return false
}

// target is where a user goes: where he is pinned, or where the algorithm says.
func (f *flush) target(now time.Time, key string) *balancer.Server {
	b := f.server.Backend
	pin := b.Server(f.n.cluster.Pinned(f.table.Name(), key))
	if pin != nil && !pin.Away() && effective(pin) == balancer.Ready {
		return pin
	}
	return b.Choose(now, balancer.Ask{Key: key, Tag: f.n.tagOf(b, key)}, f.server)
}

// done takes the result of a move. It is called by the cluster and does not
// block: there is something in slots for each move.
func (f *flush) done(r cluster.MoveResult) {
	f.mu.Lock()
	switch {
	case errors.Is(r.Err, cluster.ErrReplaced): // somebody else moves him
	case r.Err != nil:
		f.failed++
	default:
		f.moved++
		f.left = max(f.left-1, 0)
	}
	f.mu.Unlock()
	<-f.slots
}

// slot waits for one to be free; false if the flush was ended meanwhile.
func (f *flush) slot() bool {
	for {
		select {
		case f.slots <- struct{}{}:
			return true
		case <-f.stop:
			return false
		case <-f.tell.C:
			f.sayRuns()
		}
	}
}

// drain waits for the moves under way. An order to stop is not contradicted
// meanwhile.
func (f *flush) drain() {
	for held := 0; held < cap(f.slots); {
		select {
		case f.slots <- struct{}{}:
			held++
		case <-f.tell.C:
			f.sayRuns()
		case <-f.n.flushes.quit:
			return
		}
	}
	for range cap(f.slots) {
		<-f.slots
	}
}

// sayRuns tells how far it is. A failure is made good by the next time.
func (f *flush) sayRuns() {
	if !f.stopped() {
		_ = f.say(cluster.FlushRuns, "")
	}
}

// wait notes why the flush does not go on, and pauses if it does not.
func (f *flush) wait(why string) {
	f.mu.Lock()
	f.waits = why
	f.mu.Unlock()
	if why != "" {
		f.pause(flushRetry)
	}
}

// pause waits, unless the flush is ended.
func (f *flush) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-timer.C:
			return
		case <-f.tell.C:
			f.sayRuns()
		}
	}
}

// say tells all peers how far it is.
func (f *flush) say(phase, note string) error {
	f.mu.Lock()
	is := cluster.Flush{
		Backend: f.backend, Server: f.server.Name, Phase: phase, By: f.order.By, Since: f.since,
		Parallel: f.parallel, Moved: f.moved, Failed: f.failed, Left: f.left, Note: note,
	}
	if note == "" && f.waits != "" && phase == cluster.FlushRuns {
		is.Note = "waits: " + f.waits
	}
	f.mu.Unlock()
	return f.n.cluster.SayFlush(time.Now(), is)
}
