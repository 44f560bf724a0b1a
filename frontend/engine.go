// Package frontend takes the clients' connections and carries each from accept
// to close: TLS, the IMAP commands before login (session), the choice of a
// server (balancer), the login there (upstream), and the relay.
//
// It knows every connection of the process and can list and end them. It does
// not read files or decide what a configuration means; its owner builds the
// parts and hands them in.
package frontend

import (
	"context"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/sticktable"
)

// maxRefusing bounds the clients over the limit of descriptors that are being
// told so at the same time; more are closed without a word. They use the
// descriptors kept back for the program itself.
const maxRefusing = 32

// maxBig bounds the connections that hold more than smallInput of a client's
// bytes before login, which only OAuth tokens need.
const (
	maxBig     = 256
	smallInput = 16 << 10
)

// Limits are the bounds of the whole process. Immutable.
type Limits struct {
	Maxconn          int           // client connections; accepting pauses there; 0 is none
	HardMaxconn      int           // what the descriptors suffice for; more are refused
	LoginTimeout     time.Duration // from accept to login
	HandshakeTimeout time.Duration // of a client's TLS handshake
	MaxHandshakes    int           // TLS handshakes under way at once
	LogBegin         bool          // log where sessions begin, too
}

// Engine runs the connections of all frontends. Shared: any goroutine may call
// any method, but not on a loop where the comment says that it waits.
type Engine struct {
	Counters
	// Fixed at New.
	log     *slog.Logger
	loops   *loop.Group
	workers []*worker // one for each loop
	slots   *loop.Handshakes
	socket  *loop.SocketConfig
	name    string // begins every session id
	tickets *tickets
	users   *userCounts

	penalties *penalties // has its own locks

	limits    atomic.Pointer[Limits]
	held      atomic.Pointer[func(table, key string) bool] // see SetHold
	alive     atomic.Pointer[func(peer string) bool]       // see SetAlive
	frontends atomic.Pointer[[]*Frontend]
	paused    atomic.Bool // some listener is paused at a limit
	refusing  atomic.Int64
	big       atomic.Int64
	tarpitted atomic.Int64
}

// Counters of the process, or of one frontend.
type Counters struct {
	Conns     atomic.Int64 // now
	ConnsMax  atomic.Int64
	ConnsTot  atomic.Int64
	ConnRate  balancer.Rate
	SessRate  balancer.Rate // logins asked for
	SessTot   atomic.Int64
	Refused   atomic.Int64 // over a limit
	Denied    atomic.Int64 // login refused before it reached a server
	Malformed atomic.Int64 // ended for what they sent
	TLSNow    atomic.Int64
	TLSTot    atomic.Int64
	TLSReused atomic.Int64
	TLSFailed atomic.Int64
	BadCerts  atomic.Int64 // of them for the client's certificate
	TLSRate   balancer.Rate
	In, Out   atomic.Int64 // bytes of ended sessions, from and to clients
	MaxHits   atomic.Int64 // times accepting paused
}

// Loops are what an engine runs on.
type Loops struct {
	Threads int // at least 1
	Poller  loop.Poller
	Socket  *loop.SocketConfig // of each connection
}

// New makes an engine. name tells this process's sessions from those of
// others. Nothing runs before Start.
func New(log *slog.Logger, loops Loops, name string, limits Limits) (*Engine, error) {
	g, err := loop.NewGroup(loops.Threads, loops.Poller, log)
	if err != nil {
		return nil, err
	}
	t, err := newTickets(time.Now())
	if err != nil {
		return nil, err
	}
	e := &Engine{
		log: log, loops: g, socket: loops.Socket, name: name, tickets: t, users: newUserCounts(), penalties: newPenalties(time.Now()),
		slots: loop.NewHandshakes(limits.MaxHandshakes, runtime.GOMAXPROCS(0)),
	}
	e.limits.Store(&limits)
	e.frontends.Store(new([]*Frontend))
	for _, l := range g.Loops {
		e.workers = append(e.workers, newWorker(e, l))
	}
	return e, nil
}

// Start runs the loops.
func (e *Engine) Start() { e.loops.Start() }

// Stop ends the loops and with them every connection, without a word.
func (e *Engine) Stop() {
	e.loops.Stop()
	e.slots.Close()
}

// Failed tells, once, why a loop has ended by itself; its connections are gone
// without a word. The process should end, see [loop.Group.Failed].
func (e *Engine) Failed() <-chan error { return e.loops.Failed() }

// SetLimits changes the bounds.
func (e *Engine) SetLimits(l Limits) {
	e.limits.Store(&l)
	e.slots.SetMax(l.MaxHandshakes)
	e.resume()
}

// Limits are the bounds in force.
func (e *Engine) Limits() *Limits { return e.limits.Load() }

// Threads is the number of loops.
func (e *Engine) Threads() int { return len(e.workers) }

// Poller is how the loops wait, loop.Epoll or loop.Ring.
func (e *Engine) Poller() loop.Poller { return e.loops.Poller() }

// Frontends are the frontends in the order they were added.
func (e *Engine) Frontends() []*Frontend { return *e.frontends.Load() }

// RotateTickets replaces the keys of TLS session tickets every now and then,
// until ctx ends. Sessions keep resuming over a rotation.
func (e *Engine) RotateTickets(ctx context.Context) {
	t := time.NewTicker(ticketLook)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			e.updateTickets(now)
		}
	}
}

// ShareTickets derives the keys of TLS session tickets from what secrets
// returns, the same at all peers, so that a client resumes at another peer. The
// first encrypts. Call it again after a change of secrets.
func (e *Engine) ShareTickets(now time.Time, secrets func() [][32]byte) {
	e.tickets.share(secrets)
	e.updateTickets(now)
}

func (e *Engine) updateTickets(now time.Time) {
	changed, err := e.tickets.update(now)
	if err != nil {
		e.log.Error("TLS ticket keys not rotated", "err", err)
	}
	if !changed {
		return
	}
	for _, f := range e.Frontends() {
		f.applyTickets()
	}
}

// SetHold makes logins wait while held reports that their key of a stick table
// is being moved. held is called on the loops and must not block.
func (e *Engine) SetHold(held func(table, key string) bool) { e.held.Store(&held) }

// SetAlive says which peers are there: sessions at others count for no limit of a
// user. alive is called on the loops, for logins that would be refused.
func (e *Engine) SetAlive(alive func(peer string) bool) { e.alive.Store(&alive) }

func (e *Engine) isHeld(t *sticktable.Table, key string) bool {
	held := e.held.Load()
	return held != nil && t != nil && (*held)(t.Name(), key)
}

// full reports whether accepting has to pause.
func (e *Engine) full() bool {
	limit := e.limits.Load().Maxconn
	return limit > 0 && e.Conns.Load() >= int64(limit)
}

// resume lets paused listeners look again.
func (e *Engine) resume() {
	if !e.paused.Load() || !e.paused.CompareAndSwap(true, false) {
		return
	}
	for _, f := range e.Frontends() {
		f.resume()
	}
}

// raise sets m to n if n is greater.
func raise(m *atomic.Int64, n int64) {
	for old := m.Load(); n > old; old = m.Load() {
		if m.CompareAndSwap(old, n) {
			return
		}
	}
}

// opened counts a connection.
func (c *Counters) opened(now time.Time) {
	raise(&c.ConnsMax, c.Conns.Add(1))
	c.ConnsTot.Add(1)
	c.ConnRate.Add(now, 1)
}

// closed takes a connection out of the counts.
func (e *Engine) closed(f *Frontend) {
	f.Conns.Add(-1)
	e.Conns.Add(-1)
	e.resume()
}
