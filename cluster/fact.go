package cluster

import (
	"cmp"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Bounds of a fact, in bytes.
const (
	MaxKey   = 1 << 10 // its key
	MaxValue = 4 << 10 // its value
	MaxName  = 255     // the name of a peer, backend, server or table, and of who gives an order
)

// The kinds of facts, the first part of a key. Facts of other kinds, made by
// later versions, are kept and passed on like these.
const (
	kindAdmin     = "admin"     // admin/BACKEND/SERVER: admin state by order
	kindWeight    = "weight"    // weight/BACKEND/SERVER: weight by order
	kindMaxconn   = "maxconn"   // maxconn/BACKEND/SERVER: maxconn by order
	kindPin       = "pin"       // pin/TABLE/KEY: where a user always goes
	kindFlush     = "flush"     // flush/BACKEND/SERVER: the users of a server are being moved away
	kindFlushStop = "flushstop" // flushstop/ID: stop that, once
	kindKick      = "kick"      // kick/ID: end sessions, once
	kindClear     = "clear"     // clear/ID: remove entries of a table, once
	kindVote      = "vote"      // vote/PEER/BACKEND/SERVER: result of a peer's checks
	kindMove      = "move"      // move/TABLE/KEY: a user's move
	kindGone      = "gone"      // gone/ID/PEER: a peer has no session in the way of a move
)

// A fact is what one peer said last under a key. All but the last group is
// what peers agree on, and never changes in one fact: another takes its place.
type fact struct {
	key     string
	value   string
	time    uint64 // of the clock of the writer
	writer  string // name of the peer that said it
	expires int64  // ms since 1970; 0 is never

	// Owned by the store that holds it.
	index    int    // in its bucket
	position uint64 // of its key in the journal, the last one; 0 is none
}

// compare is more than zero if f takes the place of g. The order is total over
// what peers agree on, so that all of them keep the same fact of a key.
func (f *fact) compare(g *fact) int {
	return cmp.Or(
		cmp.Compare(f.time, g.time),
		cmp.Compare(f.writer, g.writer),
		cmp.Compare(f.value, g.value),
		cmp.Compare(f.expires, g.expires))
}

func (f *fact) expired(now time.Time) bool { return f.expires != 0 && f.expires <= now.UnixMilli() }

// bucket is the number of the bucket of a key, the same on all peers.
func bucket(key string) int { return int(xxhash.Sum64String(key) >> (64 - bucketBits)) }

// digest is a number for the content of f, the same on all peers.
func (f *fact) digest() uint64 {
	h := xxhash.Sum64String(f.key)
	for _, part := range [...]uint64{f.time, xxhash.Sum64String(f.writer), xxhash.Sum64String(f.value), uint64(f.expires)} {
		h = mix(h ^ part)
	}
	return h
}

// mix spreads every bit of x over the result: the finalizer of splitmix64,
// behind its step, so that zero does not stay zero.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// factKey joins a kind and names to a key. Names are escaped so that a slash
// in one does not make two of it.
func factKey(kind string, names ...string) string {
	for _, name := range names {
		name = strings.ReplaceAll(name, "%", "%25")
		kind += "/" + strings.ReplaceAll(name, "/", "%2F")
	}
	return kind
}

// splitKey is the inverse of factKey; a key with another number of names gives
// false.
func splitKey(key string, names int) ([]string, bool) {
	parts := strings.Split(key, "/")[1:]
	for i, part := range parts {
		part = strings.ReplaceAll(part, "%2F", "/")
		parts[i] = strings.ReplaceAll(part, "%25", "%")
	}
	return parts, len(parts) == names
}

// kindOf is what stands before the first slash.
func kindOf(key string) string {
	kind, _, _ := strings.Cut(key, "/")
	return kind
}

// validFact reports whether the strings of f keep to their bounds.
func validFact(f *fact) bool {
	return f.key != "" && len(f.key) <= MaxKey && len(f.value) <= MaxValue && validName(f.writer)
}

func validName(s string) bool { return s != "" && len(s) <= MaxName }
