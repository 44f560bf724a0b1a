package peers

import "time"

// State is a replicated value. peers ships it without knowing what it holds.
// Content is divided into parts of BucketsPerPart buckets. Merge must be
// idempotent, commutative and associative, because updates arrive twice, late
// and in any order. Any goroutine may call any method.
type State interface {
	// Name tells states apart, the same on all peers; 1 to 255 bytes.
	Name() string
	// Head is the position behind the newest of this peer's own changes. Of a
	// state that takes the place of another of its name, positions are greater.
	Head() uint64
	// Pull appends this peer's changes from position pos on to dst, about max
	// bytes at most, and returns the position behind them. With nothing new it
	// returns dst and pos as they were. ok is false if the journal does not
	// hold pos (too old, or never was): then only a repair helps.
	Pull(dst []byte, pos uint64, max int) (b []byte, next uint64, ok bool)
	// Digests appends a number for each bucket, in order; equal content gives
	// equal numbers on every peer. The length is a constant multiple of
	// BucketsPerPart.
	Digests(dst []uint64) []uint64
	// Part appends entries of those buckets of a part that mask has a bit for,
	// from cursor on (0 is the beginning), about max bytes at most. next is the
	// cursor to go on from, 0 at the end. What it appends may be empty.
	Part(dst []byte, part int, mask uint16, cursor uint32, max int) (b []byte, next uint32)
	// Merge takes what Pull or Part made at another peer and tells how many
	// entries it held. Malformed or impossible input is an error and changes
	// nothing, or only what came before the fault.
	Merge(now time.Time, from string, b []byte) (entries int, err error)
	// Watch has wake called after this peer's journal has grown. wake does not block.
	Watch(wake func())
}

// A Shaped state may hold other things than the state of that name at a peer, as
// tables do that count other things. What both hold goes on by Pull and Merge,
// each passing over what it does not know; what one of them cannot hold is not
// compared, since it would differ for ever.
type Shaped interface {
	State
	// Shape is a number that is the same for all that hold the same, whatever
	// the process. It may change; then what Watch was given is called.
	Shape() uint64
	// DigestsUnlike is Digests of what peers of another shape hold as well.
	DigestsUnlike(dst []uint64) []uint64
	// PartUnlike is Part for them.
	PartUnlike(dst []byte, part int, mask uint16, cursor uint32, max int) (b []byte, next uint32)
}

// BucketsPerPart is how many buckets a part has: the bits of Part's mask.
const BucketsPerPart = 16
