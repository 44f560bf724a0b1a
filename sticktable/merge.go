package sticktable

import (
	"cmp"
	"fmt"
	"time"
)

const maxSlots = 1024 // peers that may have sessions of one user

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
	sh, id := t.open(key, false)
	defer sh.mu.Unlock()
	if id == 0 {
		return Update{}, false
	}
	u := t.assignment(sh.at(id))
	r := sh.at(id)
	if r.version != 0 {
		u.Slots = append(u.Slots, Slot{Peer: t.self, Count: r.sessions, Version: r.version})
	}
	for i := r.slots; i != 0; i = sh.slots[i].next {
		s := &sh.slots[i]
		u.Slots = append(u.Slots, Slot{Peer: t.peers.name(s.peer), Count: s.count, Version: s.version})
	}
	return u, true
}

// assignment is a record without its slots.
func (t *Table) assignment(r *record) Update {
	return Update{
		Key: r.key, Server: t.servers.name(r.server), Time: r.stamp,
		Writer: t.peers.name(r.writer), LastUsed: r.lastUsed,
	}
}

// Merge takes what another peer tells. It is idempotent, commutative and
// associative: updates may come twice, late and in any order. The assignment
// goes by time, then by the names of writer and server; each slot by version;
// the last use by the later. A slot of this peer is nobody else's to write and
// is passed over. An update from more than 60 s ahead of now is refused whole.
func (t *Table) Merge(now time.Time, u Update) (Merged, error) {
	if err := t.checkUpdate(now, u); err != nil {
		return Merged{}, err
	}
	srv, ok := t.servers.id(u.Server)
	writer, ok2 := t.peers.id(u.Writer)
	if !ok || !ok2 {
		return Merged{}, ErrName
	}
	live, peers := false, make([]uint16, 0, 8)
	for _, s := range u.Slots {
		peer, ok := t.peers.id(s.Peer)
		if !ok {
			return Merged{}, ErrName
		}
		peers = append(peers, peer)
		live = live || s.Count > 0 && peer != selfID
		t.clock.observe(s.Version)
	}
	t.clock.observe(u.Time)
	// What has expired on its way is not worth a new entry.
	worth := live || u.LastUsed+t.expire.Load() > now.UnixMilli()
	sh, id := t.open(u.Key, worth)
	defer sh.unlock()
	if id == 0 {
		return Merged{}, nil // not worth it, or no room, which open has counted
	}
	m := t.mergeAssignment(sh, id, Stamp{u.Time, writer}, srv)
	r := sh.at(id)
	for i, s := range u.Slots {
		if peers[i] != selfID {
			mergeSlot(sh.slot(r, peers[i]), s)
		}
	}
	// Repetition must not keep an entry from the head of the idle list.
	if idle := sh.count(r) == 0; u.LastUsed > r.lastUsed || idle != sh.linked(id) {
		sh.touch(id, max(r.lastUsed, u.LastUsed))
	}
	return m, nil
}

func (t *Table) mergeAssignment(sh *shard, id uint32, s Stamp, server uint16) (m Merged) {
	r := sh.at(id)
	order := cmp.Or(
		cmp.Compare(s.Time, r.stamp),
		cmp.Compare(t.peers.name(s.Peer), t.peers.name(r.writer)),
		cmp.Compare(t.servers.name(server), t.servers.name(r.server)))
	if order <= 0 {
		return m
	}
	if r.server != 0 && r.server != server {
		m = Merged{Moved: true, From: t.servers.name(r.server), Local: int(r.sessions)}
	}
	r.stamp, r.writer, r.server = s.Time, s.Peer, server
	return m
}

func mergeSlot(have *peerSlot, told Slot) {
	if cmp.Or(cmp.Compare(told.Version, have.version), cmp.Compare(told.Count, have.count)) > 0 {
		have.version, have.count = told.Version, told.Count
	}
}

func (t *Table) checkUpdate(now time.Time, u Update) error {
	if !validKey(u.Key) {
		return ErrKey
	}
	if len(u.Slots) > maxSlots {
		return fmt.Errorf("sticktable: update has %d slots, at most %d", len(u.Slots), maxSlots)
	}
	bad := u.Time == 0 || !possible(u.Time, now) || u.LastUsed < 0 || u.LastUsed > now.Add(maxAhead).UnixMilli()
	for _, s := range u.Slots {
		bad = bad || s.Version == 0 || !possible(s.Version, now)
	}
	if bad {
		return ErrStamp
	}
	return nil
}
