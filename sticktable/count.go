package sticktable

import "time"

// Counts is what Count adds. What the table does not store is left out.
type Counts struct {
	Conns     int   // connections begun
	Cur       int   // connections now: 1 more or 1 less
	Sess      int   // logins accepted
	AuthFails int   // wrong passwords
	In, Out   int64 // bytes from and to the client
	Known     bool  // only if there is an entry
}

// Count adds to the counters of key, and sets sum to what they are then. A key
// that had connections keeps its entry as long as it has some. False: the table
// stores no counters, has no room, or no entry if that was asked for. Nothing
// was counted then, and no connection may be taken back. What is counted is
// told to the peers, but not saved.
func (t *Table) Count(now time.Time, key string, c *Counts, sum *Values) bool {
	*sum = Values{}
	if t.layout.Load() == nil || !validKey(key) {
		return false
	}
	over := int64(anyCost)
	if c.Known {
		over = findOnly
	}
	sh, id := t.open(key, over)
	defer t.unlock(sh)
	if id == 0 || c.Known && t.dead(sh, id, now) {
		return false
	}
	if t.dead(sh, id, now) {
		t.drop(sh, id) // it has expired: it begins anew, in the same room
		t.used.Add(1)
		id = sh.insert(t.indexHash(key), key)
	}
	w := sh.counters.of(id, selfID)
	sh.counters.add(w, now.UnixMilli(), c)
	t.counted(sh, id, w, now)
	sh.counters.read(id, now, sum)
	return true
}

// Put changes this peer's part of a counter so that the sum of all is n, an
// operator's order; the entry is made if there is none. A rate does not fall
// below what other peers counted. ErrData means that the table does not store
// it, or that it cannot be set.
func (t *Table) Put(now time.Time, key string, d Data, n int64) error {
	switch l := t.layout.Load(); {
	case l == nil || !l.Has(d) || d == ConnCur || n < 0:
		return ErrData
	case !validKey(key):
		return ErrKey
	}
	sh, id := t.open(key, anyCost)
	defer t.unlock(sh)
	if id == 0 {
		return ErrFull
	}
	w, at := sh.counters.of(id, selfID), sh.counters.at[d]
	var sum Values
	switch {
	case d == GPT0:
		w[at], w[at+1] = t.clock.next(now), uint64(n)
	case dataNames[d].rate:
		w[at], w[at+1] = uint64(now.UnixMilli()), 0
		sh.counters.read(id, now, &sum) // of the others
		w[at+1] = uint64(min(max(n-sum[d], 0), maxEvents))
	default:
		w[at] += uint64(n - sh.counters.total(id, at))
	}
	t.counted(sh, id, w, now)
	return nil
}

// total is the sum of a count over all peers, below 0 if a peer's part was set
// down and another's went since.
func (c *counters) total(id uint32, at int) (sum int64) {
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		sum += int64(c.slot(n)[at])
	}
	return sum
}

// counted ends a change of this peer's slot.
func (t *Table) counted(sh *shard, id uint32, w []uint64, now time.Time) {
	t.saw(now)
	t.flipCounts(sh, sh.at(id).key, w)
	w[slotVersion] = t.clock.next(now)
	t.flipCounts(sh, sh.at(id).key, w)
	sh.touch(id, now.UnixMilli())
	t.noteAgain(sh, id)
}

// saw keeps the latest time that the table was told.
func (t *Table) saw(now time.Time) {
	if ms := now.UnixMilli(); ms > t.latest.Load() {
		t.latest.Store(ms)
	}
}

// add adds to a slot.
func (l *layout) add(w []uint64, now int64, c *Counts) {
	w[slotCur] = uint64(max(int64(w[slotCur])+int64(c.Cur), 0))
	for _, x := range [...]struct {
		n         int64
		cnt, rate Data
	}{
		{int64(c.Conns), ConnCnt, ConnRate}, {int64(c.Sess), SessCnt, SessRate}, {int64(c.AuthFails), AuthFailCnt, AuthFailRate},
		{c.In, BytesInCnt, NumData}, {c.Out, BytesOutCnt, NumData},
	} {
		if at := l.at[x.cnt]; at != 0 {
			w[at] += uint64(x.n)
		}
		if x.rate == NumData || x.n == 0 {
			continue
		}
		if at := l.at[x.rate]; at != 0 {
			addRate(w[at:at+2], l.period[x.rate], now, x.n)
		}
	}
}

// Values are the counters of key; false if there is no entry or no counters.
func (t *Table) Values(now time.Time, key string) (v Values, ok bool) {
	sh, id := t.open(key, findOnly)
	defer sh.mu.Unlock() // nothing was changed
	if id == 0 || sh.counters == nil || t.dead(sh, id, now) {
		return v, false
	}
	sh.counters.read(id, now, &v)
	return v, true
}

// Stored says which counters the table has.
func (t *Table) Stored() Store {
	if l := t.layout.Load(); l != nil {
		return l.Store
	}
	return Store{}
}
