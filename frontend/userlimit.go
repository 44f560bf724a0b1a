package frontend

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"imaplb/session"
	"imaplb/sticktable"
)

// UserLimits is the part of a [backend.NAME] section that bounds the sessions
// of one user, as Dovecot's mail_max_userip_connections does.
type UserLimits struct {
	MaxUserSessions          int `toml:"max_user_sessions"`            // of a user; at all peers, if the stick table is by user; 0 is no limit
	MaxUserSessionsPerSource int `toml:"max_user_sessions_per_source"` // of a user from one address at this peer; 0 is no limit
}

func (u UserLimits) any() bool { return u.MaxUserSessions > 0 || u.MaxUserSessionsPerSource > 0 }

// userSource is whose sessions are counted together: a user's from an address,
// or all of them if there is none.
type userSource struct {
	backend int
	user    string
	source  netip.Addr
}

// allSources stands for the sum over all addresses, which a unix socket's
// sessions, without one, must not be taken for.
func allSources() netip.Addr { return netip.IPv4Unspecified() }

const userShards = 64 // a power of two

// userCounts counts the sessions of users, those logging in included, in
// backends that have a limit. Others cost nothing. It holds two numbers for
// each session at most. Shared: any goroutine may call any method.
type userCounts struct {
	seed   maphash.Seed
	shards [userShards]struct {
		mu sync.Mutex // guards n
		n  map[userSource]int
	}
}

func newUserCounts() *userCounts { return &userCounts{seed: maphash.MakeSeed()} }

// add counts one session more or less and returns how many there are then.
func (u *userCounts) add(key userSource, n int) int {
	s := &u.shards[maphash.String(u.seed, key.user)%userShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = make(map[userSource]int)
	}
	n += s.n[key]
	if n > 0 {
		s.n[key] = n
	} else {
		delete(s.n, key)
	}
	return n
}

// both counts a session for its user, and for its user and address.
func (u *userCounts) both(backend int, user string, source netip.Addr, n int) (all, here int) {
	here = u.add(userSource{backend, user, source}, n)
	return u.add(userSource{backend, user, allSources()}, n), here
}

// UserSessionsNow is how many sessions a user has in a backend with a limit, and
// how many of them from an address at this peer; those logging in are counted.
func (e *Engine) UserSessionsNow(now time.Time, b *Backend, user string, source netip.Addr) (all, here int) {
	all, here = e.users.both(b.ID, user, source, 0)
	return e.userSessions(now, b, user, all, 0), here
}

// userSessions are a user's sessions at all peers, if the table is by user, given
// those that are counted here; fresh is how many of them the table cannot have.
func (e *Engine) userSessions(now time.Time, b *Backend, user string, here, fresh int) int {
	t, most := b.Table(), b.UserLimits().MaxUserSessions
	if t == nil || most == 0 || t.KeyOf(user) != user {
		return here
	}
	is, _ := t.Lookup(now, user)
	// Those of before a limit was set are in the table alone.
	n := max(here, is.Local+fresh) + is.Sessions - is.Local
	if n >= most {
		n -= e.lost(t, user)
	}
	return n
}

// lost is how many sessions under a key were at peers that are dead. The table has
// them until the peer's grace is over, but their clients come back now.
func (e *Engine) lost(t *sticktable.Table, key string) (n int) {
	alive := e.alive.Load()
	if alive == nil {
		return 0
	}
	for _, s := range t.Slots(key) {
		if s.Peer != t.Self() && !(*alive)(s.Peer) {
			n += int(s.Count)
		}
	}
	return n
}

// Reasons of logins that would have been too many of their user.
const (
	reasonUserLimit       = "user_limit"
	reasonUserSourceLimit = "user_source_limit"

	stateLimit = "PC"
)

// overLimit answers a login that would be one session too many of its user.
func (l *login) overLimit(now time.Time) bool {
	reason, f := l.countUser()
	if reason == "" {
		return false
	}
	l.deny(now, reason, stateLimit, f)
	return true
}

// countUser counts the login as a session of its user. If that is one too many
// it is not counted, and the reason is there. Logins at once cannot pass the
// limit together, but two peers may each let one in before they hear of the
// other's. Connections without a login have no user.
func (l *login) countUser() (reason string, f session.Failure) {
	limits := l.be.UserLimits()
	if l.raw || !limits.any() {
		return "", f
	}
	c := l.p.c
	l.counted = true
	all, here := c.fe.e.users.both(l.be.ID, l.user, c.src.Addr(), 1)
	all = c.fe.e.userSessions(l.begun, l.be, l.user, all, 1)
	switch {
	case limits.MaxUserSessions > 0 && all > limits.MaxUserSessions:
		reason = reasonUserLimit
		f = session.Saying(session.Limit, fmt.Sprintf("Too many sessions of this user, at most %d, try again later.", limits.MaxUserSessions))
	case limits.MaxUserSessionsPerSource > 0 && here > limits.MaxUserSessionsPerSource:
		reason = reasonUserSourceLimit
		f = session.Saying(session.Limit, fmt.Sprintf("Too many sessions of this user from this address, at most %d, try again later.", limits.MaxUserSessionsPerSource))
	default:
		return "", f
	}
	l.uncount()
	return reason, f
}

// uncount is for a login that has failed or whose client has left.
func (l *login) uncount() {
	if l.counted {
		l.counted = false
		l.p.c.fe.e.users.both(l.be.ID, l.user, l.p.c.src.Addr(), -1)
	}
}

// uncount is for a session that has ended.
func (c *conn) uncount() {
	if c.counted {
		c.counted = false
		c.fe.e.users.both(c.place.Server.Backend.ID, c.user, c.src.Addr(), -1)
	}
}
