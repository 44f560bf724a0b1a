package frontend

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"imaplb/wire"
)

// A message of penalties is msgpack, the version and the sources whose level
// rose at a peer: for each its address, 4 bytes or 16, its level, and for how
// many milliseconds it has been there. Nothing tells of users and passwords.
//
//	[1, [[address, level, age]…]]
//
// Fields are only ever added at the end of an array.
const (
	penaltyVersion = 1
	penaltyFields  = 2
	sourceFields   = 3
	maxUntold      = 1024 // sources of a message, some 25 KB, and of those that wait for it
)

// ErrPenalties says that bytes are no message of penalties.
var ErrPenalties = errors.New("frontend: malformed message of penalties")

// untold are the sources whose level rose since the peers were told last.
// Shared: any goroutine may call any method.
type untold struct {
	wake chan struct{} // capacity 1: there are some

	mu   sync.Mutex // guards the fields below
	on   bool       // somebody takes them
	list map[netip.Addr]struct{}
}

func (u *untold) add(src netip.Addr) {
	u.mu.Lock()
	on := u.on
	if on && len(u.list) < maxUntold { // of more, the peers hear with their next failure
		u.list[src] = struct{}{}
	}
	u.mu.Unlock()
	if !on {
		return
	}
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// take empties the list.
func (u *untold) take() map[netip.Addr]struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := u.list
	u.list = map[netip.Addr]struct{}{}
	return list
}

// SharePenalties has the engine keep the sources of wrong passwords that the
// peers have not heard of, at most 1024. The channel has a token when there are
// some; TellPenalties takes them.
func (e *Engine) SharePenalties() <-chan struct{} {
	u := &e.penalties.untold
	u.mu.Lock()
	defer u.mu.Unlock()
	u.on = true
	return u.wake
}

// TellPenalties appends a message about the sources whose level rose since the
// last one, nothing if there are none. It is best effort: one that is lost is
// made up for by the source's next failure, since levels are told, not changes.
func (e *Engine) TellPenalties(now time.Time, dst []byte) []byte {
	p, told := e.penalties, e.penalties.untold.take()
	var list []byte
	n := 0
	for src := range told {
		level, age := p.look(now, src)
		if level == 0 {
			continue
		}
		list = wire.AppendBin(wire.AppendArray(list, sourceFields), src.AsSlice())
		list = wire.AppendUint(wire.AppendUint(list, uint64(level)), uint64(age.Milliseconds()))
		n++
	}
	if n == 0 {
		return dst
	}
	dst = wire.AppendUint(wire.AppendArray(dst, penaltyFields), penaltyVersion)
	return append(wire.AppendArray(dst, n), list...)
}

// HearPenalties takes what TellPenalties made at a peer: the higher level of a
// source counts, so it may come twice, late and in any order. An ErrPenalties
// changes nothing.
func (e *Engine) HearPenalties(now time.Time, b []byte) error {
	list, err := readPenalties(b)
	if err != nil {
		return err
	}
	for _, s := range list {
		e.penalties.hear(now, s)
	}
	return nil
}

// toldSource is a source of a message.
type toldSource struct {
	src   netip.Addr
	level int8
	age   time.Duration
}

func readPenalties(b []byte) (list []toldSource, err error) {
	r := wire.NewReader(b, ErrPenalties)
	fields := r.Array(penaltyFields)
	if v := r.Uint(); r.Err() == nil && v != penaltyVersion {
		r.Fail("version %d is not known", v)
	}
	n := r.Array(0)
	if n > maxUntold {
		r.Fail("%d sources, at most %d", n, maxUntold)
	}
	for ; n > 0 && r.Err() == nil; n-- {
		more := r.Array(sourceFields) - sourceFields
		src, ok := netip.AddrFromSlice(r.Bytes(16))
		level, age := r.Uint(), r.Uint()
		r.Skip(more)
		switch {
		case r.Err() != nil:
		case !ok || sourceOf(src) != src:
			r.Fail("an address that is no source")
		case level == 0 || level > maxLevel || age >= uint64(levelFalls.Milliseconds()):
			r.Fail("level %d since %d ms", level, age)
		}
		list = append(list, toldSource{src, int8(level), time.Duration(age) * time.Millisecond})
	}
	r.Skip(fields - penaltyFields)
	return list, r.Err()
}

// look tells the level of a source and for how long it has been there.
func (p *penalties) look(now time.Time, src netip.Addr) (level int, age time.Duration) {
	at, set := now.Sub(p.born), &p.sets[p.setOf(src)]
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.list == nil {
		return 0, 0
	}
	for i := range set.list {
		if s := &set.list[i]; s.src == src {
			s.fall(at)
			return int(s.level), min(max(at-s.since, 0), levelFalls-1)
		}
	}
	return 0, 0
}

// hear takes a level of a peer if it is higher than that here, or began later.
func (p *penalties) hear(now time.Time, t toldSource) {
	at, set := now.Sub(p.born), &p.sets[p.setOf(t.src)]
	since := at - t.age
	set.mu.Lock()
	defer set.mu.Unlock()
	s := set.find(t.src)
	s.fall(at)
	if t.level > s.level || t.level == s.level && since > s.since {
		s.level, s.since = t.level, since
	}
	s.last = max(s.last, since)
}
