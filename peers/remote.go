package peers

import (
	"maps"
	"sync"
	"time"
)

// A Remote is what is known of a peer over all connections with it. It is
// shared: any goroutine may call any method.
type Remote struct {
	name string

	mu          sync.Mutex // guards the fields below, and those of Link and lane that say so
	link        *Link      // the newest one
	incarnation uint64     // of the peer's process, as its last hello said
	version     uint64
	held        map[string]held
	counters    Counters
	timing      Timing
	agreed      time.Time
}

// held says up to which of its positions a peer's own changes are here.
type held struct {
	incarnation uint64
	pos         uint64
}

// Counters only ever grow.
type Counters struct {
	UpdatesIn, UpdatesOut   uint64 // frames with changes
	EntriesIn, EntriesOut   uint64 // entries in them; out is what the peer has acknowledged
	RepairedIn, RepairedOut uint64 // entries exchanged because digests differed; out as above
	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64 // with lengths, without TLS
	Dropped                 uint64 // frames that were malformed, too long, or would not merge
	Unknown                 uint64 // frames of a type of a later version
	Overruns                uint64 // times the peer was too slow for a journal
	Connects                uint64 // connections that came as far as the hello
}

// Timing is what echoes have measured.
type Timing struct {
	Lag    time.Duration // the last round trip of an echo, through the same queues as updates
	Smooth time.Duration // the same, smoothed over about 8 of them
	Offset time.Duration // the peer's wall clock minus ours
}

// RemoteInfo is a Remote at one moment.
type RemoteInfo struct {
	Name        string
	Incarnation uint64    // 0: never heard
	Version     uint64    // of the protocol, 0: never heard
	Agreed      time.Time // when digests last agreed, in all of a state but what was on its way; zero for never
	Counters    Counters
	Timing      Timing
}

// NewRemote returns the record of a peer never heard of.
func NewRemote(name string) *Remote {
	return &Remote{name: name, held: map[string]held{}}
}

// Info returns what is known.
func (r *Remote) Info() RemoteInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RemoteInfo{
		Name: r.name, Incarnation: r.incarnation, Version: r.version,
		Agreed: r.agreed, Counters: r.counters, Timing: r.timing,
	}
}

// Drop counts a frame that its reader could not even take in.
func (r *Remote) Drop() {
	r.mu.Lock()
	r.counters.Dropped++
	r.mu.Unlock()
}

// attach makes l the link whose word counts and returns what the peer's
// changes are held up to.
func (r *Remote) attach(l *Link) map[string]held {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = l
	return maps.Clone(r.held)
}

// hold notes a position; the word of a link that was replaced does not count,
// since the peer may be another process by now. r.mu is held.
func (r *Remote) hold(l *Link, state string, pos uint64) {
	if r.link == l {
		r.held[state] = held{incarnation: l.incarnation, pos: pos}
	}
}

// forget is lose for the links there are as well as for those to come.
func (r *Remote) forget(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.link = nil // whose word on it would be of the state before
	delete(r.held, state)
}

// lose notes that changes of the peer are missing here. r.mu is held.
func (r *Remote) lose(l *Link, state string) {
	if r.link == l {
		delete(r.held, state)
	}
}
