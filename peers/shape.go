package peers

import (
	"time"

	"imaplb/wire"
)

// shape is what the other's hello, or a frame since, says of the shape of its
// state. It is guarded by Remote.mu.
type shape struct {
	told   bool
	number uint64
}

// isUnlike reports whether the other's state is of another shape; then ours is
// Shaped. Without shapes all are alike.
func (l *Link) isUnlike(ln *lane) bool {
	s, ok := ln.state.(Shaped)
	if !ok {
		return false
	}
	l.remote.mu.Lock()
	theirs := ln.theirShape
	l.remote.mu.Unlock()
	return theirs.told && theirs.number != s.Shape()
}

// digests are those that can be compared with the other's.
func (l *Link) digests(ln *lane, dst []uint64) []uint64 {
	if l.isUnlike(ln) {
		return ln.state.(Shaped).DigestsUnlike(dst)
	}
	return ln.state.Digests(dst)
}

// entries are those of the part at hand that the other is to have.
func (l *Link) entries(ln *lane, dst []byte, room int) (b []byte, next uint32) {
	if l.isUnlike(ln) {
		return ln.state.(Shaped).PartUnlike(dst, ln.part, ln.mask, ln.cursor, room)
	}
	return ln.state.Part(dst, ln.part, ln.mask, ln.cursor, room)
}

// appendShape tells of a shape that has changed since it was told.
func (l *Link) appendShape(ln *lane, dst []byte) []byte {
	s, ok := ln.state.(Shaped)
	if !ok || !l.isShared(ln) {
		return dst
	}
	n := s.Shape()
	if n == ln.shapeTold {
		return dst
	}
	ln.shapeTold = n
	l.compareAll(ln)
	start := len(dst)
	dst = wire.AppendUint(openFrame(dst, typeShape, 2), ln.number)
	return closeFrame(wire.AppendUint(dst, n), start)
}

func (l *Link) takeShape(_ time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	n := r.Uint()
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	ln.theirShape = shape{true, n}
	l.remote.mu.Unlock()
	l.compareAll(ln)
	return nil
}

// compareAll has those alike now repair what could not be compared before.
func (l *Link) compareAll(ln *lane) {
	if l.isUnlike(ln) {
		return
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	ln.round.repair = true
}
