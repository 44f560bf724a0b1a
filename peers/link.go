package peers

import (
	"errors"
	"fmt"
	"time"

	"imaplb/wire"
)

// Times of a conversation.
const (
	echoEvery     = time.Second
	ackWithin     = 50 * time.Millisecond
	checkEvery    = 30 * time.Second // between two comparisons of digests
	confirmAfter  = 3 * time.Second  // until buckets that differ are looked at again
	roundPatience = time.Minute      // without progress a round is given up
)

// LinkConfig says who speaks on a link, and of what. Immutable.
type LinkConfig struct {
	Self        string  // name of this peer
	Incarnation uint64  // start of this process: greater than that of the run before
	States      []State // at most MaxStates

	// OnMessage takes a message of the other; b is valid during the call. It is
	// called by the goroutine that calls Receive, with no lock held.
	OnMessage func(topic string, b []byte)
}

// Link is one end of the conversation with one peer, for one connection: what
// arrived goes into Receive, what is to be sent comes out of Next. Nothing
// waits inside but positions, bitmaps and a few messages, so a slow peer costs
// no memory. It does no I/O and reads no clock.
//
// One goroutine at a time may call Receive and one Next; any may call the
// other methods. Calls into a State are made with no lock held.
type Link struct {
	// Immutable after NewLink.
	cfg      LinkConfig
	remote   *Remote
	lanes    []*lane
	leads    bool      // this side begins the rounds of digests
	versions [2]uint64 // least and greatest version spoken

	// Owned by the goroutine that calls Next.
	helloSent bool
	turn      int // the lane that comes first this time
	numbers   []uint64

	// Owned by the goroutine that calls Receive.
	byTheirs []*lane // the other's number of a state → lane, nil if it is not ours
	compared []uint64

	// Guarded by remote.mu.
	greeted     bool // the other's hello is here
	incarnation uint64
	echo        echo
	messages    []message
	bye         byte // what became of our bye: byeWanted, byeSent
	left        bool // the other has said bye
}

// States of our own bye.
const (
	byeWanted = 1 + iota
	byeSent
)

// A lane is one state on one link.
type lane struct {
	// Immutable after NewLink.
	state  State
	name   string
	number uint64 // in our hello
	parts  int

	// Owned by the goroutine that calls Next.
	started bool
	pos     uint64 // in our journal, behind what was sent
	part    int    // of the transfer under way
	mask    uint16 // its buckets not yet sent to the end, 0 for none
	cursor  uint32

	shapeTold uint64 // to the other

	// Owned by the goroutine that calls Receive.
	looked []uint16 // what differed at the look, by parts; nil for no look
	first  int      // the part whose buckets come first in the next check
	asked  want     // what differs in the round that this side leads

	// Guarded by remote.mu.
	shared bool // the other has this state, with as many buckets
	theirs held // what the other's hello says it has of us

	theirShape shape

	inbound inbound
	acks    acks
	round   round
	sending transfer
	wanted  *want  // to be sent
	sent    uint64 // pos, for those who look
}

// inbound is how far the other's changes have come in.
type inbound struct {
	started bool   // the other has said from where it sends
	pos     uint64 // behind what arrived
	until   uint64 // after a resumption: learned when pos is here
	gap     bool   // changes before pos are missing
	mends   uint64 // the round that closes the gap, 0 for none yet
	learned bool   // all the other had is here
}

// acks is what is to be acknowledged, and what has been.
type acks struct {
	due      bool
	at       time.Time // by when
	entries  uint64    // merged on this link, of updates
	repaired uint64    // and of parts
	pos      uint64    // of ours, acknowledged
	theirs   [2]uint64 // entries and repaired as the other said last
}

// NewLink begins a conversation over a new connection with the peer of remote.
// The link that remote had before keeps working, but is not believed any more.
func NewLink(cfg LinkConfig, remote *Remote) *Link {
	l := &Link{
		cfg: cfg, remote: remote, leads: cfg.Self < remote.name,
		versions: [2]uint64{versionMin, versionMax},
	}
	for i, s := range cfg.States {
		parts := len(s.Digests(nil)) / BucketsPerPart
		l.lanes = append(l.lanes, &lane{state: s, name: s.Name(), number: uint64(i), parts: parts})
	}
	return l
}

// A DropError says that a frame was dropped; the connection goes on.
type DropError struct {
	Kind string // of the frame
	Err  error
}

func (e *DropError) Error() string {
	return fmt.Sprintf("peers: %s frame dropped: %v", e.Kind, e.Err)
}

func (e *DropError) Unwrap() error { return e.Err }

// A handler takes the fields of a frame.
type handler struct {
	name   string
	fields int // at least
	take   func(l *Link, now time.Time, r *wire.Reader) error
}

// handlers is indexed by type.
var handlers = [numTypes]handler{
	typeHello:   {"hello", 6, (*Link).takeHello},
	typeStart:   {"start", 4, (*Link).takeStart},
	typeUpdate:  {"update", 3, (*Link).takeUpdate},
	typeAck:     {"ack", 4, (*Link).takeAck},
	typeDigests: {"digests", 4, (*Link).takeDigests},
	typeWant:    {"want", 4, (*Link).takeWant},
	typePart:    {"part", 3, (*Link).takePart},
	typeDone:    {"done", 2, (*Link).takeDone},
	typeEcho:    {"echo", 1, (*Link).takeEcho},
	typeEchoed:  {"echoed", 2, (*Link).takeEchoed},
	typeMessage: {"message", 2, (*Link).takeMessage},
	typeBye:     {"bye", 0, (*Link).takeBye},
	typeShape:   {"shape", 2, (*Link).takeShape},
}

// Receive takes a frame, without its length. A *DropError is for the log only;
// after an error that is ErrEnd the connection has to be closed. Nothing keeps
// the frame.
func (l *Link) Receive(now time.Time, frame []byte) error {
	r := wire.NewReader(frame, errFrame)
	fields := r.Array(1) - 1
	kind := r.Uint()
	known := r.Err() == nil && kind < numTypes && handlers[kind].take != nil

	l.remote.mu.Lock()
	l.remote.counters.BytesIn += uint64(lengthSize + len(frame))
	greeted := l.greeted
	if r.Err() == nil && !known {
		l.remote.counters.Unknown++
	}
	l.remote.mu.Unlock()

	switch {
	case r.Err() != nil:
		return l.drop("unreadable", r.Err())
	case !known && greeted:
		return nil
	case (kind == typeHello) == greeted:
		return fmt.Errorf("%w: frame of type %d, hello seen: %t", ErrEnd, kind, greeted)
	case fields < handlers[kind].fields:
		return l.drop(handlers[kind].name, fmt.Errorf("%w: %d fields", errFrame, fields))
	}
	err := handlers[kind].take(l, now, &r)
	if err != nil && !errors.Is(err, ErrEnd) {
		return l.drop(handlers[kind].name, err)
	}
	return err
}

func (l *Link) drop(kind string, err error) error {
	l.remote.Drop()
	return &DropError{Kind: kind, Err: err}
}

// lane finds the lane of a state by the other's number; nil with no error for
// a state that is not here.
func (l *Link) lane(r *wire.Reader) (*lane, error) {
	n := r.Uint()
	if r.Err() == nil && n >= uint64(len(l.byTheirs)) {
		r.Fail("state %d of %d", n, len(l.byTheirs))
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return l.byTheirs[n], nil
}

// Ready tells whether all that the other had when the connection began, or was
// repaired later, has been learned at least once.
func (l *Link) Ready() bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if !l.greeted {
		return false
	}
	for _, ln := range l.lanes {
		if ln.shared && !ln.inbound.learned {
			return false
		}
	}
	return true
}

// StateInfo is how a state fares on a link. Positions are numbers of changes.
type StateInfo struct {
	Name     string
	Shared   bool   // the other has it, too
	Unlike   bool   // but of another shape
	Sent     uint64 // in our journal, behind what the link has handed out
	Acked    uint64 // behind what the other says it has merged
	Received uint64 // in the other's, behind what has been merged here
	Learned  bool   // all the other had is here
	Repairs  bool   // buckets are being compared or exchanged
}

// States tells how the states fare, in the order of LinkConfig.
func (l *Link) States() []StateInfo {
	list := make([]StateInfo, len(l.lanes))
	for i, ln := range l.lanes {
		list[i].Unlike = l.isUnlike(ln)
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	for i, ln := range l.lanes {
		list[i] = StateInfo{
			Name: ln.name, Shared: ln.shared, Unlike: list[i].Unlike, Sent: ln.sent, Acked: ln.acks.pos,
			Received: ln.inbound.pos, Learned: ln.inbound.learned,
			Repairs: ln.round.active || ln.sending.due || ln.inbound.gap,
		}
	}
	return list
}

// Left tells whether the other has said bye: it leaves in order.
func (l *Link) Left() bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return l.left
}

// Bye has Next say bye, behind the changes that there are by then.
func (l *Link) Bye() {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if l.bye == 0 {
		l.bye = byeWanted
	}
}

// Look has Next compare digests now, not when it is time: a third peer is gone, and
// of its last changes the other may have heard what we have not, or the other way
// round.
func (l *Link) Look(now time.Time) {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	for _, ln := range l.lanes {
		ln.round.lookSoon(now)
	}
}

// Bidden tells whether Next has handed out our bye.
func (l *Link) Bidden() bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return l.bye == byeSent
}
