package balancer

import (
	"sync/atomic"
	"time"
)

// LimitKind is a limit of a server that peers may share.
type LimitKind uint8

// The limits that peers share.
const (
	MaxconnLimit LimitKind = iota
	MaxloginsLimit
	LoginRateLimit
)

// limit is one limit of a server.
type limit struct {
	all  atomic.Int64 // what the file, an order or an agent says; 0 is none
	here atomic.Int64 // what this process may have of it: all, or its claim among peers, which may be 0 or, for a moment, more than all
}

// set takes the limit for all. Who shares it keeps his claim until Allow, also
// while there is another limit, or none, for a moment, as at a reload of what an
// order says otherwise.
func (l *limit) set(n int64, shared bool) {
	l.all.Store(n)
	if !shared {
		l.here.Store(n)
	}
}

// now is what is in force here; some is false without a limit.
func (l *limit) now() (n int64, some bool) {
	all := l.all.Load()
	return min(all, l.here.Load()), all > 0
}

func (l *limits) of(kind LimitKind) *limit {
	switch kind {
	case MaxloginsLimit:
		return &l.maxlogins
	case LoginRateLimit:
		return &l.loginRate
	}
	return &l.maxconn
}

// Share is how a limit stands at this process.
type Share struct {
	All     int64 // the limit; 0 is none. With peers it is that of all together
	Here    int64 // what this process may have of it
	Used    int64 // sessions, logins under way, or logins begun in the last second
	Waiting int64 // logins that wait for the server, or for any of the backend
}

// Share tells how a limit stands.
func (s *Server) Share(now time.Time, kind LimitKind) (is Share) {
	l := s.limits.of(kind)
	is.All = l.all.Load()
	is.Here, _ = l.now()
	is.Used = s.used(now, kind)
	is.Waiting = s.Qcur.Load() + s.Backend.Qcur.Load()
	return is
}

func (s *Server) used(now time.Time, kind LimitKind) int64 {
	switch kind {
	case MaxloginsLimit:
		return s.Logins.Load()
	case LoginRateLimit:
		return s.Rate.Value(now)
	}
	return s.Scur.Load()
}

// Allow has this process have at most n of a limit from now on, and returns
// what it has: more, if it had more before, but then nothing is added. Who
// waits for the room this makes is let in soon. It is for servers of backends
// with Setup.Shared.
func (s *Server) Allow(now time.Time, kind LimitKind, n int64) (used int64) {
	q, l := &s.Backend.queue, s.limits.of(kind)
	q.mu.Lock() // with it places are taken: what is used is read when no more is added
	was := l.here.Load()
	l.here.Store(n)
	if kind == LoginRateLimit && n > was && (was > 0 || n < l.all.Load()) {
		s.limits.tokens.resize(now.UnixNano(), was, n)
	}
	used = s.used(now, kind)
	q.mu.Unlock()
	if n > was {
		s.Backend.alarm(time.Time{})
	}
	return used
}

// full tells the owner that somebody did not get a place.
func (p *pool) full() {
	if p.onFull != nil {
		p.onFull()
	}
}
