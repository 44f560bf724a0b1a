package balancer

import (
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

	state   atomic.Pointer[State] // replaced under Backend.mu
	weight  atomic.Int32
	initial atomic.Int32
	maxconn atomic.Int64

	current int64 // guarded by Backend.robin.mu
}

func newServer(now time.Time, b *Backend, name string, id int) *Server {
	s := &Server{Name: name, ID: id, Backend: b, hash: xxhash.Sum64String(name)}
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
	s.maxconn.Store(int64(cfg.Maxconn))
	state := *s.state.Load()
	if admin, err := ParseAdmin(cfg.State); err == nil && state.FromFile {
		s.setAdminLocked(now, &state, admin)
	}
}

// State is the state as it is now.
func (s *Server) State() State { return *s.state.Load() }

// Away reports whether nobody may be on the server: it is down or in
// maintenance.
func (s *Server) Away() bool { return !s.state.Load().running() }

// Weight is the weight in force, 0 to 256.
func (s *Server) Weight() int { return int(s.weight.Load()) }

// InitialWeight is the weight of the configuration.
func (s *Server) InitialWeight() int { return int(s.initial.Load()) }

// Maxconn is the most sessions at once; 0 is no limit.
func (s *Server) Maxconn() int { return int(s.maxconn.Load()) }

// Since is when the server last began or ceased to run, and downtime how long
// it did not run in all: it runs while it is up and not in maintenance.
func (s *Server) Since(now time.Time) (since time.Time, downtime time.Duration) {
	p := s.state.Load().period
	return p.since, p.downtime(now)
}

// takesNew reports whether users the table does not know may go here.
func (s *Server) takesNew() bool {
	return s.weight.Load() > 0 && s.state.Load().access().fresh
}

// keeps reports whether a user stuck to the server may go on to it.
func (s *Server) keeps(hasSessions bool) bool {
	a := s.state.Load().access()
	return a.idle || hasSessions && a.busy
}

func (s *Server) full() bool {
	limit := s.maxconn.Load()
	return limit > 0 && s.Scur.Load() >= limit
}

// take reserves the place of one session; end gives it back.
func (s *Server) take() bool {
	n, limit := s.Scur.Add(1), s.maxconn.Load()
	if limit > 0 && n > limit {
		s.Scur.Add(-1)
		return false
	}
	raise(&s.Smax, n)
	return true
}

// SetHealth takes the result of a check. It does nothing in maintenance, where
// a check that was under way may still end.
func (s *Server) SetHealth(now time.Time, h Health) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	if old.Admin == Maint {
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

// settleLocked stores a state whose health may be another, and unlocks
// Backend.mu before it tells.
func (s *Server) settleLocked(now time.Time, old *State, state State) {
	b := s.Backend
	up, was := state.Up(), old.Up()
	if !up && was && state.Admin != Maint {
		s.Chkdown.Add(1)
	}
	s.storeLocked(now, state)
	b.refreshLocked(now)
	b.mu.Unlock()
	switch {
	case state.Admin == Maint:
	case up && !was:
		b.tell(Change{Time: now, Server: s, Kind: WentUp, Old: *old})
	case !up && was:
		b.tell(Change{Time: now, Server: s, Kind: WentDown, Old: *old})
	}
}

// SetAdmin takes an operator's order, which a reload will not undo.
func (s *Server) SetAdmin(now time.Time, admin Admin) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	state := *old
	state.FromFile = false
	s.setAdminLocked(now, &state, admin)
	b.refreshLocked(now)
	b.mu.Unlock()
	if old.Admin != admin {
		b.tell(Change{Time: now, Server: s, Kind: SetAdmin, Old: *old})
	}
}

func (s *Server) setAdminLocked(now time.Time, state *State, admin Admin) {
	if state.Admin == Maint && admin != Maint {
		// Nobody has looked meanwhile: up, but down at the first failure.
		h := Health{Up: true, Rise: state.Health.Rise, Fall: state.Health.Fall, Count: state.Health.Rise}
		if state.Health.Text != "" {
			h.Text = "UP"
		}
		state.Health = h
	}
	state.Admin = admin
	s.storeLocked(now, *state)
}

func (s *Server) storeLocked(now time.Time, state State) {
	if state.running() != state.period.running {
		state.period = *state.period.next(now, state.running())
	}
	s.state.Store(&state)
}

// SetWeight changes the share of new users, 0 to 256, until the next reload.
func (s *Server) SetWeight(now time.Time, weight int) {
	if int(s.weight.Swap(int32(weight))) != weight {
		s.Backend.tell(Change{Time: now, Server: s, Kind: SetWeight, Old: s.State()})
	}
}
