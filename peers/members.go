package peers

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

// States of a peer.
const (
	StateNew   = "new" // it begins a stream, and membership has not heard of it yet
	StateAlive = "alive"
	StateDead  = "dead"
	StateLeft  = "left"
)

// leftPause is how long a peer that has said bye may still seem to be a member.
const leftPause = 5 * time.Second

// wordLeaving begins the packet of one that leaves. Its incarnation, 8 bytes big
// endian, and its name follow.
const wordLeaving = 'L'

// leavingPacket says that a process leaves. Which one matters: anybody can send
// a packet of memberlist's again.
func leavingPacket(name string, incarnation uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{wordLeaving}, incarnation), name...)
}

// A peer is what the group knows of another process. Guarded by Group.mu, but
// for remote, which guards itself.
type peer struct {
	name    string
	addr    string // advertised
	state   string
	since   time.Time
	member  bool          // membership lists it, as far as was heard
	gone    uint64        // the incarnation that was found gone, 0 for none
	leaving uint64        // the incarnation that has announced that it leaves, 0 for none
	dialing bool          // a goroutine runs dial for it
	redial  chan struct{} // capacity 1: it has joined, do not wait any longer
	stream  *stream
	remote  *Remote
}

// leaves tells whether the process that was heard last has announced that it
// leaves, not one before it.
func (p *peer) leaves() bool {
	return p.leaving != 0 && p.leaving == p.remote.Info().Incarnation
}

// memberConfig is memberlist's for a LAN, tuned so that a peer that was killed
// is dead within three seconds.
func (g *Group) memberConfig(chat *log.Logger) *memberlist.Config {
	ip, port, _ := bindAddr(g.cfg.Bind)
	c := memberlist.DefaultLANConfig()
	c.Name = g.cfg.Name
	c.BindAddr, c.BindPort = ip.String(), port
	c.AdvertiseAddr, c.AdvertisePort = "", g.net.GetAutoBindPort()
	c.Transport = g.net
	c.Label = g.cfg.Cluster
	c.Keyring = g.ring.members
	c.Logger = chat
	c.ProbeInterval = 500 * time.Millisecond
	c.ProbeTimeout = 250 * time.Millisecond
	c.SuspicionMult = 2 // no confirmations are waited for: SuspicionMult times ProbeInterval
	c.IndirectChecks = 3
	c.TCPTimeout = introWithin
	c.EnableCompression = false             // of what we send, which is short; what comes in is decompressed all the same
	c.DeadNodeReclaimTime = time.Nanosecond // the name of a dead peer may be used at once, at another address
	d := delegate{g}
	c.Delegate, c.Events, c.Conflict, c.Merge, c.Alive = d, d, d, d, d
	return c
}

// delegate is called by memberlist, partly with its lock held: its methods
// only take notes, and call nothing of memberlist. Immutable.
type delegate struct{ g *Group }

func address(n *memberlist.Node) string {
	return net.JoinHostPort(n.Addr.String(), strconv.Itoa(int(n.Port)))
}

func (d delegate) NotifyJoin(n *memberlist.Node) { d.g.sawAlive(n.Name, address(n)) }

func (d delegate) NotifyLeave(n *memberlist.Node) { d.g.sawGone(n.Name, "") }

func (d delegate) NotifyUpdate(*memberlist.Node) {}

// NotifyAlive refuses one peer too many.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	if n.Name != d.g.cfg.Name && d.g.peers[n.Name] == nil && !d.g.roomLocked() {
		return fmt.Errorf("more than %d peers", MaxPeers)
	}
	return nil
}

// NotifyMerge keeps us out of a group in which another process has our name.
func (d delegate) NotifyMerge(nodes []*memberlist.Node) error {
	for _, n := range nodes {
		alive := n.State == memberlist.StateAlive || n.State == memberlist.StateSuspect
		if n.Name == d.g.cfg.Name && alive && address(n) != d.g.self.address {
			d.g.sawClash(n.Name, address(n))
			return fmt.Errorf("%w: %s lives at %s", ErrName, n.Name, address(n))
		}
	}
	for _, n := range nodes {
		d.g.sawJoin(n.Name)
	}
	return nil
}

func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.g.sawClash(existing.Name, address(other))
}

func (d delegate) NodeMeta(int) []byte { return nil }

func (d delegate) NotifyMsg(b []byte) {
	if len(b) > 9 && b[0] == wordLeaving {
		d.g.sawLeaving(string(b[9:]), binary.BigEndian.Uint64(b[1:]))
	}
}

func (d delegate) GetBroadcasts(int, int) [][]byte { return nil }
func (d delegate) LocalState(bool) []byte          { return nil }
func (d delegate) MergeRemoteState([]byte, bool)   {}

// roomLocked tells whether one more peer may be known; the one that left, or began
// a stream that came to nothing, longest ago makes room. g.mu is held.
func (g *Group) roomLocked() bool {
	if len(g.peers) < MaxPeers {
		return true
	}
	var oldest *peer
	for _, p := range g.peers {
		spare := (p.state == StateLeft || p.state == StateNew) && p.stream == nil && !p.dialing
		if spare && (oldest == nil || p.since.Before(oldest.since)) {
			oldest = p
		}
	}
	if oldest != nil {
		delete(g.peers, oldest.name)
	}
	return oldest != nil
}

// peerLocked finds or makes the record of a peer; nil if there are too many.
func (g *Group) peerLocked(name string) *peer {
	p := g.peers[name]
	if p == nil && g.roomLocked() {
		p = &peer{name: name, state: StateNew, since: time.Now(), remote: NewRemote(name), redial: make(chan struct{}, 1)}
		g.peers[name] = p
	}
	return p
}

// sawJoin: a peer joins, or is told of by one that does. If it was killed and
// is back before anybody found it dead, the pause between two attempts to
// connect has grown meanwhile.
func (g *Group) sawJoin(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.peers[name]; p != nil && p.dialing && p.stream == nil {
		p.dialAgain()
	}
}

// dialAgain ends the pause between two attempts to connect.
func (p *peer) dialAgain() {
	select {
	case p.redial <- struct{}{}:
	default:
	}
}

// sawAlive: a member is there.
func (g *Group) sawAlive(name, addr string) {
	if name == g.cfg.Name {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peerLocked(name)
	if p == nil || g.closed {
		return
	}
	p.member = true
	if p.state != StateAlive || p.addr != addr {
		g.aliveLocked(p, addr)
	}
}

// met: the process at the other end has said hello, over a stream that was
// proven. It counts as alive from here on though membership, which goes round in
// hundreds of milliseconds, does not list it yet: else two peers that talk to each
// other would decide as if each were alone. If membership does not follow,
// reconcile has the last word; and one that was found gone is believed to
// membership alone.
func (g *Group) met(s *stream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := s.peer
	if p.stream == s && !g.closed && !p.member && p.state != StateAlive && p.remote.Info().Incarnation != p.gone {
		g.aliveLocked(p, p.addr)
	}
}

// aliveLocked: a peer is alive, and dialled if that is ours to do. g.mu is held.
func (g *Group) aliveLocked(p *peer, addr string) {
	p.addr, p.state, p.since, p.leaving = addr, StateAlive, time.Now(), 0
	g.say(PeerAlive, p.name, addr, "")
	if g.cfg.Name < p.name && !p.dialing {
		p.dialing = true
		g.wg.Add(1)
		go g.dial(p) // until the peer is not alive any more, or Close
	}
}

// sawGone: a member is there no more.
func (g *Group) sawGone(name, detail string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[name]
	if p == nil {
		return
	}
	p.member = false
	if p.state == StateAlive {
		g.goneLocked(p, detail)
	}
}

// goneLocked: a peer is dead, or has left if it said so. g.mu is held.
func (g *Group) goneLocked(p *peer, detail string) {
	p.state, p.since, p.gone = StateDead, time.Now(), p.remote.Info().Incarnation
	kind, why := PeerDead, errDead
	if p.leaves() {
		p.state, kind, why = StateLeft, PeerLeft, errBye
	}
	g.say(kind, p.name, p.addr, detail)
	if p.stream != nil {
		p.stream.close(why)
	}
	if kind == PeerDead {
		g.lookLocked()
	}
}

// sawLeaving: a process says that it leaves; its membership ends soon, or has
// ended, if the word came late.
func (g *Group) sawLeaving(name string, incarnation uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peers[name]
	if p == nil || incarnation != p.remote.Info().Incarnation {
		return
	}
	p.leaving = incarnation
	if p.state == StateDead && p.leaves() {
		g.goneLocked(p, "")
	}
}

// sawBye: a process says over its stream that it leaves, that is the end. A
// stream that was replaced may be that of the process before.
func (g *Group) sawBye(s *stream) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := s.peer
	if p.stream != s {
		return
	}
	s.close(errBye) // whatever else may end it now
	p.leaving = p.remote.Info().Incarnation
	if p.state == StateAlive || p.state == StateDead {
		g.goneLocked(p, "")
	}
}

// sawClash: a process at addr has the name of another.
func (g *Group) sawClash(name, addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if name == g.cfg.Name {
		g.clash = addr
		g.changed.Broadcast()
	}
	if g.said.new(time.Now(), "clash "+name+addr) {
		g.say(PeerClash, name, addr, "two processes have this name")
	}
}

// checkName returns ErrName if the process that has our name can be reached;
// one that was killed a moment ago is not there any more.
func (g *Group) checkName() error {
	g.mu.Lock()
	addr := g.clash
	g.mu.Unlock()
	if addr == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(g.ctx, time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil // joins are tried again until it is known to be dead
	}
	_ = conn.Close()
	return fmt.Errorf("%w: %q lives at %s", ErrName, g.cfg.Name, addr)
}

// reconcile compares the records with the members, should an event have been
// missed: a peer may leave and be back before its leaving has gone round.
func (g *Group) reconcile(now time.Time) {
	members := map[string]bool{}
	for _, m := range g.members.Members() {
		members[m.Name] = true // the rest of m may change while it is read
	}
	came, went := map[string]string{}, map[string]bool{}
	g.mu.Lock()
	for name, p := range g.peers {
		pausing := p.state == StateLeft && now.Sub(p.since) < leftPause
		switch {
		case members[name] && p.state != StateAlive && !pausing && p.addr != "":
			came[name] = p.addr
		case !members[name] && p.state == StateAlive && now.Sub(p.since) > leftPause:
			went[name] = true
		}
	}
	g.mu.Unlock()
	for name, addr := range came {
		g.sawAlive(name, addr)
	}
	for name := range went {
		g.sawGone(name, "")
	}
}
