package sticktable

import (
	"fmt"
	"time"

	"imaplb/wire"
)

// blobReader takes a blob apart. It is owned by the call it serves; what it
// keeps between calls is the memory of its lists.
type blobReader struct {
	wire.Reader
	t     *Table
	now   time.Time
	names []blobName
	told  told     // the entry at hand
	words []uint64 // the counts at hand

	layout *layout // of the table when the blob came

	entries int
	refused int   // entries and floors passed over
	why     error // of the first
}

// blobName is a name of a blob's list. The table's numbers for it are asked
// for when it is used as one or the other, 0 before.
type blobName struct {
	text   string
	server uint16
	peer   uint16
}

// Merge takes a blob that Pull or Part made at another peer, of at most
// MaxBlob bytes, and tells how many entries it held. The laws are those of
// MergeUpdate, of floors the higher one stays. What is more than 60 s ahead of
// now is passed over, and the error wraps ErrStamp when the rest has been
// merged; with ErrMessage what came before the fault was.
//
// A peer that shows a later slot of this peer than this peer has is told
// better: the slot gets a later version. from is the peer's name, for errors.
func (t *Table) Merge(now time.Time, from string, b []byte) (entries int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if len(b) > MaxBlob {
		return 0, fmt.Errorf("sticktable: merge from %q: %w: %d bytes, at most %d", from, ErrMessage, len(b), MaxBlob)
	}
	r := t.spareReader.Swap(nil)
	if r == nil {
		r = &blobReader{t: t}
	}
	// No copy: it was a seventh of what learning costs. No string of it outlives
	// this call, and b does not change during it: what is stored is cloned.
	r.Reader = wire.NewReader(b, ErrMessage)
	r.now, r.layout = now, t.layout.Load()
	r.blob()
	entries = r.entries
	switch {
	case r.Err() != nil:
		err = fmt.Errorf("sticktable: merge from %q: %w", from, r.Err())
	case r.refused > 0:
		err = fmt.Errorf("sticktable: merge from %q: %d entries passed over: %w", from, r.refused, r.why)
	}
	r.recycle()
	return entries, err
}

// recycle puts the reader by for the next call; it keeps no bytes of the blob.
func (r *blobReader) recycle() {
	clear(r.names)
	*r = blobReader{t: r.t, names: r.names[:0], told: told{slots: r.told.slots[:0]}, words: r.words[:0]}
	r.t.spareReader.Store(r)
}

func (r *blobReader) blob() {
	fields := r.Array(blobFields)
	if v := r.Uint(); r.Err() == nil && v != blobVersion {
		r.Fail("version %d is not known", v)
	}
	n := r.Array(0)
	if n > maxBlobNames {
		r.Fail("%d names, at most %d", n, maxBlobNames)
	}
	for ; n > 0 && r.Err() == nil; n-- {
		r.names = append(r.names, blobName{text: r.Text(1, MaxName)})
	}
	r.floors()
	for n := r.Array(0); n > 0 && r.Err() == nil; n-- {
		r.entry()
	}
	for n := r.Array(0); n > 0 && r.Err() == nil; n-- {
		r.forget()
	}
	if fields > blobFields {
		for n := r.Array(0); n > 0 && r.Err() == nil; n-- {
			r.counts()
		}
		fields--
	}
	r.Skip(fields - blobFields)
	if r.Left() > 0 {
		r.Fail("%d bytes behind its end", r.Left())
	}
}

// refuse passes over an entry that is well formed but cannot be.
func (r *blobReader) refuse(why error) {
	if r.refused++; r.why == nil {
		r.why = why
	}
}

// floors raises the floors that are told higher, all of them before the table
// is cleaned once.
func (r *blobReader) floors() {
	n, raised := r.Array(0), false
	if n > maxFloors {
		r.Fail("%d floors, at most %d", n, maxFloors)
	}
	for ; n > 0 && r.Err() == nil; n-- {
		fields := r.Array(floorFields)
		name, version := r.name(), r.Uint()
		r.Skip(fields - floorFields)
		if r.Err() != nil {
			break
		}
		peer, ok := r.peer(name)
		switch {
		case !ok:
			r.refuse(ErrName)
		case version == 0 || !possible(version, r.now):
			r.refuse(ErrStamp)
		default:
			r.t.clock.observe(version) // a slot that is told anew must come out above it
			raised = r.t.floors.raise(r.t.peers, peer, version) || raised
		}
	}
	if raised {
		r.t.clean(r.now)
	}
}

// entry reads an entry and merges it.
func (r *blobReader) entry() {
	fields := r.Array(entryFields)
	u := &r.told
	u.key = r.Text(1, MaxKey)
	server := r.name()
	u.stamp.Time = r.Uint()
	writer := r.name()
	used := r.Uint()
	slots := r.Array(0)
	if slots > maxSlots {
		r.Fail("%d slots, at most %d", slots, maxSlots)
	}
	known := true
	u.slots = u.slots[:0]
	for ; slots > 0 && r.Err() == nil; slots-- {
		known = r.slot() && known
	}
	r.Skip(fields - entryFields)
	if r.Err() != nil {
		return
	}
	r.entries++
	var ok, ok2 bool
	u.server, ok = r.server(server)
	u.stamp.Peer, ok2 = r.peer(writer)
	if !ok || !ok2 || !known {
		r.refuse(ErrName)
		return
	}
	u.lastUsed = int64(min(used, 1<<63-1))
	if !u.possible(r.now) {
		r.refuse(ErrStamp)
		return
	}
	r.t.tellMoved(u, r.t.take(r.now, u))
}

// slot reads a slot into the entry at hand and reports whether there is room
// for its peer's name.
func (r *blobReader) slot() bool {
	fields := r.Array(slotFields)
	name, count, version := r.name(), r.Uint(), r.Uint()
	if count > 1<<32-1 {
		r.Fail("%d sessions", count)
	}
	r.Skip(fields - slotFields)
	if r.Err() != nil {
		return false
	}
	peer, ok := r.peer(name)
	r.told.slots = append(r.told.slots, peerSlot{peer: peer, count: uint32(count), version: version})
	return ok
}

// forget reads an assignment that was taken back.
func (r *blobReader) forget() {
	fields := r.Array(forgetFields)
	key, time, name := r.Text(1, MaxKey), r.Uint(), r.name()
	r.Skip(fields - forgetFields)
	if r.Err() != nil {
		return
	}
	r.entries++
	if peer, ok := r.peer(name); ok {
		r.t.forget(key, Stamp{Time: time, Peer: peer})
	}
}

// name reads the place of a name.
func (r *blobReader) name() *blobName {
	i := r.Uint()
	if r.Err() == nil && i >= uint64(len(r.names)) {
		r.Fail("name %d of %d", i, len(r.names))
	}
	if r.Err() != nil {
		return nil
	}
	return &r.names[i]
}

func (r *blobReader) server(n *blobName) (id uint16, ok bool) {
	if n.server == 0 {
		n.server, _ = r.t.servers.id(n.text)
	}
	return n.server, n.server != 0
}

func (r *blobReader) peer(n *blobName) (id uint16, ok bool) {
	if n.peer == 0 {
		n.peer, _ = r.t.peers.id(n.text)
	}
	return n.peer, n.peer != 0
}
