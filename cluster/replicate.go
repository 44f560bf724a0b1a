package cluster

import "imaplb/wire"

// stateName is the name of the facts among the states that package peers
// ships. No table can have it.
const stateName = "/cluster"

// Name is the same on all peers.
func (c *Cluster) Name() string { return stateName }

// Head is the position behind the newest of this peer's own changes.
func (c *Cluster) Head() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts.journal.head
}

// Watch has wake called, with no lock held, after this peer's journal has
// grown. wake does not block.
func (c *Cluster) Watch(wake func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// unlock has the list without the lock.
	c.watchers = append(c.watchers[:len(c.watchers):len(c.watchers)], wake)
}

// Pull appends a message of this peer's changes from pos on to dst, about max
// bytes, and returns the position behind them. With nothing new it returns dst
// and pos as they were. ok is false if the journal does not hold pos.
func (c *Cluster) Pull(dst []byte, pos uint64, max int) (b []byte, next uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := &c.facts.journal
	if !j.holds(pos) {
		return dst, pos, false
	}
	m := newMessage(dst, max)
	for ; pos < j.head && !m.full(); pos++ {
		// A fact that changed again stands behind, one that expired nowhere.
		if f := c.facts.byKey[j.at(pos)]; f != nil && f.position == pos {
			m.add(f)
		}
	}
	return m.b, pos, true
}

// Digests appends a number for each bucket.
func (c *Cluster) Digests(dst []uint64) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(dst, c.facts.digests[:]...)
}

// cursorShift is where the bucket stands in a cursor, above the index in it.
const cursorShift = 24

// Part appends a message of the facts in those buckets that mask has a bit
// for, from cursor on, about max bytes; part is 0, there is no other. next is
// the cursor to go on from, 0 at the end. A fact that changes its place
// meanwhile may be missed, and is then found by the next comparison.
func (c *Cluster) Part(dst []byte, part int, mask uint16, cursor uint32, max int) (b []byte, next uint32) {
	if part != 0 {
		return dst, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := newMessage(dst, max)
	from := int(cursor & (1<<cursorShift - 1))
	for n := int(cursor >> cursorShift); n < numBuckets; n, from = n+1, 0 {
		list := c.facts.buckets[n]
		if mask&(1<<n) == 0 || from >= len(list) {
			continue
		}
		sent := m.addAll(list[from:])
		if from += sent; from < len(list) {
			return m.b, uint32(n)<<cursorShift | uint32(from)
		}
	}
	return m.b, 0
}

// message is one that is being written. Owned by the function that made it.
type message struct {
	start int // where it begins in b
	max   int // bytes, about
	b     []byte
}

// newMessage begins one behind dst. It stays below MaxMessage whatever is asked
// for.
func newMessage(dst []byte, most int) message {
	return message{start: len(dst), max: min(most, MaxMessage/2), b: dst}
}

func (m *message) len() int { return len(m.b) - m.start }

// full reports whether nothing more is to be added; there is always room for
// one fact.
func (m *message) full() bool { return m.len() > 0 && m.len() >= m.max }

func (m *message) add(f *fact) {
	if m.len() == 0 {
		m.b = wire.AppendUint(m.b, codecVersion)
	}
	m.b = appendFact(m.b, f)
}

// addAll adds facts until the message is full and tells how many.
func (m *message) addAll(list []*fact) (sent int) {
	for sent < len(list) && !m.full() {
		m.add(list[sent])
		sent++
	}
	return sent
}
