package sticktable

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

const maxSlots = 1024 // peers that may have sessions of one user; those of one more are not counted

// Update is what a peer tells about one entry. Peers and servers go by name:
// numbers differ from peer to peer.
type Update struct {
	Key      string
	Server   string
	Time     uint64 // of the assignment; see Stamp
	Writer   string // peer that made the assignment
	LastUsed int64  // ms since 1970
	Slots    []Slot
}

// Slot is the number of live sessions one peer has for a key.
type Slot struct {
	Peer    string
	Count   uint32
	Version uint64 // a time of the peer's clock; the greater is the later
}

// Merged says what an update did.
type Merged struct {
	Moved bool   // the key now lives on another server than before
	From  string // if moved: the server before
	Local int    // if moved: sessions of this peer, which must end
}

// Update returns what this table would tell a peer about key.
func (t *Table) Update(key string) (Update, bool) {
	sh, id := t.open(key, findOnly)
	defer sh.mu.Unlock() // nothing was changed
	if id == 0 {
		return Update{}, false
	}
	u := t.assignment(sh.at(id))
	u.Slots = t.slots(sh, sh.at(id))
	return u, true
}

// Slots returns the sessions of each peer that had some of key, for display;
// nil if there is no entry.
func (t *Table) Slots(key string) []Slot {
	u, _ := t.Update(key)
	return u.Slots
}

// slots copies the slots of a record of a locked shard, this peer's first.
func (t *Table) slots(sh *shard, r *record) (list []Slot) {
	if r.version != 0 {
		list = append(list, Slot{Peer: t.self, Count: r.sessions, Version: r.version})
	}
	for i := r.slots; i != 0; i = sh.slots[i].next {
		s := &sh.slots[i]
		list = append(list, Slot{Peer: t.peers.name(s.peer), Count: s.count, Version: s.version})
	}
	return list
}

// assignment is a record without its slots.
func (t *Table) assignment(r *record) Update {
	return Update{
		Key: r.key, Server: t.servers.name(r.server), Time: r.stamp,
		Writer: t.peers.name(r.writer), LastUsed: r.lastUsed,
	}
}

// told is an update in the numbers of this table. It is owned by the call it
// serves.
type told struct {
	key      string // copied when it is stored
	stamp    Stamp
	lastUsed int64
	server   uint16
	slots    []peerSlot
}

// MergeUpdate takes what another peer tells. It is idempotent, commutative and
// associative: updates may come twice, late and in any order. The assignment
// goes by time, then by the names of writer and server; each slot by version;
// the last use by the later. A slot of this peer is nobody else's to write and
// is passed over. An update from more than 60 s ahead of now is refused whole.
func (t *Table) MergeUpdate(now time.Time, u Update) (Merged, error) {
	if !validKey(u.Key) {
		return Merged{}, ErrKey
	}
	if len(u.Slots) > maxSlots {
		return Merged{}, fmt.Errorf("sticktable: update has %d slots, at most %d", len(u.Slots), maxSlots)
	}
	in := told{key: u.Key, stamp: Stamp{Time: u.Time}, lastUsed: u.LastUsed, slots: make([]peerSlot, len(u.Slots))}
	for i, s := range u.Slots {
		in.slots[i] = peerSlot{version: s.Version, count: s.Count}
	}
	if !in.possible(now) {
		return Merged{}, ErrStamp
	}
	var ok, ok2 bool
	in.server, ok = t.servers.id(u.Server)
	in.stamp.Peer, ok2 = t.peers.id(u.Writer)
	for i, s := range u.Slots {
		var known bool
		in.slots[i].peer, known = t.peers.id(s.Peer)
		ok = ok && known
	}
	if !ok || !ok2 {
		return Merged{}, ErrName
	}
	m := t.take(now, &in)
	t.tellMoved(&in, m)
	return m, nil
}

// tellMoved tells whom OnMoved named. No lock is held.
func (t *Table) tellMoved(u *told, m Merged) {
	if f := t.moved.Load(); f != nil && m.Moved && m.Local > 0 {
		(*f)(strings.Clone(u.key), m.From, t.servers.name(u.server))
	}
}

// possible reports whether no time in it is 0 or too far ahead of now.
func (u *told) possible(now time.Time) bool {
	ok := u.stamp.Time != 0 && possible(u.stamp.Time, now) &&
		u.lastUsed >= 0 && u.lastUsed <= now.Add(maxAhead).UnixMilli()
	for i := range u.slots {
		ok = ok && u.slots[i].version != 0 && possible(u.slots[i].version, now)
	}
	return ok
}

// take merges what is possible.
func (t *Table) take(now time.Time, u *told) (m Merged) {
	t.clock.observe(u.stamp.Time)
	over := u.lastUsed
	if u.lastUsed+t.expire.Load() <= now.UnixMilli() {
		over = findOnly // what has expired on its way is not worth a new entry
	}
	for i := range u.slots {
		t.clock.observe(u.slots[i].version)
		if t.holds(&u.slots[i]) {
			over = anyCost
		}
	}
	sh, id := t.open(u.key, over)
	defer t.unlock(sh)
	if id == 0 {
		return m // not worth it, or no room, which open has counted
	}
	r := sh.at(id)
	m = t.mergeAssignment(sh, r, u.stamp, u.server)
	for i := range u.slots {
		switch s := &u.slots[i]; {
		case s.version <= t.floors.of(s.peer):
		case s.peer == selfID:
			t.reclaim(sh, id, s, now)
		default:
			t.mergeSlot(sh, r, s)
		}
	}
	// Repetition must not keep an entry from the head of the idle list.
	if idle := !sh.inUse(id); u.lastUsed > r.lastUsed || idle != sh.linked(id) {
		sh.touch(id, max(r.lastUsed, u.lastUsed))
	}
	return m
}

// holds reports whether a slot is worth an entry whatever its age. A session
// that this peer is said to have is: who says so must be told better.
func (t *Table) holds(s *peerSlot) bool {
	return s.count > 0 && s.version > t.floors.of(s.peer) && (s.peer != selfID || t.journal != nil)
}

func (t *Table) mergeAssignment(sh *shard, r *record, s Stamp, server uint16) (m Merged) {
	if !t.later(r, s, server) {
		return m
	}
	if r.server != 0 && r.server != server {
		m = Merged{Moved: true, From: t.servers.name(r.server), Local: int(r.sessions)}
	}
	t.setAssignment(sh, r, s, server)
	return m
}

// later reports whether an assignment wins over that of a record.
func (t *Table) later(r *record, s Stamp, server uint16) bool {
	if s.Time != r.stamp {
		return s.Time > r.stamp
	}
	return cmp.Or(
		cmp.Compare(t.peers.name(s.Peer), t.peers.name(r.writer)),
		cmp.Compare(t.servers.name(server), t.servers.name(r.server))) > 0
}

// mergeSlot takes the slot of another peer if it is later.
func (t *Table) mergeSlot(sh *shard, r *record, s *peerSlot) {
	have := sh.slot(r, s.peer)
	if have == nil || !s.after(*have) {
		return
	}
	t.flipSlot(sh, r.key, *have)
	have.version, have.count = s.version, s.count
	t.flipSlot(sh, r.key, *have)
}

// after reports whether a slot is later than another of the same peer.
func (s *peerSlot) after(o peerSlot) bool {
	return s.version > o.version || s.version == o.version && s.count > o.count
}

// reclaim answers a slot of this peer that is later than its own: this process
// has lost the state that its peers remember. If the count is the same there
// is nothing to correct, else what is true here gets a later version.
func (t *Table) reclaim(sh *shard, id uint32, s *peerSlot, now time.Time) {
	r := sh.at(id)
	if t.journal == nil || !s.after(r.own()) {
		return
	}
	if s.count == r.sessions {
		t.setOwn(sh, r, r.sessions, s.version)
		return
	}
	t.setOwn(sh, r, r.sessions, t.clock.next(now))
	sh.touch(id, max(r.lastUsed, now.UnixMilli())) // else it might expire before it is told
	t.note(sh, id)
}
