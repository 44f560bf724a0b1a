package sticktable

import "time"

// Assign gives key to server if nothing happened since the caller looked: seen
// is the entry the caller found, zero if it found none. When the assignment is
// another by now, or a first session has begun meanwhile, the entry as it is
// now is returned with false, and the caller decides again. So concurrent
// first logins of one user agree, and no user is moved away from a session.
//
// A table without room stores nothing and counts it; the entry returned then
// has a zero stamp and serves this one placement.
func (t *Table) Assign(now time.Time, key, server string, seen Entry) (Entry, bool) {
	unstored := Entry{Key: key, Server: server}
	srv, ok := t.servers.id(server)
	if !ok || !validKey(key) {
		t.refused.Add(1)
		return unstored, true
	}
	sh, id := t.open(key, anyCost)
	defer t.unlock(sh)
	if id == 0 {
		return unstored, true
	}
	r := sh.at(id)
	if r.stamp != 0 && !t.dead(sh, id, now) {
		is := t.entry(sh, id, now)
		if is.Stamp != seen.Stamp || is.Sessions > 0 && seen.Sessions == 0 {
			return is, false
		}
	}
	t.assign(sh, id, srv, now)
	return t.entry(sh, id, now), true
}

// Set gives key to server whatever the entry says: an operator's order. What
// becomes of live sessions on the old server is the caller's business.
func (t *Table) Set(now time.Time, key, server string) error {
	if !validKey(key) {
		return ErrKey
	}
	srv, ok := t.servers.id(server)
	if !ok {
		return ErrName
	}
	sh, id := t.open(key, anyCost)
	defer t.unlock(sh)
	if id == 0 {
		return ErrFull
	}
	t.assign(sh, id, srv, now)
	return nil
}

func (t *Table) assign(sh *shard, id uint32, server uint16, now time.Time) {
	t.setAssignment(sh, sh.at(id), Stamp{Time: t.clock.next(now), Peer: selfID}, server)
	sh.touch(id, now.UnixMilli())
	t.note(sh, id)
}

// Withdraw takes an assignment back that led to no session: the entry goes if
// its stamp is still mine and no session was ever counted in it. So names made
// up by strangers who fail to log in do not push users out of the table. The
// peers are told to do the same, once: one that misses it keeps an idle entry
// until it expires.
func (t *Table) Withdraw(key string, mine Stamp) bool {
	sh, id := t.open(key, findOnly)
	defer t.unlock(sh)
	if !sh.unused(id, mine) {
		return false
	}
	if t.journal != nil {
		t.journal.addForget(sh.at(id).key, mine)
		sh.grown = true
	}
	t.drop(sh, id)
	return true
}

// forget does what a peer did that withdrew an assignment.
func (t *Table) forget(key string, its Stamp) {
	sh, id := t.open(key, findOnly)
	defer t.unlock(sh)
	if sh.unused(id, its) {
		t.drop(sh, id)
	}
}

// unused reports whether a record, if there is one, has that very assignment
// and never had a session.
func (s *shard) unused(id uint32, is Stamp) bool {
	if id == 0 || is.IsZero() {
		return false
	}
	r := s.at(id)
	return r.stamp == is.Time && r.writer == is.Peer && r.version == 0 && r.slots == 0 && s.counters.head(id) == 0
}

// Delete removes the entry of key. One with live sessions stays: ok is false
// and inUse true.
func (t *Table) Delete(key string) (ok, inUse bool) {
	sh, id := t.open(key, findOnly)
	defer t.unlock(sh)
	switch {
	case id == 0:
		return false, false
	case sh.inUse(id):
		return false, true
	}
	t.drop(sh, id)
	return true, false
}

// Clear removes all entries without live sessions and tells how many went and
// how many are in use.
func (t *Table) Clear() (removed, inUse int) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		for n := sh.live; n > 0 && sh.head != 0; n-- {
			t.drop(sh, sh.head)
			removed++
			if n%chunkLen == 0 { // let others in
				t.unlock(sh)
				sh.mu.Lock()
			}
		}
		inUse += sh.live
		t.unlock(sh)
	}
	return removed, inUse
}

func validKey(key string) bool { return key != "" && len(key) <= MaxKey }
