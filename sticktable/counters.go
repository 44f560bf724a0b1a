package sticktable

import "time"

// A slot has the counters that one peer keeps for a key, in words: the version,
// the peer's number and the next slot of the record, the connections now, and
// then what the table stores, two words for a rate or a mark, else one.
const (
	slotVersion = iota
	slotLink    // peer in the upper 32 bits, next slot in the lower
	slotCur
	slotData

	slotChunk = 32 // slots taken from the heap at once
)

// layout says where in a slot a counter is. Immutable.
type layout struct {
	Store
	at    [NumData]int // 0 for what is not stored
	width int          // words of a slot
	shape uint64
}

func newLayout(s Store) *layout {
	if s == (Store{}) {
		return nil
	}
	l := &layout{Store: s, width: slotData, shape: s.shape()}
	for d := range NumData {
		switch {
		case !s.has[d]:
		case d == ConnCur:
			l.at[d] = slotCur
		case dataNames[d].rate || d == GPT0:
			l.at[d], l.width = l.width, l.width+2
		default:
			l.at[d], l.width = l.width, l.width+1
		}
	}
	return l
}

// counters are the slots of a shard's records. They are guarded by its lock.
// Slots are in chunks that never move; slot numbers begin at 1, 0 is none.
type counters struct {
	*layout
	first  []uint32 // by the record's number - 1
	chunks [][]uint64
	top    uint32 // highest slot number ever used
	free   uint32 // first slot to be used again
}

// slot returns the words of a slot.
func (c *counters) slot(n uint32) []uint64 {
	from := int((n-1)%slotChunk) * c.width
	return c.chunks[(n-1)/slotChunk][from : from+c.width : from+c.width]
}

// head is the first slot of a record.
func (c *counters) head(id uint32) uint32 {
	if c == nil || int(id) > len(c.first) {
		return 0
	}
	return c.first[id-1]
}

func next(w []uint64) uint32 { return uint32(w[slotLink]) }

func peerOf(w []uint64) uint16 { return uint16(w[slotLink] >> 32) }

// of returns a peer's slot of a record, made if there is none; nil if the
// record has maxSlots, of which one is kept for this peer.
func (c *counters) of(id uint32, peer uint16) []uint64 {
	others := 0
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		if w := c.slot(n); peerOf(w) == peer {
			return w
		} else if peerOf(w) != selfID {
			others++
		}
	}
	if others >= maxSlots-1 && peer != selfID {
		return nil
	}
	for int(id) > len(c.first) {
		c.first = append(c.first, 0)
	}
	n := c.free
	if n != 0 {
		c.free = next(c.slot(n))
	} else {
		if int(c.top) == len(c.chunks)*slotChunk {
			c.chunks = append(c.chunks, make([]uint64, slotChunk*c.width))
		}
		c.top++
		n = c.top
	}
	w := c.slot(n)
	clear(w)
	w[slotLink] = uint64(peer)<<32 | uint64(c.first[id-1])
	c.first[id-1] = n
	return w
}

// drop frees the slots of a record.
func (c *counters) drop(id uint32) {
	n := c.head(id)
	if n == 0 {
		return
	}
	c.first[id-1] = 0
	for n != 0 {
		w := c.slot(n)
		after := next(w)
		w[slotLink] = uint64(c.free)
		c.free, n = n, after
	}
}

// cur is the connections that all peers count now.
func (c *counters) cur(id uint32) (sum uint64) {
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		sum += c.slot(n)[slotCur]
	}
	return sum
}

// ownCur is the connections that this peer counts now.
func (c *counters) ownCur(id uint32) int {
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		if w := c.slot(n); peerOf(w) == selfID {
			return int(w[slotCur])
		}
	}
	return 0
}

// Values are counters by their Data; those that a table does not store are 0.
type Values [NumData]int64

// read sums up the slots of a record.
func (c *counters) read(id uint32, now time.Time, sum *Values) {
	*sum = Values{}
	var stamp uint64
	for n := c.head(id); n != 0; n = next(c.slot(n)) {
		w := c.slot(n)
		for d, at := range c.at {
			switch {
			case at == 0:
			case dataNames[d].rate:
				sum[d] += int64(readRate(w[at:at+2], c.period[d], now.UnixMilli()))
			case Data(d) != GPT0:
				sum[d] += int64(w[at])
			case w[at] >= stamp: // the one that was set last
				stamp, sum[d] = w[at], int64(w[at+1])
			}
		}
	}
	for d := range sum {
		if p := c.period[d]; p > 0 {
			sum[d] /= p
		}
		sum[d] = max(sum[d], 0)
	}
}
