package balancer

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Server is one server of a backend. It is shared: any goroutine may call any
// method. A reload changes it in place while its name stays.
type Server struct {
	// Immutable.
	Name    string
	ID      int // unique in the backend, from 1
	Backend *Backend
	hash    uint64 // of the name

	Counters

	state    atomic.Pointer[State] // replaced under Backend.mu
	observer atomic.Pointer[Observer]
	weight   atomic.Int32
	initial  atomic.Int32
	agentPer atomic.Int32 // per cent of the weight
	base     atomic.Int64 // weight × agentPer, at most 256 × 100
	limits   limits
	line     line         // who waits for it
	warming  atomic.Int64 // Unix ms of the begin of a slow start, 0 is none

	// As the file says.
	slowstart atomic.Int64 // ms
	backup    atomic.Bool
	keepsDown atomic.Bool // on_marked_down is not shutdown-sessions
	tags      atomic.Pointer[[]string]

	current int64 // guarded by Backend.robin.mu
}

func newServer(now time.Time, b *Backend, name string, id int) *Server {
	s := &Server{Name: name, ID: id, Backend: b, hash: xxhash.Sum64String(name)}
	s.agentPer.Store(100)
	s.limits.shared = b.shared
	s.line.count = &s.Counters
	s.state.Store(&State{
		FromFile: true, Health: Health{Up: true},
		period: period{running: true, since: now},
	})
	return s
}

// configure takes what the file says. Backend.mu is held.
func (s *Server) configure(now time.Time, cfg ServerConfig) {
	s.weight.Store(int32(cfg.Weight))
	s.initial.Store(int32(cfg.Weight))
	s.reweigh()
	s.slowstart.Store(cfg.Slowstart.Milliseconds())
	s.backup.Store(cfg.Backup)
	s.keepsDown.Store(cfg.OnMarkedDown == "none")
	s.tags.Store(&cfg.Tags)
	s.limits.configure(&cfg)
	state := *s.state.Load()
	if admin, err := ParseAdmin(cfg.State); err == nil && state.FromFile {
		state.Admin = admin
		s.storeLocked(now, &state)
	}
}

// State is the state as it is now.
func (s *Server) State() State { return *s.state.Load() }

// Away reports whether nobody may be on the server: it is down, and the backend
// is not in panic, it is in maintenance or it has no address.
func (s *Server) Away() bool {
	state := s.state.Load()
	return !state.running() && !(s.Backend.panic.Load() && state.asIfUp().running())
}

// Backup reports whether the server is used only when no other is.
func (s *Server) Backup() bool { return s.backup.Load() }

// Tags are the groups the server belongs to; the slice must not be changed.
func (s *Server) Tags() []string {
	if t := s.tags.Load(); t != nil {
		return *t
	}
	return nil
}

// Fits reports whether the server has a tag; "" fits every server.
func (s *Server) Fits(tag string) bool { return tag == "" || slices.Contains(s.Tags(), tag) }

// KeepsSessions reports whether sessions go on when the server goes down, until
// their user is placed elsewhere.
func (s *Server) KeepsSessions() bool { return s.keepsDown.Load() }

// Since is when the server last began or ceased to run, and downtime how long
// it did not run in all: it runs while it is up and not in maintenance.
func (s *Server) Since(now time.Time) (since time.Time, downtime time.Duration) {
	p := s.state.Load().period
	return p.since, p.downtime(now)
}

// takesNew reports whether users the table does not know may go here.
func (s *Server) takesNew() bool { return s.takes(s.Backend.panic.Load()) }

// takes is takesNew, whether the backend is in panic or not.
func (s *Server) takes(inPanic bool) bool {
	return s.base.Load() > 0 && s.state.Load().access(inPanic).fresh
}

// keeps reports whether a user stuck to the server may go on to it.
func (s *Server) keeps(inPanic, hasSessions bool) bool {
	a := s.state.Load().access(inPanic)
	return a.idle || hasSessions && a.busy
}

// SetHealth takes the result of a check. It does nothing in maintenance, where
// a check that was under way may still end.
func (s *Server) SetHealth(now time.Time, h Health) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	if old.Effective() == Maint {
		b.mu.Unlock()
		return
	}
	if h.Failed {
		s.Chkfail.Add(1)
	}
	state := *old
	state.Health = h
	s.settleLocked(now, old, state)
}

// SetVerdict takes what the peers together say of the server's health. In
// maintenance it waits.
func (s *Server) SetVerdict(now time.Time, v Verdict) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	state := *old
	state.Verdict = v
	s.settleLocked(now, old, state)
}

// SetAdmin takes an operator's order, which a reload will not undo.
func (s *Server) SetAdmin(now time.Time, admin Admin) {
	s.Backend.mu.Lock()
	old := s.state.Load()
	state := *old
	state.FromFile, state.Admin = false, admin
	s.settleLocked(now, old, state)
}

// settleLocked stores a state that may be another in any way, and unlocks
// Backend.mu before it tells.
func (s *Server) settleLocked(now time.Time, old *State, state State) {
	b := s.Backend
	up, was := state.Up(), old.Up()
	admin := state.Effective() != old.Effective() || state.Admin != old.Admin || state.Unresolved != old.Unresolved
	if !up && was && state.Effective() != Maint {
		s.Chkdown.Add(1)
	}
	s.storeLocked(now, &state)
	b.refreshLocked(now)
	panics := b.refreshPanicLocked(now)
	b.mu.Unlock()
	if admin {
		b.tell(Change{Time: now, Server: s, Kind: SetAdmin, Old: *old})
	}
	switch {
	case state.Effective() == Maint || old.Effective() == Maint:
	case up && !was:
		b.tell(Change{Time: now, Server: s, Kind: WentUp, Old: *old})
	case !up && was:
		b.tell(Change{Time: now, Server: s, Kind: WentDown, Old: *old})
	}
	if panics.Kind != 0 {
		b.tell(panics)
	}
}

// storeLocked replaces the state. Backend.mu is held.
func (s *Server) storeLocked(now time.Time, state *State) {
	old := s.state.Load()
	if old.Effective() == Maint && state.Effective() != Maint {
		// Nobody has looked meanwhile: up, but down at the first failure.
		h := Health{Up: true, Rise: state.Health.Rise, Fall: state.Health.Fall, Count: state.Health.Rise}
		if state.Health.Text != "" {
			h.Text = "UP"
		}
		state.Health = h
	}
	if state.running() != state.period.running {
		state.period = *state.period.next(now, state.running())
		if state.period.running {
			s.warm(now)
		}
	}
	s.state.Store(state)
}
