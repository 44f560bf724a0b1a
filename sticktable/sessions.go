package sticktable

import "time"

// Enter counts a session of this peer that begins on server. When it returns
// true the caller owes one Leave, and the entry cannot expire before.
//
// False means that nothing was counted. Either the entry returned names
// another server: the key was moved while the session logged in, and must not
// have it here. Or it names this server: the table has no room, and the
// session may go on uncounted. An entry that went meanwhile is made again.
func (t *Table) Enter(now time.Time, key, server string) (Entry, bool) {
	unstored := Entry{Key: key, Server: server}
	srv, ok := t.servers.id(server)
	if !ok || !validKey(key) {
		t.refused.Add(1)
		return unstored, false
	}
	sh, id := t.open(key, anyCost)
	defer t.unlock(sh)
	if id == 0 {
		return unstored, false
	}
	r := sh.at(id)
	if r.stamp == 0 || t.dead(sh, id, now) {
		t.assign(sh, id, srv, now)
	}
	if r.server != srv {
		return t.entry(sh, id, now), false
	}
	t.setOwn(sh, r, r.sessions+1, t.clock.next(now))
	sh.touch(id, now.UnixMilli())
	t.note(sh, id)
	return t.entry(sh, id, now), true
}

// Leave ends what Enter counted; from the last one on the entry ages.
func (t *Table) Leave(now time.Time, key string) {
	sh, id := t.open(key, findOnly)
	defer t.unlock(sh)
	if id == 0 || sh.at(id).sessions == 0 {
		return // not reached while Enter and Leave are paired
	}
	r := sh.at(id)
	t.setOwn(sh, r, r.sessions-1, t.clock.next(now))
	sh.touch(id, now.UnixMilli())
	t.note(sh, id)
}
