package sticktable

const pullStep = 64 // marks copied under one lock of the journal

// Pull appends a blob of this peer's changes from position pos on to dst, at
// most about limit bytes, and returns the position behind them: the state of
// each changed entry as it is now, with this peer's slot only. A change that
// was made again later is told there. With nothing to tell dst is returned as
// it was; next is then behind pos only if all of it has gone or comes later.
// ok is false if the journal does not hold pos: then only a repair helps.
func (t *Table) Pull(dst []byte, pos uint64, limit int) (b []byte, next uint64, ok bool) {
	if t.journal == nil {
		return dst, pos, false
	}
	var marks [pullStep]mark
	n, ok := t.journal.read(marks[:], pos)
	if n == 0 {
		return dst, pos, ok
	}
	w := t.newBlob()
	defer w.recycle()
	for n > 0 && !w.full(limit) {
		pos = t.pull(w, marks[:n], pos, limit)
		// If the journal has overtaken pos meanwhile the next call says so.
		n, _ = t.journal.read(marks[:], pos)
	}
	if w.empty() {
		return dst, pos, true
	}
	return w.appendTo(dst), pos, true
}

// pull adds what the marks from position pos on say, until the blob is full,
// and returns the position behind.
func (t *Table) pull(w *blobWriter, marks []mark, pos uint64, limit int) uint64 {
	for _, m := range marks {
		if w.full(limit) {
			break
		}
		switch m.kind {
		case markFloor:
			w.allFloors()
		case markForget:
			if f, ok := t.journal.forgotAs(m, pos); ok {
				w.forget(f)
			}
		default:
			t.pullEntry(w, m, pos)
		}
		pos++
	}
	return pos
}

// pullEntry adds a record unless it went, or was changed again behind pos.
func (t *Table) pullEntry(w *blobWriter, m mark, pos uint64) {
	sh := &t.shards[m.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock() // nothing was changed
	if r := sh.at(m.id); r.key != "" && r.pos == uint32(pos) {
		w.record(sh, m.id, false)
	}
}

// Part appends a blob of the entries in those buckets of a part that mask has
// a bit for, from cursor on, which is 0 at first; at most about limit bytes.
// next is the cursor to go on from, 0 at the end. Entries that change
// meanwhile are told as they are when they are met. The floors stand in every
// blob.
func (t *Table) Part(dst []byte, part int, mask uint16, cursor uint32, limit int) (b []byte, next uint32) {
	return t.appendPart(dst, span{part, mask, cursor}, limit, false)
}

// PartUnlike is Part for a peer that stores other counters: of the counts it has
// this peer's own. Those of others he hears from themselves; told by one who
// knows but some of the counters, they would stand for all of them.
func (t *Table) PartUnlike(dst []byte, part int, mask uint16, cursor uint32, limit int) (b []byte, next uint32) {
	return t.appendPart(dst, span{part, mask, cursor}, limit, true)
}

// span is what Part is asked for.
type span struct {
	part   int
	mask   uint16
	cursor uint32
}

func (t *Table) appendPart(dst []byte, s span, limit int, unlike bool) (b []byte, next uint32) {
	if s.part < 0 || s.part >= numShards {
		return dst, 0
	}
	w := t.newBlob()
	defer w.recycle()
	w.ownCounts = unlike
	w.allFloors()
	sh := &t.shards[s.part]
	next = max(s.cursor, 1)
	for next != 0 && !w.full(limit) {
		next = t.part(w, sh, s.mask, next, limit)
	}
	if w.empty() {
		return dst, next
	}
	return w.appendTo(dst), next
}

// part adds at most rangeStep records, from that number on, and returns the
// number to go on from, 0 at the end.
func (t *Table) part(w *blobWriter, sh *shard, mask uint16, from uint32, limit int) uint32 {
	sh.mu.Lock()
	defer sh.mu.Unlock() // nothing was changed
	w.touched = sh.touchKeys(from)
	for id := from; id <= sh.top && id >= from; id++ {
		if id-from == rangeStep || w.full(limit) {
			return id
		}
		r := sh.at(id)
		if r.key != "" && (mask == 1<<numBuckets-1 || mask>>bucketOf(keyHash(r.key))&1 != 0) {
			w.record(sh, id, true)
		}
	}
	return 0
}

// touchKeys reads a byte of the keys of rangeStep records. The keys of a large
// table lie anywhere in memory, and waiting for one after the other is most of
// what it takes to tell it; here the processor fetches many at once.
func (s *shard) touchKeys(from uint32) (sum byte) {
	for id := from; id <= s.top && id-from < rangeStep; id++ {
		if key := s.at(id).key; key != "" {
			sum += key[0]
		}
	}
	return sum
}
