package peers

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

// A stream is proven when it begins, with the key that encrypts then. Keys come
// and go while it stands, so both ends show proofs of all the keys they hold
// whenever their ring has changed: the same proofs that introduce them, bound to
// this connection. A stream ends when no proof that was shown is by a key that
// is left. A peer of an earlier version shows nothing more, and is met again by
// a new stream.

// topicKeys is the topic of proofs; they stand one behind the other.
const topicKeys = "/keys"

// oldKeyAfter is how long after a key was removed the streams end that were
// proven with it alone: proofs with another may be on their way.
const oldKeyAfter = time.Second

var (
	errOldKey = errors.New("it has shown no key that is left")
	errProofs = errors.New("malformed proofs")
)

// A meeting is a connection whose ends have shown who they are.
type meeting struct {
	raw  net.Conn
	conn *tls.Conn
	*shown
}

// shown is what the other end of a connection has shown of its keys. It is
// shared: any goroutine may call any method.
type shown struct {
	// Immutable.
	proof       *proof
	self, other intro
	dialed      bool // by us

	mu   sync.Mutex // guards macs
	macs [][]byte
}

// roles are ours and the other's.
func (s *shown) roles() (own, others string) {
	if s.dialed {
		return "dialer", "acceptor"
	}
	return "acceptor", "dialer"
}

// mine are the proofs of all our keys.
func (s *shown) mine() (b []byte) {
	own, _ := s.roles()
	for _, key := range s.proof.keys() {
		b = append(b, s.proof.mac(key, own, s.self, s.other.name)...)
	}
	return b
}

// take takes those of the other in place of what it showed before; they are
// looked at when that matters, as the keys they are by may come here later.
func (s *shown) take(b []byte) error {
	if len(b) == 0 || len(b)%sha256.Size != 0 || len(b) > MaxKeys*sha256.Size {
		return errProofs
	}
	macs := slices.Collect(slices.Chunk(bytes.Clone(b), sha256.Size))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.macs = macs
	return nil
}

// holds tells whether the other has shown a key of ours.
func (s *shown) holds() bool {
	s.mu.Lock()
	macs := s.macs
	s.mu.Unlock()
	_, others := s.roles()
	for _, key := range s.proof.keys() {
		want := s.proof.mac(key, others, s.other, s.self.name)
		if slices.ContainsFunc(macs, func(m []byte) bool { return hmac.Equal(m, want) }) {
			return true
		}
	}
	return false
}

// showKeys has the writer tell the other of all our keys.
func (s *stream) showKeys() {
	s.show.Store(true)
	s.nudge()
}

// sayKeys is that, when there is room among the messages that wait; else the
// writer comes again when it has sent some.
func (s *stream) sayKeys() {
	if s.show.Swap(false) && s.link.Message(topicKeys, s.met.mine()) != nil {
		s.show.Store(true)
	}
}

// keysChanged is called after the ring has changed.
func (g *Group) keysChanged() {
	for _, s := range *g.live.Load() {
		s.showKeys()
	}
	time.AfterFunc(oldKeyAfter, g.endStale)
}

// endStale ends the streams whose keys have gone.
func (g *Group) endStale() {
	for _, s := range *g.live.Load() {
		if !s.met.holds() {
			s.close(errOldKey)
		}
	}
}
