// Package balancer chooses a server for each user: the one the stick table
// names while it may be used, else one chosen by an algorithm, of which each
// has a file. It keeps the states, weights and counters of the servers.
//
// It opens no connection and runs no check; it reads no clock and starts no
// goroutine. What closes the sessions of a server that goes down or into
// maintenance is its owner, told by Setup.OnChange.
package balancer

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"imaplb/sticktable"
)

// Errors of placing a user.
var (
	ErrNoServer = errors.New("balancer: no server is usable")
	ErrFull     = errors.New("balancer: server is at its maxconn")
	ErrHome     = errors.New("balancer: user lives on this server and may not leave it")
	ErrMoved    = errors.New("balancer: user was moved to another server")
	ErrFrozen   = errors.New("balancer: user's server is not usable, and nobody is moved while most peers are out of sight")
)

// ServerSpec is a server as the configuration names it.
type ServerSpec struct {
	Name   string
	Config ServerConfig
	Keep   bool // a server that is there already stays as it is, with all that was set at run time
}

// Setup is what a backend is made of.
type Setup struct {
	Config  Config
	Servers []ServerSpec      // in the order of the file
	Table   *sticktable.Table // nil is none

	// OnChange, if not nil, is called after each change of a server's state or
	// weight, by the goroutine that made it, with no lock held.
	OnChange func(Change)
	// Before, if not nil, is called by Update with all the servers right before
	// users are sent to them, with a lock held: it must call no method.
	Before func(servers []*Server)
	// Frozen, if not nil, reports whether users must stay where they are: most
	// of the peers are out of sight, and may have them.
	Frozen func() bool
	// Pinned, if not nil, is the server that an operator pinned a key of the
	// table to, "" for none. It is called for every login and must not block.
	Pinned func(key string) (server string)
	// Shared says that the limits of servers are those of several processes
	// together: this one has nothing of them but what Server.Allow gives it. It
	// is the same for the life of a backend.
	Shared bool
	// OnFull, if not nil, is called when a login does not get a place at once.
	// It must not block.
	OnFull func()
}

// Backend is a named group of servers with one algorithm. It is shared: any
// goroutine may call any method.
type Backend struct {
	// Immutable.
	Name   string
	ID     int  // unique over frontends and backends
	shared bool // Setup.Shared

	Counters // of all servers, removed ones too

	pool  atomic.Pointer[pool]
	state atomic.Pointer[period]
	robin roundRobin
	turn  atomic.Uint64 // of leastconn
	panic atomic.Bool
	queue queue
	line  line                             // who waits for any server
	lines atomic.Pointer[map[string]*line] // who waits for any server with a tag; replaced under queue.mu

	mu     sync.Mutex // guards the replacing of pool, of state and of the servers' states
	nextID int
}

// pool is the part of a backend that a reload replaces. It is immutable.
type pool struct {
	cfg      Config
	servers  []*Server // in the order of the file
	byName   map[string]*Server
	table    *sticktable.Table
	onChange func(Change)
	frozen   func() bool
	backups  bool // some server is one
	pinned   func(key string) string
	maxqueue int64 // of the backend's own queue; 0 is no limit
	paced    bool  // some server has a login_rate or a slow start
	onFull   func()
}

// NewBackend returns a backend whose servers are up since now and in the state
// the configuration gives them. Servers are numbered from 1.
func NewBackend(now time.Time, name string, id int, setup Setup) *Backend {
	b := &Backend{Name: name, ID: id, shared: setup.Shared, nextID: 1}
	b.line.count = &b.Counters
	b.pool.Store(&pool{})
	b.state.Store(&period{running: true, since: now})
	b.update(now, setup)
	return b
}

// Update takes a new configuration and returns the servers that are not in it
// any more; their sessions go on until the owner ends them. A server whose
// name stays keeps its identity, number, counters and health, and an admin
// state that was set at run time. Its weight is the file's again.
func (b *Backend) Update(now time.Time, setup Setup) (removed []*Server) {
	removed, changes := b.update(now, setup)
	for _, c := range changes {
		b.tell(c)
	}
	for _, s := range removed {
		b.dismiss(&s.line)
	}
	b.reflow(now) // limits may have been raised
	return removed
}

func (b *Backend) update(now time.Time, setup Setup) (removed []*Server, changes []Change) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.pool.Load()
	p := &pool{cfg: setup.Config, table: setup.Table, onChange: setup.OnChange, frozen: setup.Frozen, pinned: setup.Pinned,
		onFull: setup.OnFull, byName: map[string]*Server{}}
	for _, spec := range setup.Servers {
		s := old.byName[spec.Name]
		keep := spec.Keep && s != nil
		if s == nil {
			s = newServer(now, b, spec.Name, b.nextID)
			b.nextID++
		}
		before := s.State()
		if !keep {
			s.configure(now, spec.Config)
		}
		if after := s.State(); before.Effective() != after.Effective() || before.Admin != after.Admin {
			changes = append(changes, Change{Time: now, Server: s, Kind: SetAdmin, Old: before})
		}
		p.servers = append(p.servers, s)
		p.byName[spec.Name] = s
		p.backups = p.backups || spec.Config.Backup
	}
	p.limit(setup.Servers)
	if setup.Before != nil {
		setup.Before(p.servers)
	}
	b.pool.Store(p)
	for _, s := range old.servers {
		if p.byName[s.Name] == nil {
			removed = append(removed, s)
		}
	}
	b.refreshLocked(now)
	if c := b.refreshPanicLocked(now); c.Kind != 0 {
		changes = append(changes, c)
	}
	return removed, changes
}

// limit derives what the servers' limits mean for the backend.
func (p *pool) limit(servers []ServerSpec) {
	endless := false
	for _, spec := range servers {
		p.maxqueue += int64(spec.Config.Maxqueue)
		endless = endless || spec.Config.Maxqueue == 0
		p.paced = p.paced || spec.Config.LoginRate > 0 || spec.Config.Slowstart > 0
	}
	if endless {
		p.maxqueue = 0
	}
}

// tell calls the owner; no lock is held.
func (b *Backend) tell(c Change) {
	b.reflow(c.Time)
	if f := b.pool.Load().onChange; f != nil {
		c.Active = b.Active()
		f(c)
	}
}

// Config is the configuration in force.
func (b *Backend) Config() Config { return b.pool.Load().cfg }

// Table is the stick table, nil if there is none.
func (b *Backend) Table() *sticktable.Table { return b.pool.Load().table }

// Servers are the servers in the order of the file; the slice must not be
// changed.
func (b *Backend) Servers() []*Server { return b.pool.Load().servers }

// Server returns the server of that name, nil if there is none.
func (b *Backend) Server(name string) *Server { return b.pool.Load().byName[name] }

// Active is the number of servers that take new users, backup servers
// included.
func (b *Backend) Active() int {
	active, backup := b.Usable()
	return active + backup
}

// Usable counts the servers that take new users, and the backup servers that
// would.
func (b *Backend) Usable() (active, backup int) {
	for _, s := range b.Servers() {
		switch {
		case !s.takesNew():
		case s.Backup():
			backup++
		default:
			active++
		}
	}
	return active, backup
}

// Weights are the sums of the effective weights and of the weights set, of the
// servers that take new users.
func (b *Backend) Weights(now time.Time) (effective, set int) {
	for _, s := range b.Servers() {
		if s.takesNew() {
			effective += s.EffectiveWeight(now)
			set += s.Weight()
		}
	}
	return effective, set
}

// Up reports whether some server is up and not in maintenance, since when that
// is so, and how long none was in all.
func (b *Backend) Up(now time.Time) (up bool, since time.Time, downtime time.Duration) {
	p := b.state.Load()
	return p.running, p.since, p.downtime(now)
}

// refreshLocked derives the backend's state from its servers'.
func (b *Backend) refreshLocked(now time.Time) {
	running := false
	for _, s := range b.Servers() {
		running = running || s.state.Load().running()
	}
	old := b.state.Load()
	if running == old.running {
		return
	}
	if !running {
		b.Chkdown.Add(1)
	}
	b.state.Store(old.next(now, running))
}
