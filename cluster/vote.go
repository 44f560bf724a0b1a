package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	voteLife      = time.Hour       // of a vote that is not said again
	disagreeAfter = 5 * time.Second // checks of several peers do not fail at once; a difference this old is told
)

// A vote is what a peer's checks say of a server.
type vote string

const (
	voteNone vote = "" // the peer does not check it
	voteUp   vote = "up"
	voteDown vote = "down"
)

func voteOf(up bool) vote {
	if up {
		return voteUp
	}
	return voteDown
}

// verdicts has the servers that somebody votes on. Owned by Cluster, under its
// mu.
type verdicts struct {
	servers map[target]*verdict
	differ  map[target]time.Time // where this peer's vote differs from the verdict, since when
	correct map[target]bool      // where the others have a vote of this peer that it does not hold
}

// verdict is what is known of one server. Owned by verdicts.
type verdict struct {
	own    vote            // this peer's, whatever the facts say
	others map[string]bool // the votes of others by peer, up or not
	told   bool            // there is a verdict
	up     bool            // it
	noted  bool            // the difference was told
}

func newVerdicts() verdicts {
	return verdicts{servers: map[target]*verdict{}, differ: map[target]time.Time{}, correct: map[target]bool{}}
}

func (h *verdicts) server(t target) *verdict {
	v := h.servers[t]
	if v == nil {
		v = &verdict{others: map[string]bool{}}
		h.servers[t] = v
	}
	return v
}

// count counts the votes of those who are alive.
func (v *verdict) count(m *members) (down, total int) {
	if v.own != voteNone {
		total++
	}
	if v.own == voteDown {
		down++
	}
	for peer, up := range v.others {
		if !m.isAlive(peer) {
			continue
		}
		total++
		if !up {
			down++
		}
	}
	return down, total
}

// Vote says what this peer's own checks find a server to be. It is cheap if
// that is no news.
func (c *Cluster) Vote(now time.Time, backend, server string, up bool) {
	c.vote(now, target{backend, server}, voteOf(up))
}

// Abstain takes this peer's vote back, when it does not check the server any
// more.
func (c *Cluster) Abstain(now time.Time, backend, server string) {
	c.vote(now, target{backend, server}, voteNone)
}

func (c *Cluster) vote(now time.Time, t target, is vote) {
	if !t.valid() {
		return
	}
	c.mu.Lock()
	defer c.unlock()
	if v := c.health.servers[t]; v == nil && is == voteNone || v != nil && v.own == is {
		return
	}
	c.health.server(t).own = is
	c.sayVote(now, t, is)
	c.judge(now, t)
}

// sayVote tells the others. Without room refreshVotes tries again. mu is held.
func (c *Cluster) sayVote(now time.Time, t target, is vote) {
	delete(c.health.correct, t)
	if c.say(now, c.voteKey(t), string(is), now.Add(voteLife).UnixMilli()) != nil {
		c.counters.Dropped++
	}
}

func (c *Cluster) voteKey(t target) string { return factKey(kindVote, c.self, t.backend, t.server) }

// parseVoteKey is the inverse of voteKey.
func parseVoteKey(key string) (peer string, t target, ok bool) {
	names, ok := splitKey(key, 3)
	if !ok {
		return "", target{}, false
	}
	t = target{names[1], names[2]}
	return names[0], t, t.valid()
}

// voted sees to a vote that is new here. mu is held.
func (c *Cluster) voted(now time.Time, f *fact) {
	peer, t, ok := parseVoteKey(f.key)
	switch {
	case !ok:
	case peer == c.self:
		is := voteNone
		if v := c.health.servers[t]; v != nil {
			is = v.own
		}
		if vote(f.value) != is { // from an earlier run
			c.health.correct[t] = true
		}
	case vote(f.value) == voteUp || vote(f.value) == voteDown:
		c.health.server(t).others[peer] = vote(f.value) == voteUp
		c.judge(now, t)
	default:
		c.voteExpired(now, f)
	}
}

// voteExpired forgets a vote of another peer. mu is held.
func (c *Cluster) voteExpired(now time.Time, f *fact) {
	peer, t, ok := parseVoteKey(f.key)
	if v := c.health.servers[t]; ok && v != nil {
		delete(v.others, peer)
		c.judge(now, t)
	}
}

// judge finds the verdict on a server: down if more than half of the votes say
// so. mu is held.
func (c *Cluster) judge(now time.Time, t target) {
	v := c.health.servers[t]
	down, total := v.count(&c.members)
	if total == 0 {
		delete(c.health.differ, t)
		if len(v.others) == 0 {
			c.forgetVerdict(t, v)
		}
		return // what was found last holds on
	}
	up := down*2 <= total
	wait := now.Before(c.members.settle) && !c.members.isSure(down)
	kept := v.told && (c.members.frozen != "" || !up && wait)
	if !kept && (!v.told || up != v.up) {
		if v.told {
			c.note(Event{Time: now, Kind: EventHealth, What: fmt.Sprintf(
				"%s is %s: %d of %d peers cannot reach it", t, strings.ToUpper(string(voteOf(up))), down, total)})
		}
		v.told, v.up = true, up
		c.later(func() { c.effects.Health(t.backend, t.server, up) })
	}
	c.compare(now, t, v)
}

// forgetVerdict is for a server that nobody looks at any more: as one without
// checks it counts as up. mu is held.
func (c *Cluster) forgetVerdict(t target, v *verdict) {
	delete(c.health.servers, t)
	if v.told && !v.up {
		c.later(func() { c.effects.Health(t.backend, t.server, true) })
	}
}

// compare keeps the list of servers on which this peer is of another opinion.
// mu is held.
func (c *Cluster) compare(now time.Time, t target, v *verdict) {
	if v.own == voteNone || v.own == voteOf(v.up) {
		delete(c.health.differ, t)
		v.noted = false
		return
	}
	if _, already := c.health.differ[t]; !already {
		c.health.differ[t] = now
	}
}

// judgeAll is for when the voters are others. mu is held.
func (c *Cluster) judgeAll(now time.Time) {
	for _, t := range sortedTargets(c.health.servers) {
		c.judge(now, t)
	}
}

func sortedTargets[V any](m map[target]V) []target {
	return slices.SortedFunc(maps.Keys(m), func(a, b target) int {
		return cmp.Or(cmp.Compare(a.backend, b.backend), cmp.Compare(a.server, b.server))
	})
}

// tickVotes does what is due and returns when something is due next, zero for
// never. mu is held.
func (c *Cluster) tickVotes(now time.Time) (next time.Time) {
	if settle := c.members.settle; !settle.IsZero() {
		if now.Before(settle) {
			next = settle
		} else {
			c.members.settle = time.Time{}
			c.judgeAll(now)
		}
	}
	for _, t := range sortedTargets(c.health.correct) {
		is := voteNone
		if v := c.health.servers[t]; v != nil {
			is = v.own
		}
		c.sayVote(now, t, is)
	}
	for _, t := range sortedTargets(c.health.differ) {
		v, due := c.health.servers[t], c.health.differ[t].Add(disagreeAfter)
		switch {
		case v.noted:
		case now.Before(due):
			next = earlier(next, due)
		default:
			v.noted = true
			c.noteDifference(now, t, v)
		}
	}
	return next
}

// noteDifference tells that this peer's checks say something else than the
// verdict. mu is held.
func (c *Cluster) noteDifference(now time.Time, t target, v *verdict) {
	down, total := v.count(&c.members)
	var what string
	switch {
	case v.own == voteDown && down == 1:
		what = fmt.Sprintf("this peer alone cannot reach %s", t)
	case v.own == voteDown:
		what = fmt.Sprintf("this peer cannot reach %s, nor can %d more of %d, but it counts as up", t, down-1, total)
	default:
		what = fmt.Sprintf("this peer reaches %s, but it counts as down: %d of %d peers cannot", t, down, total)
	}
	c.note(Event{Time: now, Kind: EventHealth, What: what})
}

// refreshVotes says votes again before they expire. mu is held.
func (c *Cluster) refreshVotes(now time.Time) {
	for _, t := range sortedTargets(c.health.servers) {
		v := c.health.servers[t]
		if v.own == voteNone {
			continue
		}
		f := c.facts.byKey[c.voteKey(t)]
		if f == nil || f.expires-now.UnixMilli() < voteLife.Milliseconds()/2 {
			c.sayVote(now, t, v.own)
		}
	}
}

// Votes is what the peers think of a server.
type Votes struct {
	Up, Told bool // the verdict, if there is one
	Differs  bool // this peer's vote is another
	Peers    []PeerVote
}

// PeerVote is the vote of one peer.
type PeerVote struct {
	Peer  string
	Up    bool
	Alive bool // it counts
}

// Votes lists the votes on a server by the names of the peers.
func (c *Cluster) Votes(backend, server string) Votes {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := target{backend, server}
	v := c.health.servers[t]
	if v == nil {
		return Votes{}
	}
	is := Votes{Up: v.up, Told: v.told}
	_, is.Differs = c.health.differ[t]
	if v.own != voteNone {
		is.Peers = append(is.Peers, PeerVote{Peer: c.self, Up: v.own == voteUp, Alive: true})
	}
	for peer, up := range v.others {
		is.Peers = append(is.Peers, PeerVote{Peer: peer, Up: up, Alive: c.members.isAlive(peer)})
	}
	slices.SortFunc(is.Peers, func(a, b PeerVote) int { return cmp.Compare(a.Peer, b.Peer) })
	return is
}

// Elsewhere is a server that other peers vote on and this one does not.
type Elsewhere struct {
	Backend, Server string
	Peers           []string // those that are alive, by name
}

// VotedElsewhere lists, by name, the servers that only other peers vote on. It
// looks at all servers that anybody votes on.
func (c *Cluster) VotedElsewhere() (list []Elsewhere) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t, v := range c.health.servers {
		if v.own != voteNone {
			continue
		}
		e := Elsewhere{Backend: t.backend, Server: t.server}
		for peer := range v.others {
			if c.members.isAlive(peer) {
				e.Peers = append(e.Peers, peer)
			}
		}
		if len(e.Peers) > 0 {
			slices.Sort(e.Peers)
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b Elsewhere) int {
		return cmp.Or(cmp.Compare(a.Backend, b.Backend), cmp.Compare(a.Server, b.Server))
	})
	return list
}
