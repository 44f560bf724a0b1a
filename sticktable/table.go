// Package sticktable remembers where each user lives: key → server, with the
// live sessions of every peer, until the last session ended and the entry
// expired. Tables of several peers converge by merging updates.
//
// It is memory and arithmetic only. It reads no clock (now is a parameter),
// opens no file, starts no goroutine and sends nothing: its owner calls Sweep,
// Save and Load, and carries what Pull and Part make to the Merge of other
// peers. It never holds a password.
package sticktable

import (
	"errors"
	"hash/maphash"
	"math"
	"sync/atomic"
	"time"
)

// Limits of what an entry may hold, in bytes.
const (
	MaxKey  = 512 // a key
	MaxName = 255 // the name of a server or a peer
)

const (
	numShards   = 256
	selfID      = 1  // number of this peer's own name
	maxAdmitTry = 16 // a storm of new keys may take the room that was just made

	findOnly = -1            // for open: make no entry
	anyCost  = math.MaxInt64 // for open: make one whatever has to go
)

// Errors a caller may branch on.
var (
	ErrFull  = errors.New("sticktable: table is full and every entry is in use")
	ErrKey   = errors.New("sticktable: key is empty or too long")
	ErrName  = errors.New("sticktable: server or peer name is empty, too long or one too many")
	ErrData  = errors.New("sticktable: counter is not stored, or cannot be set")
	ErrStamp = errors.New("sticktable: time of an update is impossible")
)

// A Table is shared: any goroutine may call any method but Load and Replicate,
// which run alone. A method locks one shard at a time, maybe the journal below
// it, and calls nothing of others meanwhile.
type Table struct {
	// Immutable after New.
	name     string
	key      string
	template *Template // of the key, nil for a word
	self     string
	prefix4  int // bits of an address that tell sources apart
	prefix6  int
	seed     maphash.Seed

	layout atomic.Pointer[layout] // of the counters; nil if it stores none; see Widen

	// Replaced by Load, which runs alone.
	servers *names
	peers   *names

	clock   clock
	size    atomic.Int64
	expire  atomic.Int64 // ms
	used    atomic.Int64 // entries, expired ones not yet swept included
	sweepAt atomic.Uint32

	// Set by Replicate, which runs alone; nil if the table is not replicated.
	journal *journal

	floors      floors
	watchers    atomic.Pointer[[]func()] // replaced, never changed
	moved       atomic.Pointer[func(key, from, to string)]
	spareWriter atomic.Pointer[blobWriter]
	spareReader atomic.Pointer[blobReader]

	latest  atomic.Int64 // ms since 1970 that the table was told last, within a sweep of now
	evicted atomic.Int64
	expired atomic.Int64
	refused atomic.Int64

	shards [numShards]shard
}

// New returns an empty table. self is the name of this peer: it goes into the
// stamps this table makes, and the peer's sessions are counted under it.
func New(name string, cfg Config, self string) *Table {
	t := &Table{name: name, key: cfg.Key, self: self, seed: maphash.MakeSeed()}
	t.prefix4 = prefixBits(cfg.IPv4Prefix, 32, defaultIPv4Prefix)
	t.prefix6 = prefixBits(cfg.IPv6Prefix, 128, defaultIPv6Prefix)
	if IsTemplate(cfg.Key) {
		t.template, _ = ParseTemplate(cfg.Key) // who made cfg has checked it
	}
	if store, err := ParseStore(cfg.Store); err == nil { // who made cfg has checked it
		t.layout.Store(newLayout(store))
	}
	t.servers, t.peers = newNames(), newNames(self)
	t.SetLimits(cfg)
	for i := range t.shards {
		t.shards[i].number = uint8(i)
		if l := t.layout.Load(); l != nil {
			t.shards[i].counters = &counters{layout: l}
		}
		t.shards[i].publish()
	}
	return t
}

// SetLimits takes size and expiry from cfg; a table that is too big for them
// shrinks with the next sweeps. The kind of key and the prefixes stay as they
// were made.
func (t *Table) SetLimits(cfg Config) {
	t.size.Store(int64(cfg.Size))
	t.expire.Store(cfg.Expire.Milliseconds())
}

// Name is the name the table was made with.
func (t *Table) Name() string { return t.name }

// Self is the name of this peer.
func (t *Table) Self() string { return t.self }

// Size is the number of entries the table may hold.
func (t *Table) Size() int { return int(t.size.Load()) }

// Expire is the life of an entry after its last session ended.
func (t *Table) Expire() time.Duration { return time.Duration(t.expire.Load()) * time.Millisecond }

// Len is the number of entries held, expired ones that no sweep has met yet
// included.
func (t *Table) Len() int { return int(t.used.Load()) }

// Evicted counts the entries dropped to make room.
func (t *Table) Evicted() int64 { return t.evicted.Load() }

// Expired counts the entries dropped because their time had passed.
func (t *Table) Expired() int64 { return t.expired.Load() }

// Refused counts the keys not stored because every entry was in use.
func (t *Table) Refused() int64 { return t.refused.Load() }

// open locks the shard of key and finds its record, 0 if there is none. It
// makes one if the table has room, or can make room with an entry last used
// before over; see findOnly and anyCost. The caller ends with unlock.
func (t *Table) open(key string, over int64) (*shard, uint32) {
	sh, low := &t.shards[shardOf(keyHash(key))], t.indexHash(key)
	sh.mu.Lock()
	id := sh.find(low, key)
	if id != 0 || over == findOnly {
		return sh, id
	}
	if t.hasRoom() {
		return sh, sh.insert(low, key)
	}
	// Room has to be made, maybe in another shard: no two locks at once.
	t.unlock(sh)
	admitted := t.admit(over)
	sh.mu.Lock()
	id = sh.find(low, key)
	switch {
	case id != 0 && admitted:
		t.used.Add(-1) // somebody else made it meanwhile
	case id == 0 && admitted:
		id = sh.insert(low, key)
	case id == 0 && over == anyCost:
		t.refused.Add(1)
	}
	return sh, id
}

func (t *Table) indexHash(key string) uint32 { return uint32(maphash.String(t.seed, key)) }

// hasRoom takes the room of one entry if there is some.
func (t *Table) hasRoom() bool {
	if t.used.Add(1) <= t.size.Load() {
		return true
	}
	t.used.Add(-1)
	return false
}

// admit takes the room of one entry, at the cost of the longest unused one if
// the table is full and that was last used before over. An idle entry that a
// peer tells of has no better claim: full tables that forgot different entries
// would else push them at each other for ever.
func (t *Table) admit(over int64) bool {
	for range maxAdmitTry {
		if t.hasRoom() {
			return true
		}
		if !t.evict(over) {
			return false
		}
	}
	return false
}

// drop removes a record of a locked shard.
func (t *Table) drop(sh *shard, id uint32) {
	t.flip(sh, id)
	sh.remove(id, t.indexHash(sh.at(id).key))
	t.used.Add(-1)
}
