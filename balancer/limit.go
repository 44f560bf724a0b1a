package balancer

import (
	"sync/atomic"
	"time"
)

// limits are what a server takes at once. 0 is no limit.
type limits struct {
	maxconn   atomic.Int64
	minconn   atomic.Int64
	maxqueue  atomic.Int64
	maxlogins atomic.Int64
	loginRate atomic.Int64 // per second
	tokens    bucket       // of loginRate; taken from under queue.mu
	any       atomic.Bool  // some of maxconn, maxlogins and loginRate is set
}

func (l *limits) configure(cfg *ServerConfig) {
	l.minconn.Store(int64(cfg.Minconn))
	l.maxqueue.Store(int64(cfg.Maxqueue))
	l.maxlogins.Store(int64(cfg.Maxlogins))
	l.loginRate.Store(int64(cfg.LoginRate))
	l.setMaxconn(int64(cfg.Maxconn))
}

func (l *limits) setMaxconn(n int64) {
	l.maxconn.Store(n)
	l.any.Store(n > 0 || l.maxlogins.Load() > 0 || l.loginRate.Load() > 0)
}

// Maxconn is the most sessions at once; 0 is no limit.
func (s *Server) Maxconn() int { return int(s.limits.maxconn.Load()) }

// SetMaxconn changes the most sessions at once, until the next reload; 0 is no
// limit. Who waits for the room this makes is let in soon.
func (s *Server) SetMaxconn(n int) {
	s.limits.setMaxconn(int64(n))
	s.Backend.alarm(time.Time{})
}

// Maxqueue is the most logins that may wait for the server; 0 is no limit.
func (s *Server) Maxqueue() int { return int(s.limits.maxqueue.Load()) }

// Maxlogins is the most logins under way at once; 0 is no limit.
func (s *Server) Maxlogins() int { return int(s.limits.maxlogins.Load()) }

// Limit is the most sessions at once as it is in force now; 0 is no limit. With
// minconn it lies between minconn and maxconn, in proportion to the sessions of
// the backend, those that wait included, and is maxconn when they are fullconn
// or more. It is less in a slow start. HAProxy's srv_dynamic_maxconn.
func (s *Server) Limit() int64 {
	return s.warmed(s.dynamicLimit())
}

func (s *Server) dynamicLimit() int64 {
	most, least := s.limits.maxconn.Load(), s.limits.minconn.Load()
	b := s.Backend
	full := int64(b.Config().Fullconn)
	if most == 0 || least == 0 || least >= most || full == 0 {
		return most
	}
	conns := b.Scur.Load() + b.queue.waiting.Load()
	if conns >= full {
		return most
	}
	return max(least, conns*most/full)
}

// warmed is what a slow start leaves of a limit, at least 1; 0 stays no limit.
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
	if n := s.Limit(); n > 0 && s.Scur.Load() >= n {
		return true
	}
	n := s.warmed(s.limits.maxlogins.Load())
	return n > 0 && s.Logins.Load() >= n
}

// tokenWait is how long login_rate wants the next login to wait.
func (s *Server) tokenWait(now int64) time.Duration {
	rate := s.warmed(s.limits.loginRate.Load())
	if rate == 0 {
		return 0
	}
	return s.limits.tokens.wait(now, rate)
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
	if rate := s.warmed(s.limits.loginRate.Load()); rate > 0 && !s.limits.tokens.take(now.UnixNano(), rate) {
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
