package cluster

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// ClaimKind is a limit of a server that the peers share.
type ClaimKind uint8

// The limits that are shared. Their numbers are those of messages.
const (
	ClaimConn   ClaimKind = iota // maxconn
	ClaimLogins                  // maxlogins
	ClaimRate                    // login_rate
	claimKinds
)

// Bounds and times of claims.
const (
	MaxClaims  = 750                     // servers with limits that are shared; what is beyond has its limits at each peer
	ClaimPace  = 50 * time.Millisecond   // between two calls of Step at least
	ClaimRest  = 250 * time.Millisecond  // at most: far less than claimLapse, or a call that is a little late looks like a pause
	claimBeat  = time.Second             // at the latest each peer hears something
	claimMute  = 5 * time.Second         // a new peer that has said nothing for so long is of an older version, or still learns
	claimQuiet = 15 * time.Second        // one that was heard before; then its claims are shared out as if it were dead
	claimLapse = 1500 * time.Millisecond // without a call of Step the others may have found this process dead
	claimTurn  = 4                       // seconds in which the same peer has what does not come out even
	maxClaim   = math.MaxInt32           // greatest number told
)

// Need is what this process has of a limit of a server, and wants.
type Need struct {
	Limit   int64 // for all peers together; 0 is none
	Here    int64 // what the server lets this process have
	Used    int64 // now, at this process
	Waiting int64 // logins that would use more
}

// Limited is a server with limits, as Claims sees it.
type Limited interface {
	Need(now time.Time, kind ClaimKind) Need
	// Allow has at most n used here from now on, and returns what is used: more,
	// if it was more before, but then nothing is added.
	Allow(now time.Time, kind ClaimKind, n int64) (used int64)
}

// Claims share out the limits of servers among the peers. Each peer has a claim
// on each limit, and the claims of all are never more than the limit together,
// as long as the peers agree on who is there.
//
// A peer tells its bid, which is its claim or what it would like to claim. Two
// rules make it safe:
//
//   - a claim is never more than a bid that all others have acknowledged;
//   - when it grows, it and what is known of the others' bids are within the
//     limit.
//
// So when one grows, each claim of another is part of a bid that it knows of:
// the sum of all claims is within the limit then, and at all other times they
// only shrink. Nothing depends on how long messages take, or on their order.
//
// Where claims go follows from what all want (targets); as all tell it to each
// other, they find the same. It is owned by one goroutine, reads no clock and
// sends nothing: its owner calls Step, ClaimPace or more apart, and sends what
// Messages makes.
type Claims struct {
	self        string
	incarnation uint64
	version     uint64 // of what is told: each change, and each message, has its own
	changed     uint64 // version of the last change
	forgot      uint64 // who does not know this version may hold servers that were forgotten
	servers     []*claimed
	byID        map[uint64]*claimed // servers and those that have gone but are not forgotten
	shared      int                 // servers with limits, MaxClaims at most
	peers       map[string]*claimPeer
	stepped     time.Time // when Step was called last

	// Of one Step.
	names   []string // peers that count, and this one, sorted
	acked   uint64   // version that all who count have acknowledged
	pending bool     // something is under way
	parts   splitting
}

// claimed is a server with what is told of it.
type claimed struct {
	name    string
	id      uint64
	server  Limited // nil: gone
	shared  bool    // counted in Claims.shared: it has some limit
	changed uint64  // version of its last change
	claims  [claimKinds]claim
}

// claim is the part of this peer.
type claim struct {
	limit   int64 // for all together; 0 is none, and nothing is told
	least   int64 // of the limits that the peers go by, while their files differ
	here    int64 // in force
	bid     int64
	raised  uint64 // version in which bid rose last
	told    told   // bid is not used
	toldAt  time.Time
	crowded bool // the peers want more than there is
}

// NewClaims returns the claims of a process that is alone. The incarnation is
// greater than that of the process before.
func NewClaims(self string, incarnation uint64) *Claims {
	return &Claims{
		self: self, incarnation: incarnation, byID: map[uint64]*claimed{}, peers: map[string]*claimPeer{},
	}
}

// SetServers names the servers; those that have no limit are welcome.
func (c *Claims) SetServers(servers map[string]Limited) {
	for _, s := range c.servers {
		if servers[s.name] == nil {
			c.remove(s)
		}
	}
	c.servers = c.servers[:0]
	for name, server := range servers {
		id := xxhash.Sum64String(name)
		s := c.byID[id]
		switch {
		case s == nil:
			s = &claimed{name: name, id: id}
			c.byID[id] = s
		case s.server != nil && s.name != name: // of two with one number the second is not shared
			s = &claimed{name: name, id: id}
		}
		s.name, s.server = name, server
		c.servers = append(c.servers, s)
	}
	slices.SortFunc(c.servers, func(a, b *claimed) int { return strings.Compare(a.name, b.name) })
}

// remove takes back the claims of a server that has gone.
func (c *Claims) remove(s *claimed) {
	s.server = nil
	s.claims = [claimKinds]claim{}
	c.change(s)
	if s.shared {
		s.shared = false
		c.shared--
	}
}

func (c *Claims) change(s *claimed) {
	c.version++
	s.changed, c.changed = c.version, c.version
}

// Step looks at what is used and wanted, gives up what others need, and takes
// what is free. soon says that it wants to be called again after ClaimPace;
// else ClaimRest is enough.
func (c *Claims) Step(now time.Time) (soon bool) {
	// The wall clock counts as well: while a machine is suspended the other one stands.
	if max(now.Sub(c.stepped), now.Round(0).Sub(c.stepped.Round(0))) >= claimLapse {
		c.lapse(now)
	}
	c.stepped = now
	c.count(now)
	c.pending = false
	for _, s := range c.servers {
		c.limits(now, s)
		for kind := range claimKinds {
			if s.claims[kind].limit > 0 {
				c.settle(now, s, kind)
			}
		}
	}
	c.forget()
	return c.pending
}

// lapse is for a process that did not run for a while: the others may have found
// it dead and taken what it had. It gives up what it does not use, and has more
// again when all have heard its bids anew. That it heard nothing meanwhile says
// nothing of them.
func (c *Claims) lapse(now time.Time) {
	for _, p := range c.peers {
		if p.since = now; !p.heard.IsZero() {
			p.heard = now
		}
	}
	if len(c.peers) == 0 {
		return
	}
	for _, s := range c.servers {
		if !s.shared {
			continue
		}
		c.change(s)
		for kind := range claimKinds {
			if cl := &s.claims[kind]; cl.limit > 0 {
				cl.here = min(cl.here, s.server.Need(now, kind).Used)
				s.server.Allow(now, kind, cl.here)
				cl.raised = s.changed
			}
		}
	}
}

// limits takes the limits as they are now. A server beyond the bound has them
// for itself.
func (c *Claims) limits(now time.Time, s *claimed) {
	var is [claimKinds]int64
	some := false
	for kind := range claimKinds {
		is[kind] = min(s.server.Need(now, kind).Limit, maxClaim)
		some = some || is[kind] > 0
	}
	if some && !s.shared && (c.shared >= MaxClaims || c.byID[s.id] != s) {
		for kind := range claimKinds {
			s.server.Allow(now, kind, is[kind])
		}
		return
	}
	if some != s.shared {
		s.shared = some
		c.shared += map[bool]int{true: 1, false: -1}[some]
	}
	for kind := range claimKinds {
		cl := &s.claims[kind]
		if cl.limit == is[kind] {
			cl.least = c.least(s, kind)
			continue
		}
		if (cl.limit == 0) != (is[kind] == 0) {
			*cl = claim{}
			s.server.Allow(now, kind, 0) // should there be a limit again before the next step
		}
		cl.limit = is[kind]
		cl.least = c.least(s, kind)
		c.change(s)
	}
}

// settle finds what of a limit this peer should have, and does what can be done
// about it now.
func (c *Claims) settle(now time.Time, s *claimed, kind ClaimKind) {
	cl := &s.claims[kind]
	need := s.server.Need(now, kind)
	c.tell(now, s, cl, need)
	fair, possible := c.targets(now, s, kind)
	here, others := cl.here, c.others(s.id, kind)
	if over := here - fair; over > 0 && (cl.crowded || over > cl.slack() || here > cl.limit-others) {
		here = fair
	}
	if here != cl.here || here != need.Here { // the server may be new, or had another limit for a moment
		cl.here = here
		need.Used = s.server.Allow(now, kind, here)
	}
	most := min(fair, cl.limit-others)
	c.grow(now, s, kind, most) // first: a bid that rises all the time is never acknowledged
	wish := cl.here
	if more := min(fair, possible); cl.crowded || need.Waiting > 0 || more-wish >= cl.slack() {
		wish = max(wish, more)
	}
	if kind != ClaimRate {
		wish = max(wish, min(need.Used, maxClaim))
	}
	switch {
	case wish < cl.bid:
		cl.bid = wish
		c.change(s)
	case wish > cl.bid && c.known(cl.raised):
		cl.bid = wish
		c.change(s)
		cl.raised = s.changed
	}
	c.grow(now, s, kind, most)
	c.pending = c.pending || need.Waiting > 0 || cl.bid != cl.here || cl.bid != wish
}

// grow takes what the others know to be bid for, and leave.
func (c *Claims) grow(now time.Time, s *claimed, kind ClaimKind, most int64) {
	cl := &s.claims[kind]
	if n := min(cl.bid, most); n > cl.here && c.known(cl.raised) {
		cl.here = n
		s.server.Allow(now, kind, n)
	}
}

// slack is how far a claim may be off while there is enough for all.
func (cl *claim) slack() int64 { return cl.least / minPart }

// known reports whether all have acknowledged a version.
func (c *Claims) known(version uint64) bool { return c.acked >= version }

// tell takes what others are told of what this peer has and wants. While there
// is enough for all, small changes are told once a second.
func (c *Claims) tell(now time.Time, s *claimed, cl *claim, need Need) {
	is := told{used: min(need.Used, maxClaim), wants: min(need.Used+need.Waiting, maxClaim)}
	was := told{used: cl.told.used, wants: cl.told.wants}
	if is == was {
		return
	}
	exact := cl.crowded || need.Waiting > 0 || was.wants > was.used || now.Sub(cl.toldAt) >= claimBeat
	if exact || max(is.used-was.used, was.used-is.used, is.wants-was.wants, was.wants-is.wants) > cl.slack() {
		cl.told, cl.toldAt = is, now
		c.change(s)
	}
}

// targets is what of a limit this peer is to have: by what all want, and by
// what the others will not give back soon, as it is in use. Bids go to the
// lower of the two, so that nobody keeps from others what he cannot get.
func (c *Claims) targets(now time.Time, s *claimed, kind ClaimKind) (fair, possible int64) {
	cl := &s.claims[kind]
	turn := int(now.Unix() / claimTurn)
	self := c.weigh(s, kind, false)
	cl.crowded = c.parts.split(cl.limit, cl.least, turn)
	fair = c.parts.parts[self]
	if kind == ClaimRate {
		return fair, fair // what was begun a moment ago is used up
	}
	c.weigh(s, kind, true)
	c.parts.split(cl.limit, cl.least, turn)
	return fair, c.parts.parts[self]
}

// weigh puts what all want on the scales, and what all use if that counts. It
// returns the place of this peer.
func (c *Claims) weigh(s *claimed, kind ClaimKind, used bool) (self int) {
	cl := &s.claims[kind]
	least := floor(cl.least, len(c.names))
	c.parts.reset()
	for _, name := range c.names {
		t, takes := c.saidOf(name, s, kind)
		if name == c.self {
			self = len(c.parts.parts)
		}
		if !used {
			t.used = 0
		}
		if takes {
			c.parts.add(max(least, t.used), t.wants)
		}
	}
	return self
}

// saidOf is what a peer, or this one, tells of a limit.
func (c *Claims) saidOf(name string, s *claimed, kind ClaimKind) (t told, takes bool) {
	if name != c.self {
		return c.peers[name].tells(s.id, kind)
	}
	cl := &s.claims[kind]
	return told{cl.bid, cl.told.used, cl.told.wants}, true
}

// others is the sum of what the others have bid.
func (c *Claims) others(id uint64, kind ClaimKind) (n int64) {
	for _, name := range c.names {
		if name != c.self {
			t, _ := c.peers[name].tells(id, kind)
			n += t.bid
		}
	}
	return n
}

// forget drops the servers that have gone, when all know it, or if they are too
// many. Who does not know is told everything anew.
func (c *Claims) forget() {
	crowded := len(c.byID)-len(c.servers) > MaxClaims
	for id, s := range c.byID {
		if s.server != nil || !crowded && !c.known(s.changed) {
			continue
		}
		delete(c.byID, id)
		c.forgot = max(c.forgot, s.changed)
	}
	for _, p := range c.peers {
		if p.acked < c.forgot {
			p.acked = 0
		}
	}
}
