package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// Saved orders are fileMagic, the checksum (CRC-32C) of what follows, 4 bytes,
// big endian, and a message of the facts of orders.
const (
	fileMagic = "imaplb orders 1\n"

	// MaxSaved is the longest that Save makes and Load reads, in bytes.
	MaxSaved = 128 << 20
)

// ErrFile says that what Load was given is not what Save wrote.
var ErrFile = errors.New("saved orders are damaged")

var savedKinds = []string{kindAdmin, kindWeight, kindMaxconn, kindPin, kindKick, kindClear, kindFlushStop}

func isSaved(f *fact) bool { return slices.Contains(savedKinds, kindOf(f.key)) }

// Orders counts the orders that came, from here and from others. When it has
// changed since the last Save there is something new to save.
func (c *Cluster) Orders() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders
}

// Save returns the orders as bytes: what Load reads after a restart. Votes and
// moves are not in it.
func (c *Cluster) Save() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	head := append([]byte(fileMagic), 0, 0, 0, 0)
	m := message{start: len(head), max: MaxSaved, b: head}
	m.addAll(c.facts.find(isSaved))
	binary.BigEndian.PutUint32(m.b[len(fileMagic):], checksum(m.b[len(head):]))
	return m.b
}

// Load takes the orders that Save wrote, before the cluster is used. They have
// no effects: the node asks for them with Admin, Weight, Maxconn and Pinned. Damaged bytes are
// an error and change nothing.
func (c *Cluster) Load(now time.Time, b []byte) error {
	facts, err := readFile(b)
	if err != nil {
		return fmt.Errorf("cluster: load: %w", err)
	}
	c.mu.Lock()
	defer c.unlock()
	for _, f := range facts {
		c.restore(now, f)
	}
	return nil
}

func readFile(b []byte) ([]*fact, error) {
	head := len(fileMagic) + 4
	if len(b) < head || len(b) > MaxSaved || string(b[:len(fileMagic)]) != fileMagic {
		return nil, fmt.Errorf("%w: it does not begin as such, or is too long", ErrFile)
	}
	if checksum(b[head:]) != binary.BigEndian.Uint32(b[len(fileMagic):]) {
		return nil, fmt.Errorf("%w: checksum does not fit", ErrFile)
	}
	facts, err := decodeMessage(b[head:], MaxSaved)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	if len(facts) > MaxFacts {
		return nil, fmt.Errorf("%w: %d facts, at most %d", ErrFile, len(facts), MaxFacts)
	}
	return facts, nil
}

// restore places one saved fact. mu is held.
func (c *Cluster) restore(now time.Time, f *fact) {
	if f.lasts() && f.expired(now) {
		f.expires = now.Add(orderAgain).UnixMilli()
	}
	if !isSaved(f) || f.expired(now) {
		return
	}
	if !possible(f.time, now) {
		// The clock was wrong then or is now: what peers would refuse begins anew.
		f.time, f.writer = c.facts.clock.next(now), c.self
	}
	c.facts.clock.observe(f.time)
	old := c.facts.byKey[f.key]
	if old == nil && !c.room(now) || old != nil && f.compare(old) <= 0 {
		return
	}
	c.facts.place(f)
	if kindOf(f.key) == kindPin {
		c.pinned(now, f)
	}
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
