package cluster

import (
	"math"
	"slices"
	"time"
)

// told is what a peer says of a limit.
type told struct{ bid, used, wants int64 }

// claimPeer is what is known of another peer's claims.
type claimPeer struct {
	since       time.Time // it was found alive
	heard       time.Time // zero is never
	incarnation uint64    // of its process, 0 before it was heard
	last        uint64    // version of its newest message
	held        uint64    // version up to which all it told is here; 0 is nothing
	acked       uint64    // our version that it said it holds in full
	news        bool      // it has told something that was not acknowledged
	sent        uint64    // our version that was sent last
	sentAt      time.Time
	tellings    map[uint64]*[claimKinds]telling
}

// telling is what it said of a limit, if it has that limit.
type telling struct {
	told
	limit int64 // that it goes by; 0 from an earlier version
	is    bool
}

// reset forgets what a process before said.
func (p *claimPeer) reset(incarnation uint64) {
	*p = claimPeer{since: p.since, incarnation: incarnation, tellings: map[uint64]*[claimKinds]telling{}}
}

// counts reports whether the peer has a part: it is there, and heard of.
func (p *claimPeer) counts(now time.Time) bool {
	if p.heard.IsZero() {
		return now.Sub(p.since) < claimMute
	}
	return now.Sub(p.heard) < claimQuiet
}

// tells is what the peer says of a limit, false if it does not have it. One
// that has said nothing yet may.
func (p *claimPeer) tells(id uint64, kind ClaimKind) (t told, takes bool) {
	if s := p.tellings[id]; s != nil {
		return s[kind].told, s[kind].is
	}
	return told{}, p.held == 0
}

// SetPeers says who is alive. What was known of others is forgotten.
func (c *Claims) SetPeers(now time.Time, alive []string) {
	for name := range c.peers {
		if !slices.Contains(alive, name) {
			delete(c.peers, name)
		}
	}
	for _, name := range alive {
		if name != c.self && c.peers[name] == nil && len(c.peers) < MaxPeers {
			p := &claimPeer{since: now}
			p.reset(0)
			c.peers[name] = p
		}
	}
}

// Connected says that messages may have been lost on the way to a peer.
func (c *Claims) Connected(name string) {
	if p := c.peers[name]; p != nil {
		p.sentAt = time.Time{}
	}
}

// count finds the peers that count, and what all of them know.
func (c *Claims) count(now time.Time) {
	c.names, c.acked = append(c.names[:0], c.self), math.MaxUint64
	for name, p := range c.peers {
		if !p.counts(now) {
			continue
		}
		c.names = append(c.names, name)
		c.acked = min(c.acked, p.acked)
	}
	slices.Sort(c.names)
}

// ClaimMessage is for one peer.
type ClaimMessage struct {
	To   string
	Blob []byte
}

// Messages are to be sent: to those for whom there is something new, and once a
// second to all.
func (c *Claims) Messages(now time.Time) (list []ClaimMessage) {
	for name, p := range c.peers {
		if p.news || c.changed > p.sent || now.Sub(p.sentAt) >= claimBeat {
			list = append(list, ClaimMessage{name, c.message(now, p)})
		}
	}
	return list
}

// ClaimPart is what one peer has of a limit.
type ClaimPart struct {
	Peer              string
	Claim, Used, Want int64
}

// ClaimView is how a limit is shared out.
type ClaimView struct {
	Server string
	Kind   ClaimKind
	Limit  int64
	Here   int64       // claim in force at this peer
	Parts  []ClaimPart // of all that have the limit, by name, as they told
}

// View lists the limits by the names of the servers, as of the last Step.
func (c *Claims) View() (list []ClaimView) {
	for _, s := range c.servers {
		for kind := range claimKinds {
			if cl := &s.claims[kind]; cl.limit > 0 {
				list = append(list, ClaimView{s.name, kind, cl.limit, cl.here, c.partsOf(s, kind)})
			}
		}
	}
	return list
}

func (c *Claims) partsOf(s *claimed, kind ClaimKind) (list []ClaimPart) {
	for _, name := range c.names {
		if t, takes := c.saidOf(name, s, kind); takes {
			list = append(list, ClaimPart{name, t.bid, t.used, t.wants})
		}
	}
	return list
}

// least is the least of the limits that the peers go by. Who has more may use it,
// but keeps nothing above the least that is not in use: the one that has the least
// might wait for it for ever.
func (c *Claims) least(s *claimed, kind ClaimKind) (n int64) {
	n = s.claims[kind].limit
	for _, name := range c.names {
		if name == c.self {
			continue
		}
		if t := c.peers[name].tellings[s.id]; t != nil && t[kind].limit > 0 {
			n = min(n, t[kind].limit)
		}
	}
	return n
}
