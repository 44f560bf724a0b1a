package balancer

import "time"

// Panic: when too few servers are up, the checks are more likely to be wrong
// than the servers, and trying all is better than trying none. Health then
// counts for nothing: users whose home is down stay with it, others go
// anywhere, and nobody's sessions are ended because a server went down. So a
// user has one home in panic too. A connect that fails for good lets him leave
// a home that is down (Redispatch), and the table tells everybody.
//
// When the panic ends, servers that are still down lose their users as if they
// went down at that moment: the owner is told PanicOver.

// InPanic reports whether health counts for nothing.
func (b *Backend) InPanic() bool { return b.panic.Load() }

// panicking reports whether fewer servers than the threshold are up, of those
// that take part: neither backup nor in drain or maintenance. While a backup
// server is up there is no need for panic.
func (p *pool) panicking() bool {
	if p.cfg.PanicThreshold == 0 {
		return false
	}
	up, all := 0, 0
	for _, s := range p.servers {
		state := s.state.Load()
		switch {
		case state.Effective() != Ready || state.Unresolved:
		case s.backup.Load():
			if state.Up() {
				return false
			}
		default:
			all++
			if state.Up() {
				up++
			}
		}
	}
	return up*100 < all*p.cfg.PanicThreshold
}

// refreshPanicLocked begins or ends the panic; the change is to be told with
// no lock held, its Kind is 0 if there is none. Backend.mu is held.
func (b *Backend) refreshPanicLocked(now time.Time) (c Change) {
	p := b.pool.Load()
	is := p.panicking()
	if is == b.panic.Load() || len(p.servers) == 0 {
		return c
	}
	b.panic.Store(is)
	c = Change{Time: now, Server: p.servers[0], Kind: PanicOver}
	if is {
		c.Kind = PanicBegan
	}
	c.Old = c.Server.State()
	return c
}
