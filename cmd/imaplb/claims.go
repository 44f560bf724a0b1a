package main

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/stats"
)

// claims shares the limits of servers with the peers. Any goroutine may call
// its methods; of the nil claims, of a process without peers, nudge, keep and
// view do nothing.
type claims struct {
	node    *node
	machine *cluster.Claims // owned by keep
	wake    chan struct{}   // capacity 1: something has happened
	views   chan chan []cluster.ClaimView
	looked  func()        // the first claims are there, or were waited for in vain
	first   chan struct{} // closed by looked
	parts   *parts        // whose servers the machine has; owned by keep

	mu    sync.Mutex        // guards the fields below
	mail  map[string][]byte // the newest message of each peer
	again []string          // peers with a new connection
	begun time.Time         // since then there are claims on the servers' limits; zero is not yet
}

func newClaims(n *node, machine *cluster.Claims) *claims {
	first := make(chan struct{})
	return &claims{
		node: n, machine: machine, wake: make(chan struct{}, 1), views: make(chan chan []cluster.ClaimView), mail: map[string][]byte{},
		looked: sync.OnceFunc(func() { close(first) }), first: first,
	}
}

// nudge has the claims looked at soon. It does not block.
func (c *claims) nudge() {
	if c == nil {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// receive takes a message of a peer. It takes the place of one that nobody has
// looked at: it says all that is not acknowledged.
func (c *claims) receive(from string, b []byte) {
	c.mu.Lock()
	c.mail[from] = slices.Clone(b)
	c.mu.Unlock()
	c.nudge()
}

// connected is for a new connection: messages may have been lost with the old.
func (c *claims) connected(peer string) {
	c.mu.Lock()
	c.again = append(c.again, peer)
	c.mu.Unlock()
	c.nudge()
}

// claimsWithin is how long the first claims are waited for, so that the first
// clients do not find a server full. It is some times what they take.
const claimsWithin = 500 * time.Millisecond

// begin claims for the servers, when it is known who is there, and waits for
// the first claims; alone these are the limits. Before that this peer has none.
func (c *claims) begin() {
	c.mu.Lock()
	c.begun = time.Now()
	c.mu.Unlock()
	c.nudge()
	<-c.first
}

// keep does what is due until stop is closed.
func (c *claims) keep(stop, done chan struct{}) {
	defer close(done)
	if c == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	last := time.Time{}
	for {
		select {
		case <-stop:
			return
		case ask := <-c.views:
			ask <- c.machine.View()
			continue
		case <-c.wake:
		case <-timer.C:
		}
		now := time.Now()
		if wait := cluster.ClaimPace - now.Sub(last); wait > 0 {
			timer.Reset(wait)
			continue
		}
		last = now
		if c.step(now) {
			timer.Reset(cluster.ClaimPace)
		} else {
			timer.Reset(cluster.ClaimRest)
		}
	}
}

// step takes what has come, looks at the servers and tells the peers.
func (c *claims) step(now time.Time) (soon bool) {
	g := c.node.mesh.group.Load()
	c.mu.Lock()
	mail, again, begun := c.mail, c.again, c.begun
	c.mail, c.again = map[string][]byte{}, nil
	c.mu.Unlock()
	if g != nil {
		alive, _ := g.Members()
		c.machine.SetPeers(now, alive)
	}
	for from, b := range mail {
		c.node.heardMessage(now, from, topicClaims, c.machine.Receive(now, from, b))
	}
	for _, peer := range again {
		c.machine.Connected(peer)
	}
	if p := c.node.parts.Load(); !begun.IsZero() && p != c.parts {
		c.machine.SetServers(p.limited())
		c.parts = p
	}
	soon = c.machine.Step(now)
	if g != nil {
		for _, m := range c.machine.Messages(now) {
			_ = g.Message(topicClaims, m.Blob, m.To) // what is lost is said again
		}
	}
	if !begun.IsZero() && (!soon || now.Sub(begun) >= claimsWithin) {
		c.looked()
	}
	return soon
}

// view is how the limits are shared out, nil without peers.
func (c *claims) view() []cluster.ClaimView {
	if c == nil {
		return nil
	}
	ask, timer := make(chan []cluster.ClaimView, 1), time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case c.views <- ask:
		return <-ask
	case <-timer.C:
		return nil
	}
}

// limitedServer is a server as the claims see it.
type limitedServer struct{ *balancer.Server }

func (s limitedServer) Need(now time.Time, kind cluster.ClaimKind) cluster.Need {
	is := s.Share(now, limitKinds[kind].balancer)
	return cluster.Need{Limit: is.All, Here: is.Here, Used: is.Used, Waiting: is.Waiting}
}

func (s limitedServer) Allow(now time.Time, kind cluster.ClaimKind, n int64) int64 {
	return s.Server.Allow(now, limitKinds[kind].balancer, n)
}

// limitKinds are the limits that are shared, by their number in the cluster.
var limitKinds = [...]struct {
	name     string
	balancer balancer.LimitKind
}{
	cluster.ClaimConn:   {"maxconn", balancer.MaxconnLimit},
	cluster.ClaimLogins: {"maxlogins", balancer.MaxloginsLimit},
	cluster.ClaimRate:   {"login_rate", balancer.LoginRateLimit},
}

// limited are the servers, by "backend/server".
func (p *parts) limited() map[string]cluster.Limited {
	list := map[string]cluster.Limited{}
	for _, b := range p.backends {
		for _, s := range b.Servers() {
			list[b.Name+"/"+s.Name] = limitedServer{s}
		}
	}
	return list
}

// Limits tells how the limits of servers are shared out, by backend and server
// in the order of the file.
func (n *node) Limits() (list []stats.Limit) {
	now := time.Now()
	type key struct {
		server string
		kind   cluster.ClaimKind
	}
	parts := map[key][]cluster.ClaimPart{}
	for _, v := range n.claims.view() {
		parts[key{v.Server, v.Kind}] = v.Parts
	}
	for _, b := range n.parts.Load().backends {
		for _, s := range b.Servers() {
			for kind := range limitKinds {
				l := limitOf(now, s, kind, parts[key{b.Name + "/" + s.Name, cluster.ClaimKind(kind)}])
				list = append(list, l...)
			}
		}
	}
	return list
}

// limitOf is a limit with what the peers have of it, none if there is no limit.
func limitOf(now time.Time, s *balancer.Server, kind int, parts []cluster.ClaimPart) []stats.Limit {
	is := s.Share(now, limitKinds[kind].balancer)
	if is.All == 0 {
		return nil
	}
	l := stats.Limit{
		Backend: s.Backend.Name, Server: s.Name, Kind: limitKinds[kind].name,
		All: is.All, Here: is.Here, UsedHere: is.Used, Used: is.Used,
	}
	if len(parts) > 0 {
		l.Used = 0
	}
	for _, p := range parts {
		l.Parts = append(l.Parts, stats.LimitPart{Peer: p.Peer, Claim: p.Claim, Used: p.Used, Wants: p.Want})
		l.Used += p.Used
	}
	return []stats.Limit{l}
}

// serverLimitWords tells how near a server's limits are at this peer, whose part
// of them may be less than the whole, and what happens at them.
func serverLimitWords(now time.Time, s *balancer.Server, reached string) (lines []string) {
	for kind, what := range [...]string{"sessions on ", "logins under way at ", "logins in the last second at "} {
		is := s.Share(now, limitKinds[kind].balancer)
		limit := is.Here
		if kind == 0 {
			limit, _ = s.Limit() // less with minconn and in a slow start
		}
		switch {
		case is.All == 0:
		case is.Here == is.All:
			lines = limitLine(lines, what+s.Name, is.Used, limit, reached)
		case is.Here == 0:
			lines = append(lines, fmt.Sprintf("%s%s: %d, the peers are just sharing out the limit of %d: %s", what, s.Name, is.Used, is.All, reached))
		default:
			text := fmt.Sprintf("%s%s: %d of %d at this peer, its share of the %d of all peers", what, s.Name, is.Used, limit, is.All)
			if is.Used >= limit {
				text += ", reached: " + reached
			}
			lines = append(lines, text)
		}
	}
	return lines
}

// sharing reports whether a login would have to wait because this peer has nothing
// of a limit of the server: for a moment when the limit is new, and by turns where
// it is less than one for each peer.
func sharing(now time.Time, s *balancer.Server) bool {
	for kind := range limitKinds {
		if is := s.Share(now, limitKinds[kind].balancer); is.All > 0 && is.Here == 0 {
			return true
		}
	}
	return false
}
