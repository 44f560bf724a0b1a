package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxMoves is the most moves of users that are under way at once.
const maxMoves = 1000

// MoveOrder is an operator's order to move a user.
type MoveOrder struct {
	By      string // who says so
	Table   string // the stick table
	Key     string // of the user in it
	Backend string // of the server
	Server  string // where he goes; that it exists and takes him is the caller's to see to
	// Before is called once, like an effect, when the user's sessions have ended
	// or the time for it has passed; missing has the peers that did not say so.
	// He is assigned when it has called done, from whatever goroutine, within
	// Grace. note is a few words for the events, "" for none. It may be nil.
	Before func(missing []string, done func(now time.Time, note string))
	Grace  time.Duration // at most MaxGrace
	// Done is called once, like an effect, if Move returned no error; it may
	// be before Move returns. It may be nil.
	Done func(MoveResult)
}

// MoveResult is what came of a move.
type MoveResult struct {
	ID      string
	Missing []string // peers that did not answer, sorted: they may have sessions of the user yet
	Note    string   // of Before
	Err     error    // nil: the user is moved. ErrReplaced, ErrFrozen or Assign's: he is not, or by another
}

// moveKey says whose move it is.
type moveKey struct{ table, key string }

func (k moveKey) String() string { return fmt.Sprintf("user %q in %s", k.key, k.table) }

// factKey is the key of the fact of a move. The user stands last, and is not
// escaped.
func (k moveKey) factKey() string { return factKey(kindMove, k.table) + "/" + k.key }

func parseMoveKey(key string) (k moveKey, ok bool) {
	parts := strings.SplitN(key, "/", 3)
	if len(parts) != 3 {
		return k, false
	}
	table, ok := splitKey(kindMove+"/"+parts[1], 1)
	return moveKey{table[0], parts[2]}, ok
}

// ownMove is a move that began at this peer. Owned by Cluster, under its mu.
type ownMove struct {
	id        string
	key       moveKey
	order     MoveOrder
	move      move      // as the others know it
	asked     []string  // peers that were alive at the beginning
	deadline  time.Time // for the answers of the peers
	assigning bool      // Before or Assign is queued or runs
	goesOn    bool      // Before has ended
	note      string    // of it
}

// Move begins to move a user to a server: his logins wait on all peers, his
// sessions elsewhere are ended, and when all peers have none any more, or the
// time for it has passed, he is assigned and the logins go on.
func (c *Cluster) Move(now time.Time, o MoveOrder) (id string, err error) {
	if !validName(o.By) || !validName(o.Table) || o.Key == "" || !(target{o.Backend, o.Server}).valid() {
		return "", ErrName
	}
	if len(o.Key) > maxUser {
		return "", ErrKey
	}
	c.mu.Lock()
	defer c.unlock()
	k := moveKey{o.Table, o.Key}
	switch {
	case c.members.frozen != "":
		return "", fmt.Errorf("%w: %s", ErrFrozen, c.members.frozen)
	case c.holds[k] != nil:
		return "", ErrMoving
	case len(c.holds) >= maxMoves:
		return "", fmt.Errorf("%w: %d", ErrMoves, maxMoves)
	}
	timeout := c.cfg.MoveTimeout
	if timeout <= 0 {
		timeout = DefaultConfig().MoveTimeout
	}
	timeout = min(timeout, MaxMoveTimeout)
	own := &ownMove{id: c.newID(now), key: k, order: o, asked: c.members.alive, deadline: now.Add(timeout)}
	if o.Before != nil { // the others hold the user while it runs, too
		timeout += min(max(o.Grace, 0), MaxGrace)
	}
	own.move = move{
		id: own.id, phase: phaseHold, by: o.By, backend: o.Backend, server: o.Server,
		timeout: timeout, deadline: now.Add(timeout).UnixMilli(),
	}
	c.own[own.id] = own
	if err := c.say(now, k.factKey(), own.move.encode(), own.move.expires()); err != nil {
		delete(c.own, own.id)
		return "", err
	}
	return own.id, nil
}

// confirmed sees to a peer that has no session in the way of a move. mu is
// held.
func (c *Cluster) confirmed(now time.Time, f *fact) {
	names, ok := splitKey(f.key, 2)
	if !ok {
		return
	}
	if own := c.own[names[0]]; own != nil {
		c.checkMove(now, own)
	}
}

// checkMove ends a move of this peer if it can. mu is held.
func (c *Cluster) checkMove(now time.Time, own *ownMove) {
	switch {
	case own.assigning:
	case c.members.frozen != "":
		c.endMove(now, own, Stamp{}, fmt.Errorf("%w: %s", ErrFrozen, c.members.frozen))
	case !now.Before(own.deadline) || len(c.missing(own, c.members.alive)) == 0:
		own.assigning = true
		if own.order.Before == nil {
			c.assign(now, own)
			return
		}
		missing := c.missing(own, c.members.alive)
		c.later(func() {
			own.order.Before(missing, func(now time.Time, note string) { c.goOn(now, own, note) })
		})
	}
}

// goOn is the end of what had to be done before a user is assigned.
func (c *Cluster) goOn(now time.Time, own *ownMove, note string) {
	c.mu.Lock()
	defer c.unlock()
	if c.own[own.id] != own || own.goesOn { // another move has won meanwhile, or the time is over
		return
	}
	own.goesOn, own.note = true, note
	switch {
	case c.members.frozen != "":
		c.endMove(now, own, Stamp{}, fmt.Errorf("%w: %s", ErrFrozen, c.members.frozen))
	default:
		c.assign(now, own)
	}
}

// checkMoves is for when the peers waited for are others. mu is held.
func (c *Cluster) checkMoves(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(c.own)) {
		c.checkMove(now, c.own[id])
	}
}

// missing are those of the peers that have not confirmed. mu is held.
func (c *Cluster) missing(own *ownMove, peers []string) (missing []string) {
	for _, peer := range peers {
		if c.facts.byKey[factKey(kindGone, own.id, peer)] == nil {
			missing = append(missing, peer)
		}
	}
	return missing
}

// assign has the user written into the table. mu is held.
func (c *Cluster) assign(now time.Time, own *ownMove) {
	c.later(func() {
		stamp, err := c.effects.Assign(own.key.table, own.key.key, own.order.Server)
		if err == nil && (stamp.Time == 0 || !validName(stamp.Writer)) {
			err = errors.New("cluster: move: the table gave no stamp")
		}
		if err != nil {
			stamp = Stamp{}
		}
		c.mu.Lock()
		defer c.unlock()
		if c.own[own.id] == own { // no other move has won meanwhile
			c.endMove(now, own, stamp, err)
		}
	})
}

// endMove tells all peers and the operator the end of a move of this peer; it
// is given up if the stamp is zero, for the reason err. mu is held.
func (c *Cluster) endMove(now time.Time, own *ownMove, stamp Stamp, err error) {
	c.disown(own)
	m := own.move
	m.phase, m.stamp, m.why = phaseDone, stamp, clipTo(own.note, maxWhy)
	// Those that were alive at the beginning and died without an answer may
	// have sessions yet, if they are only cut off.
	peers := slices.Concat(own.asked, c.members.alive)
	slices.Sort(peers)
	peers = slices.DeleteFunc(slices.Compact(peers), func(peer string) bool {
		return !slices.Contains(c.members.known, peer)
	})
	missing := c.missing(own, peers)
	m.missing = missing[:min(len(missing), maxMissing)]
	if err != nil {
		m.why = clipTo(err.Error(), maxWhy)
	}
	if failed := c.say(now, own.key.factKey(), m.encode(), m.expires()); failed != nil {
		// The others release by themselves.
		c.letGo(own.key, "")
		err = errors.Join(err, failed)
	}
	c.result(own, MoveResult{ID: own.id, Missing: missing, Note: own.note, Err: err})
}

// lose ends a move of this peer in whose place another came. mu is held.
func (c *Cluster) lose(now time.Time, own *ownMove, err error) {
	c.disown(own)
	c.note(Event{
		Time: now, Kind: EventMove, Who: own.order.By, Where: c.self, When: now,
		What: "move of " + own.key.String() + " to " + own.order.Server, Outcome: err.Error(),
	})
	c.result(own, MoveResult{ID: own.id, Err: err})
}

// disown takes a move from the list of this peer's. mu is held.
func (c *Cluster) disown(own *ownMove) {
	delete(c.own, own.id)
	if h := c.holds[own.key]; h != nil && h.own == own {
		h.own = nil
	}
}

func (c *Cluster) result(own *ownMove, r MoveResult) {
	if own.order.Done != nil {
		c.later(func() { own.order.Done(r) })
	}
}
