package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"imaplb/cluster"
	"imaplb/conf"
	"imaplb/peers"
	"imaplb/stats"
)

// mesh is this process among its peers. Shared: any goroutine may call any
// method.
type mesh struct {
	cfg     peers.Config                // fixed at start
	group   atomic.Pointer[peers.Group] // nil until it is started
	learned atomic.Pointer[string]      // how it started, in words; nil until then
	known   []peers.Known               // as saved; owned by who tells of peers, before that by startMesh

	badMessages atomic.Int64 // of peers
	complained  atomic.Int64 // when one of them was logged last, Unix ns
}

// clocksEvery is the time between two looks at the clocks of the peers.
const clocksEvery = 10 * time.Second

// leaveWithin bounds telling the others that this peer goes, leaveSoon the same
// when a loop has failed.
const leaveWithin, leaveSoon = 2 * time.Second, time.Second

// newCluster makes what decides, for this process alone until peers are met.
func (n *node) newCluster(cfg *conf.Config) (err error) {
	n.moves, n.hooks, n.flushes, n.draining = newMoves(), newHooks(), newFlushes(), newDraining()
	n.kicks = make(chan cluster.Kick, maxKicks)
	if n.cluster, err = cluster.New(n.start, n.self, clusterConfig(cfg.Peers), n); err != nil {
		return err
	}
	n.engine.SetHold(n.cluster.Held)
	n.engine.SetAlive(n.cluster.IsAlive)
	if p := cfg.Peers; p.Bind != "" {
		p.Name = n.self
		n.mesh = &mesh{cfg: p}
		n.claims = newClaims(n, cluster.NewClaims(n.self, uint64(n.start.UnixNano())))
	}
	return nil
}

// frozen reports whether users must stay where they are.
func (n *node) frozen() bool {
	if n.mesh == nil {
		return false
	}
	_, frozen := n.cluster.Frozen()
	return frozen
}

// startMesh joins the peers and learns what they know.
func (n *node) startMesh(ctx context.Context) (stop func(), err error) {
	m := n.mesh
	if m == nil {
		return func() {}, nil
	}
	g, err := peers.New(m.cfg, n.states(n.Tables()), peers.Options{
		Log: n.log, Incarnation: uint64(n.start.UnixNano()), Known: n.loadKnown(), OnPeer: n.peerEvent,
		OnMessage: n.peerMessage,
	})
	if err != nil {
		return nil, err
	}
	m.group.Store(g)
	n.shareTickets()
	if err := g.Start(ctx); err != nil {
		return nil, err
	}
	n.learn(ctx, g)
	n.claims.begin()
	return func() {
		within := leaveWithin
		if n.gaveUp {
			within = leaveSoon
		}
		if err := g.Leave(within); err != nil {
			n.log.Warn("not all peers were told that this one leaves", "err", err)
		}
		g.Close()
	}, nil
}

// learn waits for the tables of the others.
func (n *node) learn(ctx context.Context, g *peers.Group) {
	begun := time.Now()
	l := g.Learn(ctx, n.mesh.cfg.SyncTimeout)
	if ctx.Err() != nil {
		return // told to stop
	}
	took := time.Since(begun).Round(time.Millisecond)
	var words string
	switch l.How {
	case peers.HowLearned:
		words = fmt.Sprintf("learned %d entries from %s in %s", l.Entries, l.From, took)
		n.log.Info("learned from the peers", "from", l.From, "entries", l.Entries, "took", took.String())
	case peers.HowAlone:
		words = "started alone, nobody answered"
		n.log.Info("no peer answered, starting alone")
	default:
		words = fmt.Sprintf("started without having learned: no peer has told all within %s", took)
		n.log.Error("peers are there, but have not told all in time; starting with what there is", "took", took.String())
	}
	n.mesh.learned.Store(&words)
}

// peerEvent is told by the group of what happens to peers.
func (n *node) peerEvent(e peers.Event) {
	switch e.Kind {
	case peers.PeerAlive:
		n.cluster.PeerUp(e.Time, e.Peer)
	case peers.PeerDead:
		n.cluster.PeerDown(e.Time, e.Peer)
	case peers.PeerLeft:
		n.cluster.PeerLeft(e.Time, e.Peer)
	case peers.PeerUp:
		// It may have told of sessions at a peer that died before this one came.
		for _, t := range n.Tables() {
			n.cluster.Absent(e.Time, t.Holders())
		}
		n.claims.connected(e.Peer)
		return
	default:
		return
	}
	alive, known := n.mesh.group.Load().Members()
	n.cluster.SetMembers(e.Time, alive, known)
	n.claims.nudge()
	n.saveKnown()
}

// ring has the keys of the cluster, nil without peers.
func (n *node) ring() *peers.Ring {
	if n.mesh == nil {
		return nil
	}
	if g := n.mesh.group.Load(); g != nil {
		return g.Keys()
	}
	return nil
}

var errNoKeys = errors.New("this process has no keys of a cluster")

// AddKeys adds what is new in the key file.
func (n *node) AddKeys(o stats.Order) (added int, err error) {
	ring := n.ring()
	if ring == nil || n.mesh.cfg.KeyFile == "" {
		return 0, errNoKeys
	}
	keys, err := peers.LoadKeys(n.mesh.cfg.KeyFile)
	if err != nil {
		return 0, ours(err)
	}
	before := len(ring.Keys())
	for _, k := range keys {
		if _, err := ring.Add(base64.StdEncoding.EncodeToString(k)); err != nil {
			return 0, ours(err)
		}
	}
	n.shareTickets()
	added = len(ring.Keys()) - before
	n.cluster.Note(time.Now(), o.By, fmt.Sprintf("add key: %d new", added))
	return added, nil
}

// UseKey makes a key encrypt.
func (n *node) UseKey(o stats.Order, fingerprint string) error {
	return n.changeKeys(o, "use key "+fingerprint, func(r *peers.Ring) error { return r.Use(fingerprint) })
}

// RemoveKey forgets a key.
func (n *node) RemoveKey(o stats.Order, fingerprint string) error {
	return n.changeKeys(o, "remove key "+fingerprint, func(r *peers.Ring) error { return r.Remove(fingerprint) })
}

// changeKeys carries out what an order says, and notes it if it could be done.
func (n *node) changeKeys(o stats.Order, what string, change func(*peers.Ring) error) error {
	ring := n.ring()
	if ring == nil {
		return errNoKeys
	}
	err := change(ring)
	n.shareTickets()
	if err == nil {
		n.cluster.Note(time.Now(), o.By, what)
	}
	return ours(err)
}

// shareTickets derives the TLS ticket keys from the cluster's, if it has some.
func (n *node) shareTickets() {
	if ring := n.ring(); ring != nil && len(ring.Keys()) > 0 {
		n.engine.ShareTickets(time.Now(), func() [][32]byte { return ring.Derive("TLS tickets") })
	}
}

// ForgetPeer takes a dead peer off the list of those that are waited for.
func (n *node) ForgetPeer(o stats.Order, name string) error {
	if n.mesh == nil || n.mesh.group.Load() == nil {
		return errors.New("this process has no peers")
	}
	if err := n.mesh.group.Load().Forget(name); err != nil {
		return ours(err)
	}
	n.cluster.Note(time.Now(), o.By, "forget peer "+name)
	return nil
}

// ordersPath is where orders are saved.
func (n *node) ordersPath() string { return filepath.Join(n.stateDir, "orders") }

// loadOrders reads the orders that were in force when the process ended.
func (n *node) loadOrders() {
	if n.mesh == nil || n.stateDir == "" {
		return
	}
	b, err := os.ReadFile(n.ordersPath())
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = n.cluster.Load(time.Now(), b)
	}
	if err != nil {
		n.log.Error("orders not loaded", "err", err)
	}
}

// saveOrders writes the orders into their file, if there are new ones. It is
// called by keepTables alone.
func (n *node) saveOrders() {
	count := n.cluster.Orders()
	if n.mesh == nil || n.stateDir == "" || count == n.ordersSaved {
		return
	}
	err := writeWhole(n.ordersPath(), func(w io.Writer) error {
		_, err := w.Write(n.cluster.Save())
		return err
	})
	if err != nil {
		n.log.Error("orders not saved", "err", err)
		return
	}
	n.ordersSaved = count
}

// logEvents writes what the operator should know of into the log, once.
func (n *node) logEvents(from uint64) uint64 {
	events, total := n.cluster.EventsAfter(from)
	for _, e := range events {
		if logged(&e) {
			continue
		}
		n.log.Info("cluster event", "kind", e.Kind, "what", e.What, "by", e.Who, "at", e.Where, "outcome", e.Outcome)
	}
	return total
}

// lookAtClocks tells what the echoes have measured of the clocks of peers.
func (n *node) lookAtClocks(now time.Time) {
	if n.mesh == nil || n.mesh.group.Load() == nil {
		return
	}
	for _, p := range n.mesh.group.Load().Peers() {
		if p.Linked {
			n.cluster.ClockOffset(now, p.Name, p.Timing.Offset, p.Timing.Lag/2)
		}
	}
}

// keepCluster does what is due until stop is closed.
func (n *node) keepCluster(stop, done chan struct{}) {
	defer close(done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	logged, clocksAt := uint64(0), time.Time{}
	for {
		select {
		case <-stop:
			return
		case <-n.moves.wake:
		case <-timer.C:
		}
		now := time.Now()
		n.lookAtMoves(now)
		if now.Sub(clocksAt) >= clocksEvery {
			n.lookAtClocks(now)
			clocksAt = now
		}
		next := n.cluster.Tick(now).Sub(now)
		logged = n.logEvents(logged)
		if n.moves.len() > 0 {
			next = min(next, movePace)
		}
		timer.Reset(max(next, time.Millisecond))
	}
}
