package sticktable

import "sync"

const (
	journalLen = 1 << 16 // changes a peer may be behind before it needs a repair
	forgetLen  = 1 << 12 // withdrawn assignments among them; of older ones the peers do not hear
)

// mark is one change in the journal. It says where the change is, not what it
// is: who reads it is told how things stand by then.
type mark struct {
	id    uint32 // the record in its shard, or the place in forgotten
	shard uint8
	kind  markKind
}

type markKind uint8

const (
	markEntry  markKind = iota // an assignment or this peer's slot
	markForget                 // an assignment taken back
	markFloor                  // a floor
)

// forgotten is an assignment taken back.
type forgotten struct {
	pos   uint64 // of its mark
	key   string
	stamp Stamp
}

// journal has this peer's own changes in order. Positions go on from the time
// the process began, so that those of the run before are not taken for its
// own. It is shared: any goroutine may call any method, with a shard locked or
// not.
type journal struct {
	mu       sync.Mutex // guards the fields below
	ring     []mark     // that of position p is at p % journalLen
	first    uint64     // position of the oldest mark there ever was
	head     uint64     // behind the newest
	seen     uint64     // behind the newest that was ever read, or passed over
	forgot   []forgotten
	forgotAt uint32
}

func newJournal(first uint64) *journal {
	return &journal{
		ring: make([]mark, journalLen), forgot: make([]forgotten, forgetLen),
		first: first, head: first,
	}
}

// add appends a mark and returns its position.
func (j *journal) add(m mark) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ring[j.head%journalLen] = m
	j.head++
	return j.head - 1
}

// addForget appends the mark of an assignment that was taken back.
func (j *journal) addForget(key string, stamp Stamp) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := j.forgotAt % forgetLen
	j.forgotAt++
	j.forgot[at] = forgotten{pos: j.head, key: key, stamp: stamp}
	j.ring[j.head%journalLen] = mark{id: at, kind: markForget}
	j.head++
}

// read copies the marks from pos on, as many as there are or fit. ok is false
// if pos is not held any more, or never was.
func (j *journal) read(dst []mark, pos uint64) (n int, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pos < j.first || pos > j.head || j.head-pos > journalLen {
		return 0, false
	}
	for n < len(dst) && pos < j.head {
		dst[n] = j.ring[pos%journalLen]
		n++
		pos++
	}
	j.seen = max(j.seen, pos)
	return n, true
}

// unread reports whether m is at the position with these low bits and nobody has
// read it.
func (j *journal) unread(m mark, low uint32) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	back := uint64(uint32(j.head) - low)
	return back > 0 && back <= journalLen && back <= j.head-max(j.first, j.seen) && j.ring[(j.head-back)%journalLen] == m
}

// forgotAs returns what the mark of that position took back, if it is still
// known.
func (j *journal) forgotAs(m mark, pos uint64) (forgotten, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.forgot[m.id]
	return f, f.pos == pos
}

// end is the position behind the newest mark. Who asks for it may read from there
// on, and meets none of the marks before.
func (j *journal) end() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seen = j.head
	return j.head
}
