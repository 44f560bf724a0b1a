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
	keyKind       string
}

// NewBackend joins a backend with its targets; see SetTargets.
func NewBackend(b *balancer.Backend, targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration, keyKind string) *Backend {
	n := &Backend{Backend: b}
	n.SetTargets(targets, timeoutServer, keyKind)
	return n
}

// SetTargets replaces the way to the servers: one target for each server of
// the backend, the timeout of their silence, and the kind of key of the stick
// table.
func (b *Backend) SetTargets(targets map[*balancer.Server]*upstream.Target, timeoutServer time.Duration, keyKind string) {
	b.settings.Store(&backendSettings{targets: targets, timeoutServer: timeoutServer, keyKind: keyKind})
}

// Target is the way to a server, nil if it has left the configuration.
func (b *Backend) Target(s *balancer.Server) *upstream.Target {
	return b.settings.Load().targets[s]
}
