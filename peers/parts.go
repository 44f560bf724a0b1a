package peers

import (
	"fmt"
	"time"

	"imaplb/wire"
)

// A transfer is the rest of what is to be sent in a round: a bit for each
// bucket. The entries are read when they are sent. It is guarded by Remote.mu.
type transfer struct {
	due   bool // a done is owed
	round uint64
	masks []uint16
	from  int // the parts before it have no bits
}

func (t *transfer) add(round uint64, masks []uint16) {
	t.due, t.round, t.from = true, round, 0
	if t.masks == nil {
		t.masks = make([]uint16, len(masks))
	}
	for i, m := range masks {
		t.masks[i] |= m
	}
}

// next takes a part out; false when there is none.
func (t *transfer) next() (part int, mask uint16, ok bool) {
	for ; t.from < len(t.masks); t.from++ {
		if m := t.masks[t.from]; m != 0 {
			t.masks[t.from] = 0
			return t.from, m, true
		}
	}
	t.masks = nil
	return 0, 0, false
}

// appendTransfers appends parts, behind the updates; however many of these
// there are, a few parts go along.
func (l *Link) appendTransfers(now time.Time, dst []byte, limit int) []byte {
	limit = max(limit, len(dst)+maxBatch/4)
	for i := range l.lanes {
		ln := l.lanes[(l.turn+i)%len(l.lanes)]
		for step := 0; step < maxSteps && limit-len(dst) >= minBlob; step++ {
			if !l.nextPart(ln) {
				dst = l.appendDone(now, ln, dst)
				break
			}
			dst = l.appendPart(now, ln, dst, limit-len(dst))
		}
	}
	return dst
}

// nextPart makes sure that the lane is at a part; false when all are sent.
func (l *Link) nextPart(ln *lane) bool {
	if ln.mask != 0 {
		return true
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if ln.wanted != nil {
		return false // the want goes first
	}
	ok := false
	ln.part, ln.mask, ok = ln.sending.next()
	ln.cursor = 0
	return ok
}

// appendPart appends a frame of entries; none if Part gave none.
func (l *Link) appendPart(now time.Time, ln *lane, dst []byte, room int) []byte {
	dst, f := openBlob(dst, typePart, ln.number, 0)
	dst, ln.cursor = l.entries(ln, dst, room)
	if ln.cursor == 0 {
		ln.mask = 0
	}
	if len(dst) == f.blob {
		return dst[:f.start]
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	f.setNumber(dst, ln.sending.round)
	if ln.sending.round == ln.round.id { // not of a round that the other began
		ln.round.since = now
	}
	dst, ok := f.close(dst)
	if !ok { // a state that does not keep to max
		l.remote.counters.Dropped++
	}
	return dst
}

// appendDone ends this side's part of a round.
func (l *Link) appendDone(now time.Time, ln *lane, dst []byte) []byte {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if !ln.sending.due || ln.sending.masks != nil || ln.wanted != nil {
		return dst // or a want, or more to send, came meanwhile
	}
	ln.sending.due = false
	if l.leads && ln.round.active && ln.sending.round == ln.round.id {
		ln.round.sent = true
		ln.round.finish(now)
	}
	return appendNumbers(dst, typeDone, ln.number, ln.sending.round)
}

func (l *Link) takePart(now time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	r.Uint() // the round: whose they are does not matter
	blob := r.Bytes(maxFrame)
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	entries, err := ln.state.Merge(now, l.remote.name, blob)
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	l.remote.counters.RepairedIn += uint64(entries)
	ln.acks.repaired += uint64(entries)
	ln.acks.ask(now)
	ln.round.since = now
	if err != nil {
		return fmt.Errorf("merging %q: %w", ln.name, err)
	}
	return nil
}

// takeDone: the other has sent all it had in the buckets that differed. Then
// it is the leader's turn.
func (l *Link) takeDone(now time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	id := r.Uint()
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	var masks []uint16
	if l.leads && ln.asked.round == id && id != 0 {
		l.compared = l.digests(ln, l.compared[:0])
		masks = ln.remaining(ln.asked, l.compared)
		ln.asked = want{}
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if in := &ln.inbound; in.gap && in.mends == id && id != 0 {
		in.gap, in.learned = false, true
		l.remote.hold(l, ln.name, in.pos)
	}
	if masks != nil && ln.round.active && id == ln.round.id {
		ln.sending.add(id, masks)
		ln.round.got = true
		ln.round.finish(now)
	}
	return nil
}
