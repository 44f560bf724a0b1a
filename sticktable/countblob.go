package sticktable

import "imaplb/wire"

// The counts of a key between peers. What is 0 is left out. A rate is told with
// the age of its present period by the clock of who tells it, when he does, so
// that it does not matter by how much clocks differ.
const (
	countFields     = 3 // key, lastUsed, slots
	countSlotFields = 4 // peer, version, cur, counters
	countValue      = 2 // counter, n
	countMark       = 3 // counter, stamp, n
	countRate       = 5 // counter, period in ms, age in ms, events before, events now
)

// count adds the counts of a record of a locked shard, this peer's or all.
func (w *blobWriter) count(sh *shard, id uint32, all bool) {
	c, n := sh.counters, 0
	for s := c.head(id); s != 0; s = next(c.slot(s)) {
		if all || peerOf(c.slot(s)) == selfID {
			n++
		}
	}
	if n == 0 {
		return
	}
	b := wire.AppendString(wire.AppendArray(w.counts, countFields), sh.at(id).key)
	b = wire.AppendUint(b, uint64(max(sh.at(id).lastUsed, 0)))
	b = wire.AppendArray(b, n)
	for s := c.head(id); s != 0; s = next(c.slot(s)) {
		if slot := c.slot(s); all || peerOf(slot) == selfID {
			b = w.countSlot(b, c, slot)
		}
	}
	w.counts = b
	w.numCounts++
}

func (w *blobWriter) countSlot(b []byte, c *counters, slot []uint64) []byte {
	b = wire.AppendUint(wire.AppendArray(b, countSlotFields), w.peer(peerOf(slot)))
	b = wire.AppendUint(b, slot[slotVersion])
	b = wire.AppendUint(b, slot[slotCur])
	n := 0
	for d := range NumData {
		if c.isTold(d, slot) {
			n++
		}
	}
	b = wire.AppendArray(b, n)
	for d := range NumData {
		at := c.at[d]
		switch {
		case !c.isTold(d, slot):
		case dataNames[d].rate:
			b = wire.AppendUint(wire.AppendArray(b, countRate), dataNames[d].wire)
			b = wire.AppendUint(b, uint64(c.period[d]))
			b = wire.AppendUint(b, uint64(max(w.t.latest.Load()-int64(slot[at]), 0)))
			b = wire.AppendUint(wire.AppendUint(b, slot[at+1]>>32), slot[at+1]&maxEvents)
		case d == GPT0:
			b = wire.AppendUint(wire.AppendArray(b, countMark), dataNames[d].wire)
			b = wire.AppendInt(wire.AppendUint(b, slot[at]), int64(slot[at+1]))
		default:
			b = wire.AppendUint(wire.AppendArray(b, countValue), dataNames[d].wire)
			b = wire.AppendInt(b, int64(slot[at]))
		}
	}
	return b
}

// isTold reports whether a counter of a slot is more than nothing.
func (c *counters) isTold(d Data, slot []uint64) bool {
	at := c.at[d]
	switch {
	case at == 0 || d == ConnCur:
		return false
	case dataNames[d].rate:
		return slot[at+1] != 0
	}
	return slot[at] != 0
}

// counts reads the counts of a key and merges them; a table that has none
// passes over them.
func (r *blobReader) counts() {
	if r.layout == nil {
		r.Skip(1)
		return
	}
	fields := r.Array(countFields)
	key, used, slots := r.Text(1, MaxKey), r.Uint(), r.Array(0)
	if slots > maxSlots {
		r.Fail("counts of %d peers, at most %d", slots, maxSlots)
	}
	r.words = r.words[:0]
	known, ok := true, true
	for ; slots > 0 && r.Err() == nil; slots-- {
		name, can := r.countSlot()
		known, ok = known && name, ok && can
	}
	r.Skip(fields - countFields)
	if r.Err() != nil {
		return
	}
	r.entries++
	switch {
	case !known:
		r.refuse(ErrName)
	case !ok || used > uint64(r.now.Add(maxAhead).UnixMilli()):
		r.refuse(ErrStamp)
	default:
		r.t.takeCounts(r.now, r.layout, key, int64(used), r.words)
	}
}

// countSlot reads a slot, and reports whether there is room for its peer's name
// and whether its times can be.
func (r *blobReader) countSlot() (known, ok bool) {
	l := r.layout
	fields := r.Array(countSlotFields)
	name, version, cur := r.name(), r.Uint(), r.Uint()
	if cur > 1<<32-1 {
		r.Fail("%d connections", cur)
	}
	from := len(r.words)
	for range l.width {
		r.words = append(r.words, 0)
	}
	w := r.words[from:]
	ok = version != 0 && possible(version, r.now)
	for n := r.Array(0); n > 0 && r.Err() == nil; n-- {
		ok = r.counter(w) && ok
	}
	r.Skip(fields - countSlotFields)
	if r.Err() != nil {
		return false, false
	}
	peer, known := r.peer(name)
	w[slotVersion], w[slotLink], w[slotCur] = version, uint64(peer)<<32, cur
	return known, ok
}

// counter reads a counter into a slot, if the table stores it like that, and
// reports whether its time can be.
func (r *blobReader) counter(w []uint64) (ok bool) {
	l, fields := r.layout, r.Array(countValue)
	d := dataOnWire(r.Uint())
	if d == NumData {
		r.Skip(fields - 1)
		return true
	}
	want, at := countValue, l.at[d]
	ok = true
	switch {
	case dataNames[d].rate:
		want = countRate
		period, age, before, now := r.Uint(), r.Uint(), r.Uint(), r.Uint()
		if before > maxEvents || now > maxEvents {
			r.Fail("%d and %d events", before, now)
		}
		if at != 0 && period == uint64(l.period[d]) && r.Err() == nil {
			ms := r.now.UnixMilli()
			w[at], w[at+1] = uint64(ms-int64(min(age, uint64(ms)))), before<<32|now
		}
	case d == GPT0:
		want = countMark
		stamp, n := r.Uint(), r.Int()
		ok = possible(stamp, r.now)
		if at != 0 {
			w[at], w[at+1] = stamp, uint64(n)
		}
	default:
		if n := r.Int(); at != 0 {
			w[at] = uint64(n)
		}
	}
	if fields < want {
		r.Fail("counter of %d fields, at least %d", fields, want)
	}
	r.Skip(fields - want)
	return ok
}
