package frontend

import (
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
}

// backendSettings are what a reload replaces. Immutable.
type backendSettings struct {
	targets       map[*balancer.Server]*upstream.Target
	timeoutServer time.Duration
}

// NewBackend joins a backend with its targets; see SetTargets.
func NewBackend(b *balancer.Backend, targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration) *Backend {
	n := &Backend{Backend: b}
	n.SetTargets(targets, timeoutServer)
	return n
}

// SetTargets replaces the way to the servers: one target for each server of
// the backend, and the timeout of their silence.
func (b *Backend) SetTargets(targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration) {
	b.settings.Store(&backendSettings{targets: targets, timeoutServer: timeoutServer})
}

// Target is the way to a server, nil if it has left the configuration.
func (b *Backend) Target(s *balancer.Server) *upstream.Target {
	return b.settings.Load().targets[s]
}
