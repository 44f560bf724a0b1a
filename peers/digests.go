package peers

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"time"

	"imaplb/wire"
)

// A want has the buckets that differ in a round, as a mask for each part, and
// the numbers they have here. Immutable.
type want struct {
	round   uint64
	masks   []uint16
	numbers []uint64 // of the buckets that have a bit, in order; empty for a look
}

// appendDigests begins a round if one is due.
func (l *Link) appendDigests(now time.Time, ln *lane, dst []byte) []byte {
	if !l.beginRound(now, ln) {
		return dst
	}
	// Only now: what changed before is in the numbers, what changes later is
	// behind the position our updates come from.
	l.numbers = l.digests(ln, l.numbers[:0])
	start := len(dst)
	dst = wire.AppendUint(openFrame(dst, typeDigests, 4), ln.number)
	dst = wire.AppendUint(dst, ln.round.id) // changed by this goroutine alone
	dst = wire.AppendUint(dst, uint64(ln.round.kind))
	return closeFrame(appendDigestBlob(dst, l.numbers), start)
}

func (l *Link) beginRound(now time.Time, ln *lane) bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if !l.leads || !ln.shared || !ln.inbound.started || !ln.round.begin(now) {
		return false
	}
	if ln.round.kind == kindRepair && ln.inbound.gap {
		ln.inbound.mends = ln.round.id
	}
	return true
}

// takeDigests compares, and answers with a want and its own parts.
func (l *Link) takeDigests(now time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	id, kind, blob := r.Uint(), r.Uint(), r.Bytes(8*MaxBuckets)
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	l.compared = l.digests(ln, l.compared[:0])
	if l.leads || len(blob) != 8*len(l.compared) || len(l.compared) != ln.parts*BucketsPerPart {
		return fmt.Errorf("%w: %d bytes for %d buckets", errFrame, len(blob), len(l.compared))
	}
	masks := difference(l.compared, blob)
	all := countBits(masks)
	switch kind {
	case kindLook:
		ln.looked = masks
	case kindConfirm:
		looked := ln.looked != nil
		ln.first = intersect(masks, ln.looked, ln.first, maxCheck)
		ln.looked = nil
		if looked {
			all = countBits(masks) // what differed once was on its way
		}
	}
	w := &want{round: id, masks: masks}
	if kind != kindLook {
		w.numbers = chosen(l.compared, masks)
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	ln.wanted = w
	if all == 0 {
		l.remote.agreed = now
	}
	if kind == kindLook {
		return nil
	}
	ln.sending.add(id, masks)
	if kind == kindRepair && ln.inbound.gap {
		ln.inbound.mends = id
	}
	return nil
}

// difference has a bit for each bucket whose number is not that in blob.
func difference(numbers []uint64, blob []byte) []uint16 {
	masks := make([]uint16, len(numbers)/BucketsPerPart)
	for i, n := range numbers {
		if binary.BigEndian.Uint64(blob[8*i:]) != n {
			masks[i/BucketsPerPart] |= 1 << (i % BucketsPerPart)
		}
	}
	return masks
}

// chosen has the numbers of the buckets that have a bit.
func chosen(numbers []uint64, masks []uint16) (c []uint64) {
	for i, n := range numbers {
		if masks[i/BucketsPerPart]>>(i%BucketsPerPart)&1 != 0 {
			c = append(c, n)
		}
	}
	return c
}

// intersect keeps of masks what is in other too, limit buckets at most, in the
// order of parts that begins with from and goes round. It returns where to begin
// next: at the part that was cut, so that buckets that differ for good keep no
// others back. A nil other leaves none.
func intersect(masks, other []uint16, from, limit int) (next int) {
	if other == nil {
		clear(masks)
		return from
	}
	next, cut := from, false
	for step := range masks {
		i := (from + step) % len(masks)
		masks[i] &= other[i]
		n := bits.OnesCount16(masks[i])
		if n > limit && !cut {
			next, cut = i, true
		}
		for ; n > limit; n-- {
			masks[i] &= masks[i] - 1
		}
		limit -= n
	}
	return next
}

func countBits(masks []uint16) (n int) {
	for _, m := range masks {
		n += bits.OnesCount16(m)
	}
	return n
}

// appendWant tells what differed. remote.mu is held.
func (ln *lane) appendWant(dst []byte) []byte {
	w := ln.wanted
	if w == nil {
		return dst
	}
	ln.wanted = nil
	n := 0
	for _, m := range w.masks {
		if m != 0 {
			n++
		}
	}
	start := len(dst)
	dst = wire.AppendUint(openFrame(dst, typeWant, 4), ln.number)
	dst = wire.AppendArray(wire.AppendUint(dst, w.round), n)
	for part, m := range w.masks {
		if m != 0 {
			dst = wire.AppendUint(wire.AppendUint(wire.AppendArray(dst, 2), uint64(part)), uint64(m))
		}
	}
	return closeFrame(appendDigestBlob(dst, w.numbers), start)
}

// appendDigestBlob appends numbers as a blob, 8 bytes each, big endian.
func appendDigestBlob(dst []byte, numbers []uint64) []byte {
	dst = wire.AppendBin(dst, nil)
	blob := len(dst)
	for _, n := range numbers {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	binary.BigEndian.PutUint32(dst[blob-4:], uint32(len(dst)-blob))
	return dst
}

// takeWant: the leader learns what differs; the other's parts follow.
func (l *Link) takeWant(now time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	id := r.Uint()
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	masks := ln.masks(r)
	numbers := r.Bytes(8 * MaxBuckets)
	if r.Err() != nil {
		return r.Err()
	}
	differ := countBits(masks)
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if !ln.round.active || id != ln.round.id {
		return nil // of a round given up
	}
	if differ == 0 {
		l.remote.agreed = now
	}
	if !ln.round.differ(now, differ) {
		return nil
	}
	if len(numbers) != 8*differ {
		return fmt.Errorf("%w: %d bytes for %d buckets", errFrame, len(numbers), differ)
	}
	ln.asked = want{round: id, masks: masks}
	for ; len(numbers) > 0; numbers = numbers[8:] {
		ln.asked.numbers = append(ln.asked.numbers, binary.BigEndian.Uint64(numbers))
	}
	return nil
}

// masks reads pairs of part and mask.
func (ln *lane) masks(r *wire.Reader) []uint16 {
	masks := make([]uint16, ln.parts)
	for range r.Array(0) {
		fields := r.Array(2)
		part, mask := r.Uint(), r.Uint()
		r.Skip(fields - 2)
		if r.Err() == nil && (part >= uint64(ln.parts) || mask > math.MaxUint16) {
			r.Fail("part %d of %d, mask %#x", part, ln.parts, mask)
		}
		if r.Err() != nil {
			return nil
		}
		masks[part] |= uint16(mask)
	}
	return masks
}

// remaining has the buckets of a want that differ even now that the other's
// parts have been merged here: those the other lacks something of. A peer that
// has learned everything does not send it all back.
func (ln *lane) remaining(w want, numbers []uint64) []uint16 {
	masks := make([]uint16, ln.parts)
	at := 0
	for i, n := range numbers {
		part, bit := i/BucketsPerPart, uint16(1)<<(i%BucketsPerPart)
		if part >= len(w.masks) || w.masks[part]&bit == 0 {
			continue
		}
		if at >= len(w.numbers) || w.numbers[at] != n {
			masks[part] |= bit
		}
		at++
	}
	return masks
}
