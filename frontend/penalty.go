package frontend

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"

	"imaplb/session"
	"imaplb/sticktable"
	"imaplb/upstream"
)

// Bounds of the penalty for wrong passwords, which is an idea of Dovecot's.
const (
	penaltySets = 256         // a power of two
	penaltyWays = 16          // sources of a set: 4096 in all
	penaltyPast = 10          // wrong logins of a source that are known again
	maxLevel    = 10          // so that a source is free of its past after as many minutes
	levelFalls  = time.Minute // by one
)

// penalties knows the sources of wrong passwords: each has a level, which a
// wrong user and password raises by one and every minute lowers by one. The
// same user and password again raises nothing, since it is a mail program that
// has not been told the new one; it guesses nothing. At most 4096 sources, in
// sets by their hash; the one whose last failure is the oldest of its set goes.
// A set takes memory, 2.5 KiB, with its first failure. Shared: any goroutine
// may call any method.
type penalties struct {
	born time.Time
	seed maphash.Seed
	key  [sha256.Size]byte // of the hashes of wrong logins, made anew by each process
	sets [penaltySets]penaltySet

	untold untold // to the peers; has its own lock
}

type penaltySet struct {
	mu   sync.Mutex // guards list
	list *[penaltyWays]penalized
}

// penalized is one source. Times are since penalties.born, by the clock that
// nobody sets.
type penalized struct {
	src   netip.Addr // the first address of an IPv6 /64; zero for none
	last  time.Duration
	since time.Duration       // when the level began to fall to the next lower one
	past  [penaltyPast]uint64 // keyed hashes, the latest first; 0 is none
	level int8
}

func newPenalties(now time.Time) *penalties {
	p := &penalties{born: now, seed: maphash.MakeSeed(), untold: untold{wake: make(chan struct{}, 1), list: map[netip.Addr]struct{}{}}}
	_, _ = rand.Read(p.key[:]) // never fails
	return p
}

// wrong notes a wrong password from src, and tells the level of this source and
// whether user and password are others than those that failed lately. The peers
// are to hear of those.
func (p *penalties) wrong(now time.Time, src netip.Addr, user string, secret []byte) (level int, fresh bool) {
	src = sourceOf(src)
	if level, fresh = p.raise(now.Sub(p.born), src, p.hash(user, secret)); fresh {
		p.untold.add(src)
	}
	return level, fresh
}

func (p *penalties) raise(at time.Duration, src netip.Addr, hash uint64) (level int, fresh bool) {
	set := &p.sets[p.setOf(src)]
	set.mu.Lock()
	defer set.mu.Unlock()
	s := set.find(src)
	s.fall(at)
	if fresh = s.remember(hash); fresh && s.level < maxLevel {
		s.level++
	}
	s.last = max(s.last, at)
	return int(s.level), fresh
}

// setOf is the number of a source's set.
func (p *penalties) setOf(src netip.Addr) uint64 {
	return maphash.Comparable(p.seed, src) % penaltySets
}

// find is the source's place in a locked set.
func (p *penaltySet) find(src netip.Addr) *penalized {
	if p.list == nil {
		p.list = new([penaltyWays]penalized)
	}
	return find(p.list, src)
}

// hash is what is kept of a user and password: 64 bits of a MAC whose key no
// other process has. A name has no NUL.
func (p *penalties) hash(user string, secret []byte) uint64 {
	mac := hmac.New(sha256.New, p.key[:])
	_, _ = mac.Write(append([]byte(user), 0))
	_, _ = mac.Write(secret)
	return binary.LittleEndian.Uint64(mac.Sum(nil)) | 1 // 0 is none
}

// sourceOf is whose wrong passwords count together: an IPv4 address, or an IPv6
// /64, which is what one client has.
func sourceOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if n, err := a.Prefix(64); err == nil && a.Is6() {
		return n.Addr()
	}
	return a
}

// find is the source's place in its set, taken from another if it has none.
func find(list *[penaltyWays]penalized, src netip.Addr) *penalized {
	oldest := &list[0]
	for i := range list {
		s := &list[i]
		switch {
		case s.src == src:
			return s
		case oldest.src.IsValid() && (!s.src.IsValid() || s.last < oldest.last):
			oldest = s
		}
	}
	*oldest = penalized{src: src}
	return oldest
}

// fall lowers the level for the time that has gone by.
func (s *penalized) fall(at time.Duration) {
	n := (at - s.since) / levelFalls
	switch {
	case n >= time.Duration(s.level):
		s.level, s.since = 0, at
	case n > 0:
		s.level, s.since = s.level-int8(n), s.since+n*levelFalls
	}
}

// remember puts a hash before those of the past. False: it was among them.
func (s *penalized) remember(hash uint64) (fresh bool) {
	i := slices.Index(s.past[:], hash)
	if fresh = i < 0; fresh {
		i = len(s.past) - 1
	}
	copy(s.past[1:i+1], s.past[:i])
	s.past[0] = hash
	return fresh
}

// punish notes a wrong password, also in the counters of its source, and tells
// how late it is answered at least: by the level of the source, which the peers
// share. The counters are for the rules alone: a rate over a day would make
// answers late for a day.
func (l *login) punish(now time.Time, r *upstream.Result) time.Duration {
	c := l.p.c
	src := c.src.Addr()
	if r.Outcome != upstream.AuthFailed || !src.IsValid() {
		return 0
	}
	level, fresh := c.fe.e.penalties.wrong(now, src, l.user, l.req.Secret.Reveal())
	if fresh {
		c.tally(now, &sticktable.Counts{AuthFails: 1})
	}
	if l.p.set.trusted.covers(c.src) {
		return 0
	}
	return session.LoginDelay(level)
}
