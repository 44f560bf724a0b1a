package balancer

import (
	"sync/atomic"
	"time"
)

// limits are what a server takes at once. 0 is no limit.
type limits struct {
	shared    bool // maxconn, maxlogins and loginRate are those of all peers together; immutable
	maxconn   limit
	minconn   atomic.Int64
	maxqueue  atomic.Int64
	maxlogins limit
	loginRate limit       // per second
	tokens    bucket      // of loginRate; taken from under queue.mu
	any       atomic.Bool // some of maxconn, maxlogins and loginRate is set
}

func (l *limits) configure(cfg *ServerConfig) {
	l.minconn.Store(int64(cfg.Minconn))
	l.maxqueue.Store(int64(cfg.Maxqueue))
	l.maxlogins.set(int64(cfg.Maxlogins), l.shared)
	l.loginRate.set(int64(cfg.LoginRate), l.shared)
	l.setMaxconn(int64(cfg.Maxconn))
}

func (l *limits) setMaxconn(n int64) {
	l.maxconn.set(n, l.shared)
	l.any.Store(n > 0 || l.maxlogins.all.Load() > 0 || l.loginRate.all.Load() > 0)
}

// Maxconn is the most sessions at once, of all peers that share the limit; 0 is
// no limit.
func (s *Server) Maxconn() int { return int(s.limits.maxconn.all.Load()) }

// SetMaxconn changes the most sessions at once, until the next reload; 0 is no
// limit. Who waits for the room this makes is let in soon.
func (s *Server) SetMaxconn(n int) {
	s.limits.setMaxconn(int64(n))
	s.Backend.alarm(time.Time{})
}

// Maxqueue is the most logins that may wait for the server; 0 is no limit.
func (s *Server) Maxqueue() int { return int(s.limits.maxqueue.Load()) }

// Maxlogins is the most logins under way at once, of all peers that share the
// limit; 0 is no limit.
func (s *Server) Maxlogins() int { return int(s.limits.maxlogins.all.Load()) }

// Limit is the most sessions at once as it is in force now at this process,
// false for no limit. With minconn it lies between minconn and maxconn, in
// proportion to the sessions of the backend, those that wait included, and is
// maxconn when they are fullconn or more. Of limits that peers share each has
// its part. It is less in a slow start. HAProxy's srv_dynamic_maxconn.
func (s *Server) Limit() (n int64, some bool) {
	here, some := s.limits.maxconn.now()
	return s.warmed(s.dynamicLimit(here)), some
}

// dynamicLimit is what minconn leaves of a claim on maxconn. The claim stands
// to maxconn as its part of minconn to that, and so for fullconn.
func (s *Server) dynamicLimit(here int64) int64 {
	most, least := s.limits.maxconn.all.Load(), s.limits.minconn.Load()
	b := s.Backend
	full := int64(b.Config().Fullconn)
	if least == 0 || least >= most || full == 0 {
		return here
	}
	conns := b.Scur.Load() + b.queue.waiting.Load()
	return min(here, max((least*here+most-1)/most, conns*most/full))
}

// warmed is what a slow start leaves of a limit, at least 1; 0 stays 0.
func (s *Server) warmed(n int64) int64 {
	if n == 0 || s.warming.Load() == 0 {
		return n
	}
	return max(1, n*s.throttle(s.Backend.queue.clock.Load()/int64(time.Millisecond))/100)
}

// tellTime is for the limits that depend on it.
func (b *Backend) tellTime(now time.Time, pool *pool) {
	if pool.paced {
		b.queue.clock.Store(now.UnixNano())
	}
}

// full reports whether nobody new gets a place now: some limit is reached, or
// others wait for it.
func (s *Server) full() bool {
	if !s.limits.any.Load() {
		return false
	}
	return s.Qcur.Load() > 0 || s.atLimit() || s.tokenWait(s.Backend.queue.clock.Load()) > 0
}

// atLimit is full as far as time alone does not change it.
func (s *Server) atLimit() bool {
	if n, some := s.Limit(); some && s.Scur.Load() >= n {
		return true
	}
	if n, some := s.limits.maxlogins.now(); some && s.Logins.Load() >= s.warmed(n) {
		return true
	}
	n, some := s.limits.loginRate.now()
	return some && n == 0 // others have all of it
}

// tokenWait is how long login_rate wants the next login to wait.
func (s *Server) tokenWait(now int64) time.Duration {
	rate := s.loginRate()
	if rate == 0 {
		return 0
	}
	return s.limits.tokens.wait(now, rate)
}

// loginRate is what is in force of it now.
func (s *Server) loginRate() int64 {
	n, _ := s.limits.loginRate.now()
	return s.warmed(n)
}

// take reserves the place of one session that logs in; free gives it back.
// Nobody overtakes those who wait.
func (s *Server) take(now time.Time) bool {
	if !s.limits.any.Load() {
		s.enter()
		return true
	}
	q := &s.Backend.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	return s.Qcur.Load() == 0 && s.reserveLocked(now)
}

// reserveLocked is take for the first in the queue. Asking and taking are one
// step under queue.mu: who took a place and gave it back because of another
// limit could make others believe meanwhile that there is none.
func (s *Server) reserveLocked(now time.Time) bool {
	if s.atLimit() {
		return false
	}
	if rate := s.loginRate(); rate > 0 && !s.limits.tokens.take(now.UnixNano(), rate) {
		return false
	}
	s.enter()
	return true
}

func (s *Server) enter() {
	raise(&s.Smax, s.Scur.Add(1))
	raise(&s.LoginMax, s.Logins.Add(1))
}

// free gives back the place of a session, and that of its login if that is
// still under way. The next one who waits gets it.
func (s *Server) free(now time.Time, login bool) {
	if login {
		s.Logins.Add(-1)
	}
	s.Scur.Add(-1)
	s.Backend.serve(now, s)
}

// loggedIn gives back the place of a login that is done.
func (s *Server) loggedIn(now time.Time) {
	s.Logins.Add(-1)
	s.Backend.serve(now, s)
}
