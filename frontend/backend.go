package frontend

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"imaplb/balancer"
	"imaplb/upstream"
)

// Backend is a backend with the way to its servers. Shared: any goroutine may
// call any method.
type Backend struct {
	*balancer.Backend
	settings atomic.Pointer[backendSettings]
	limits   atomic.Pointer[UserLimits]

	mu    sync.Mutex // guards the fields below
	timer *time.Timer
	at    time.Time // when it rings; zero is not at all
}

// backendSettings are what a reload replaces. Immutable.
type backendSettings struct {
	targets       map[*balancer.Server]*upstream.Target
	timeoutServer time.Duration
}

// NewBackend joins a backend with its targets; see SetTargets.
func NewBackend(b *balancer.Backend, targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration) *Backend {
	n := &Backend{Backend: b}
	b.SetAlarm(n.serveAt)
	n.SetTargets(targets, timeoutServer)
	return n
}

// SetTargets replaces the way to the servers: one target for each server of
// the backend, and the timeout of their silence.
func (b *Backend) SetTargets(targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration) {
	b.settings.Store(&backendSettings{targets: targets, timeoutServer: timeoutServer})
}

// AddTargets is SetTargets before all of the servers are in force: those that
// are and will not be keep their ways until SetTargets, as logins may be on
// them yet.
func (b *Backend) AddTargets(targets map[*balancer.Server]*upstream.Target) {
	set := *b.settings.Load()
	set.targets = maps.Clone(set.targets)
	maps.Copy(set.targets, targets)
	b.settings.Store(&set)
}

// SetUserLimits bounds the sessions of a user from the next login on. Sessions
// of before count only where the stick table has them.
func (b *Backend) SetUserLimits(l UserLimits) { b.limits.Store(&l) }

// UserLimits are the bounds in force.
func (b *Backend) UserLimits() UserLimits {
	if l := b.limits.Load(); l != nil {
		return *l
	}
	return UserLimits{}
}

// Target is the way to a server, nil if it has left the configuration.
func (b *Backend) Target(s *balancer.Server) *upstream.Target {
	return b.settings.Load().targets[s]
}

// serveStep is the least time between two looks at who waits for time to pass;
// what a login_rate allows meanwhile is let in together.
const serveStep = 10 * time.Millisecond

// serveAt has the queues served at that time, at most serveStep later.
func (b *Backend) serveAt(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if soon := now.Add(serveStep); at.Before(soon) {
		at = soon
	}
	if !b.at.IsZero() && !b.at.After(at) {
		return
	}
	b.at = at
	if b.timer == nil {
		b.timer = time.AfterFunc(at.Sub(now), b.serve) // ends when nobody waits for time to pass
		return
	}
	b.timer.Reset(at.Sub(now))
}

func (b *Backend) serve() {
	b.mu.Lock()
	b.at = time.Time{}
	b.mu.Unlock()
	b.Serve(time.Now())
}
