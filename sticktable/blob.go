package sticktable

import "imaplb/wire"

// A blob is what a table tells a peer: msgpack, an array of the version, the
// names of servers and peers, the floors, the entries, the assignments taken
// back and, if there are some, the counts. Names go by their place in the list. Fields are only ever added
// at the end of an array; a reader passes over those it does not know. A blob
// whose meaning changes gets another version.
//
//	[1, [name…], [[name, version]…], [[key, server, time, writer, lastUsed, [[peer, count, version]…]]…], [[key, time, writer]…], [[key, lastUsed, [[peer, version, cur, [[counter, …]…]]…]]…]]
const (
	blobVersion  = 1
	blobFields   = 5
	floorFields  = 2
	entryFields  = 6
	forgetFields = 3

	// MaxBlob is the longest blob that Merge takes, in bytes. One that Pull
	// and Part make is shorter: at most askedBlob, one entry with all its
	// names, and the floors with theirs.
	MaxBlob = 1 << 20

	askedBlob    = 1 << 18 // bytes, if more are asked for
	maxBlobNames = 4096    // names in a blob
	headOfBlob   = 32      // bytes of the arrays around, at most
	nameCost     = 3       // bytes of a name besides its own, at most
)

// blobWriter collects the parts of a blob. It is owned by the call it serves.
type blobWriter struct {
	t       *Table
	entries []byte
	floors  []byte
	forgets []byte
	counts  []byte
	names   []string

	numEntries, numFloors, numForgets, numCounts int

	servers []uint16 // by the table's number: place in names, from 1
	peers   []uint16
	bytes   int // of the names

	ownCounts bool // of the counts this peer's only
	touched   byte // so that reading keys ahead is not left out by the compiler
}

// newBlob returns an empty writer, the one put by if there is one.
func (t *Table) newBlob() *blobWriter {
	if w := t.spareWriter.Swap(nil); w != nil {
		return w
	}
	return &blobWriter{t: t}
}

// recycle puts the writer by for the next call. What is kept is bounded by the
// length of a blob.
func (w *blobWriter) recycle() {
	w.entries, w.floors, w.forgets, w.counts = w.entries[:0], w.floors[:0], w.forgets[:0], w.counts[:0]
	w.numEntries, w.numFloors, w.numForgets, w.numCounts, w.bytes = 0, 0, 0, 0, 0
	clear(w.names)
	w.names = w.names[:0]
	clear(w.servers)
	clear(w.peers)
	w.ownCounts = false
	w.t.spareWriter.Store(w)
}

// full reports whether another entry would make it too long; an empty one is
// never full.
func (w *blobWriter) full(limit int) bool {
	if w.numEntries+w.numForgets+w.numCounts == 0 {
		return false
	}
	size := headOfBlob + len(w.entries) + len(w.floors) + len(w.forgets) + len(w.counts) + w.bytes
	return size >= min(limit, askedBlob) || len(w.names) > maxBlobNames-maxFloors-maxSlots-2
}

// empty reports whether there is nothing to tell.
func (w *blobWriter) empty() bool { return w.numEntries+w.numFloors+w.numForgets+w.numCounts == 0 }

// appendTo appends the blob.
func (w *blobWriter) appendTo(dst []byte) []byte {
	fields := blobFields
	if w.numCounts > 0 {
		fields++
	}
	dst = wire.AppendUint(wire.AppendArray(dst, fields), blobVersion)
	dst = wire.AppendArray(dst, len(w.names))
	for _, name := range w.names {
		dst = wire.AppendString(dst, name)
	}
	dst = append(wire.AppendArray(dst, w.numFloors), w.floors...)
	dst = append(wire.AppendArray(dst, w.numEntries), w.entries...)
	dst = append(wire.AppendArray(dst, w.numForgets), w.forgets...)
	if w.numCounts == 0 {
		return dst
	}
	return append(wire.AppendArray(dst, w.numCounts), w.counts...)
}

// record adds what there is of a record of a locked shard, this peer's part or
// all.
func (w *blobWriter) record(sh *shard, id uint32, all bool) {
	if r := sh.at(id); r.stamp != 0 {
		w.entry(sh, r, all)
	}
	w.count(sh, id, all && !w.ownCounts)
}

func (w *blobWriter) server(id uint16) uint64 { return w.place(&w.servers, w.t.servers, id) }
func (w *blobWriter) peer(id uint16) uint64   { return w.place(&w.peers, w.t.peers, id) }

// place is where a name stands in the list; it is put there if it does not.
func (w *blobWriter) place(places *[]uint16, names *names, id uint16) uint64 {
	for int(id) >= len(*places) {
		*places = append(*places, 0)
	}
	if (*places)[id] == 0 {
		name := names.name(id)
		w.names = append(w.names, name)
		w.bytes += nameCost + len(name)
		(*places)[id] = uint16(len(w.names))
	}
	return uint64((*places)[id] - 1)
}

// allFloors adds the floors, once.
func (w *blobWriter) allFloors() {
	if w.numFloors > 0 {
		return
	}
	for peer, version := range w.t.floors.all() {
		b := wire.AppendUint(wire.AppendArray(w.floors, floorFields), w.peer(peer))
		w.floors = wire.AppendUint(b, version)
		w.numFloors++
	}
}

// entry adds a record of a locked shard, with this peer's slot only or with all.
func (w *blobWriter) entry(sh *shard, r *record, all bool) {
	b := wire.AppendString(wire.AppendArray(w.entries, entryFields), r.key)
	b = wire.AppendUint(b, w.server(r.server))
	b = wire.AppendUint(b, r.stamp)
	b = wire.AppendUint(b, w.peer(r.writer))
	b = wire.AppendUint(b, uint64(max(r.lastUsed, 0)))
	n, own := 0, r.own()
	if own.version != 0 {
		n++
	}
	for i := r.slots; all && i != 0; i = sh.slots[i].next {
		n++
	}
	b = wire.AppendArray(b, n)
	if own.version != 0 {
		b = w.slot(b, &own)
		n--
	}
	for i := r.slots; n > 0; i = sh.slots[i].next {
		b = w.slot(b, &sh.slots[i])
		n--
	}
	w.entries = b
	w.numEntries++
}

func (w *blobWriter) slot(b []byte, s *peerSlot) []byte {
	b = wire.AppendUint(wire.AppendArray(b, slotFields), w.peer(s.peer))
	b = wire.AppendUint(b, uint64(s.count))
	return wire.AppendUint(b, s.version)
}

// forget adds an assignment that was taken back.
func (w *blobWriter) forget(f forgotten) {
	b := wire.AppendString(wire.AppendArray(w.forgets, forgetFields), f.key)
	b = wire.AppendUint(b, f.stamp.Time)
	w.forgets = wire.AppendUint(b, w.peer(f.stamp.Peer))
	w.numForgets++
}
