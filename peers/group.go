package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds of a group.
const (
	MaxPeers = 64 // peers known at once, dead ones included
	MaxJoin  = 64 // entries of join
)

// Options are what a Group needs besides its configuration. Immutable.
type Options struct {
	Log         *slog.Logger // nil: no log
	Incarnation uint64       // start of this process, greater than that of the run before; required

	// Known are the peers that were there when this process ended last. They
	// count as dead until they are met: see [Group.Members].
	Known []Known

	// OnPeer hears of events, in order, one at a time. It must not call Close.
	OnPeer func(Event)
	// OnMessage takes a message of another peer. It is called by the reader of
	// that peer's stream and must not block for long.
	OnMessage func(from, topic string, b []byte)
}

// Group is this process among its peers. It is shared: any goroutine may call
// any method, New, Start and Close once each and in this order.
type Group struct {
	// Immutable after Start.
	cfg     Config
	opts    Options
	log     *slog.Logger
	ring    *Ring
	tls     *tls.Config
	members *memberlist.Memberlist
	net     *transport
	self    intro
	ctx     context.Context // until Close
	cancel  context.CancelFunc
	wg      sync.WaitGroup // all goroutines of the group

	said      said
	strangers said // of those who have not shown that they are peers
	wrongKey  atomic.Int64
	live      atomic.Pointer[[]*stream] // those to be woken; replaced under mu
	states    atomic.Pointer[[]State]   // what is shared; replaced under mu

	mu         sync.Mutex // guards the fields below, and those of peer
	changed    *sync.Cond // of mu: something Learn, Leave or announce waits for
	peers      map[string]*peer
	entries    []string            // of join
	joining    map[string]bool     // targets of join under way
	failing    map[string]bool     // entries of join whose last join failed
	resolved   map[string][]string // entry of join → its addresses
	first      int                 // first joins not yet ended
	aloneAt    time.Time           // when nobody is waited for any more
	clash      string              // address of the process that has our name
	events     []Event
	lostEvents int64
	leaving    bool
	closed     bool
}

// New checks the configuration and reads the keys; nothing is started.
func New(cfg Config, states []State, opts Options) (*Group, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	g := &Group{
		cfg: cfg, opts: opts, log: opts.Log, entries: cfg.Join,
		peers: map[string]*peer{}, joining: map[string]bool{}, failing: map[string]bool{},
		resolved: map[string][]string{}, said: said{most: maxSaid}, strangers: said{most: maxStrangers},
	}
	g.changed = sync.NewCond(&g.mu)
	g.live.Store(new([]*stream))
	g.states.Store(&states)
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if err := errors.Join(g.check(), checkStates(states)); err != nil {
		return nil, err
	}
	var keys [][]byte
	if cfg.KeyFile != "" {
		var err error
		if keys, err = LoadKeys(cfg.KeyFile); err != nil {
			return nil, err
		}
	}
	if host, _, _ := bindAddr(cfg.Bind); len(keys) == 0 && !cfg.Insecure && !host.IsLoopback() {
		return nil, fmt.Errorf("%w: key_file is needed unless bind is on loopback or insecure is set", ErrKey)
	}
	var err error
	if g.ring, err = NewRing(keys); err != nil {
		return nil, err
	}
	g.ring.changed = g.keysChanged
	return g, nil
}

// remember makes the peers of the last run dead ones. What cannot be one is
// passed over.
func (g *Group) remember(list []Known) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range list {
		if k.Name == "" || len(k.Name) > MaxName || k.Name == g.cfg.Name || g.peers[k.Name] != nil {
			continue
		}
		p := g.peerLocked(k.Name)
		if p == nil {
			return
		}
		p.state = StateDead
		if _, err := netip.ParseAddrPort(k.Addr); err == nil {
			p.addr = k.Addr // it is asked to join, though join may not name it
		}
	}
}

// tellMissing tells of the peers of the last run that the first joins did not
// find.
func (g *Group) tellMissing(list []Known) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, k := range list {
		if p := g.peers[k.Name]; p != nil && p.state == StateDead {
			g.say(PeerDead, p.name, p.addr, "not met since this process started")
		}
	}
}

func (g *Group) check() error {
	_, _, err := bindAddr(g.cfg.Bind)
	switch {
	case err != nil:
		return err
	case g.cfg.Name == "" || len(g.cfg.Name) > MaxName:
		return fmt.Errorf("peers: name of %d bytes, want 1 to %d", len(g.cfg.Name), MaxName)
	case g.cfg.Cluster == "" || len(g.cfg.Cluster) > MaxName:
		return fmt.Errorf("peers: cluster of %d bytes, want 1 to %d", len(g.cfg.Cluster), MaxName)
	case len(g.cfg.Join) > MaxJoin:
		return fmt.Errorf("peers: %d entries of join, at most %d", len(g.cfg.Join), MaxJoin)
	case g.opts.Incarnation == 0:
		return errors.New("peers: incarnation is 0")
	}
	if g.cfg.Advertise != "" {
		_, err = netip.ParseAddrPort(g.cfg.Advertise)
	}
	if err != nil {
		return fmt.Errorf("peers: advertise: %w", err)
	}
	return nil
}

// bindAddr splits "ip:port"; no ip is all of IPv4.
func bindAddr(s string) (netip.Addr, int, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("peers: bind: %w", err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	ip, err := netip.ParseAddr(host)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if err := errors.Join(err, err2); err != nil {
		return netip.Addr{}, 0, fmt.Errorf("peers: bind: %w", err)
	}
	return ip, int(n), nil
}

// Start listens, and asks the peers of join once: it returns when one has
// answered, all have failed, learnAlone has passed or ctx ends. Then it goes on
// by itself. ErrName says that another process lives under this name.
func (g *Group) Start(ctx context.Context) error {
	if err := g.listen(); err != nil {
		return err
	}
	for _, s := range *g.states.Load() {
		s.Watch(g.wake)
	}
	g.remember(g.opts.Known)
	g.mu.Lock()
	g.first, g.aloneAt = len(g.targetsLocked()), time.Now().Add(learnAlone)
	g.mu.Unlock()
	g.wg.Add(2)
	go g.announce() // until Close
	go g.rejoin()   // until Close
	g.waitJoined(ctx)
	g.tellMissing(g.opts.Known)
	if err := g.checkName(); err != nil {
		g.Close()
		return err
	}
	return nil
}

// listen brings up the transport and memberlist.
func (g *Group) listen() (err error) {
	if g.tls, err = newTLS(time.Now()); err != nil {
		return err
	}
	chat := log.New(&chatter{log: g.log, wrongKey: func(addr string) { g.refused(errWrongKey, "", addr) }}, "", 0)
	ip, port, _ := bindAddr(g.cfg.Bind)
	n, err := newTransport(&memberlist.NetTransportConfig{BindAddrs: []string{ip.String()}, BindPort: port, Logger: chat})
	if err != nil {
		return err
	}
	g.mu.Lock() // Totals may be asked already
	g.net = n
	g.mu.Unlock()
	conf := g.memberConfig(chat)
	if err = g.advertise(conf); err != nil {
		_ = g.net.Shutdown()
		return err
	}
	g.net.ours, g.net.known = g.accept, g.isPeers
	g.net.wg.Add(1)
	go g.net.route() // until Shutdown
	if g.members, err = memberlist.Create(conf); err != nil {
		_ = g.net.Shutdown()
		return fmt.Errorf("peers: starting memberlist: %w", err)
	}
	return nil
}

// advertise finds the address that the others reach us by.
func (g *Group) advertise(conf *memberlist.Config) error {
	if a, err := netip.ParseAddrPort(g.cfg.Advertise); err == nil {
		conf.AdvertiseAddr, conf.AdvertisePort = a.Addr().String(), int(a.Port())
	}
	ip, port, err := g.net.FinalAdvertiseAddr(conf.AdvertiseAddr, conf.AdvertisePort)
	if err == nil && ip.IsUnspecified() {
		err = errors.New("bind is all addresses")
	}
	if err != nil {
		return fmt.Errorf("peers: advertise is needed: %w", err)
	}
	g.self = intro{g.cfg.Name, net.JoinHostPort(ip.String(), strconv.Itoa(port))}
	return nil
}

// wake has all streams look at the states; it is called by whoever changes one.
func (g *Group) wake() {
	for _, s := range *g.live.Load() {
		s.nudge()
	}
}

// Close ends everything without a word and waits for it. A group that was not
// started need not be closed.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	g.mu.Unlock()
	g.cancel()
	for _, s := range *g.live.Load() {
		s.close(errors.New("closing"))
	}
	if g.members != nil {
		_ = g.members.Shutdown()
	}
	g.wg.Wait()
}

// Leave says good-bye to the others: they do not wait for this process to come
// back. It returns when they have been told, with an error if that took longer
// than timeout and somebody is still there. Nothing is joined any more; Close
// follows.
func (g *Group) Leave(timeout time.Duration) error {
	g.mu.Lock()
	g.leaving = true
	g.mu.Unlock()
	for _, s := range *g.live.Load() {
		s.link.Bye()
		s.nudge()
	}
	word := leavingPacket(g.cfg.Name, g.opts.Incarnation)
	for _, p := range g.Peers() {
		if p.State == StateAlive { // a packet, should there be no stream just now
			to := memberlist.Address{Addr: p.Addr, Name: p.Name}
			_ = g.members.SendToAddress(to, word)
		}
	}
	err := g.members.Leave(timeout)
	ctx, cancel := context.WithTimeout(g.ctx, timeout)
	defer cancel()
	g.waitFor(ctx, func() bool { return len(*g.live.Load()) == 0 })
	if alive, _ := g.Count(); err != nil && alive > 1 {
		return fmt.Errorf("peers: leaving: %w", err)
	}
	return nil
}

// waitFor waits until ok, called with g.mu held, is true, or ctx or the group
// ends.
func (g *Group) waitFor(ctx context.Context, ok func() bool) bool {
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		g.changed.Broadcast()
		g.mu.Unlock()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for !ok() {
		if ctx.Err() != nil || g.closed {
			return false
		}
		g.changed.Wait()
	}
	return true
}
