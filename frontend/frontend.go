package frontend

import (
	"context"
	"crypto/tls"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/relay"
	"imaplb/session"
	"imaplb/sticktable"
)

// Frontend is one [frontend.NAME] section at work. Shared: any goroutine may
// call any method.
type Frontend struct {
	Counters
	Name string
	ID   int // unique over frontends and backends
	e    *Engine

	set       atomic.Pointer[settings]
	listeners atomic.Pointer[[]*listener] // replaced by one goroutine at a time
}

// Settings are what a reload may change. Immutable.
type Settings struct {
	Config   Config
	TLS      *tls.Config         // nil if Config.TLS is "none"; see LoadTLS
	Backend  *Backend            // where no route says otherwise
	Backends map[string]*Backend // those that routes name
	Track    *sticktable.Table   // of Config.TrackSrc; nil for none
}

// settings are Settings with what follows from them.
type settings struct {
	Settings
	session  session.Config
	trust    trust
	trusted  trust // of Config.Trusted: by the rules and the auth penalty
	rules    []ruled
	routes   []route
	timeouts map[*balancer.Backend]*relay.Timeouts
}

// Add adds a frontend without listeners. Add, Remove, AddListener and
// KeepListeners are for one goroutine at a time.
func (e *Engine) Add(name string, id int, s Settings) *Frontend {
	f := &Frontend{Name: name, ID: id, e: e}
	f.listeners.Store(new([]*listener))
	f.Update(s)
	all := append(slices.Clone(e.Frontends()), f)
	e.frontends.Store(&all)
	return f
}

// Remove takes a frontend without listeners away. Its sessions live on.
func (e *Engine) Remove(f *Frontend) {
	all := slices.DeleteFunc(slices.Clone(e.Frontends()), func(x *Frontend) bool { return x == f })
	e.frontends.Store(&all)
}

// Update takes new settings: for all connections accepted, TLS handshakes and
// logins begun from now on, and the idle timeouts of sessions from their next
// look at the clock.
func (f *Frontend) Update(s Settings) {
	n := &settings{Settings: s}
	n.session = session.Config{
		LoginTimeout: f.e.Limits().LoginTimeout, TLS: s.Config.TLS, RequireTLS: s.Config.RequireTLS,
	}
	n.routes, n.timeouts = newRoutes(&s), newTimeouts(&s)
	n.trust, n.trusted = newTrust(s.Config.AcceptProxy), newTrust(s.Config.Trusted)
	n.rules = newRules(s.Config.Rules)
	f.e.tickets.apply(s.TLS)
	old := f.set.Swap(n)
	same := func(a, b *relay.Timeouts) bool { return *a == *b }
	if old != nil && !maps.EqualFunc(old.timeouts, n.timeouts, same) {
		f.e.eachWorker(func(w *worker) { w.retime(f, n.timeouts) })
	}
	f.resume()
}

// newTimeouts are the timeouts of sessions by their backend.
func newTimeouts(s *Settings) map[*balancer.Backend]*relay.Timeouts {
	m := map[*balancer.Backend]*relay.Timeouts{}
	add := func(b *Backend) {
		m[b.Backend] = &relay.Timeouts{Client: s.Config.TimeoutClient, Server: b.settings.Load().timeoutServer}
	}
	add(s.Backend)
	for _, b := range s.Backends {
		add(b)
	}
	return m
}

// timeoutsOf are those of a session, also on a backend that a reload has just
// taken away from the frontend.
func (s *settings) timeoutsOf(b *Backend) *relay.Timeouts {
	if t := s.timeouts[b.Backend]; t != nil {
		return t
	}
	return &relay.Timeouts{Client: s.Config.TimeoutClient, Server: b.settings.Load().timeoutServer}
}

// Settings are the settings in force.
func (f *Frontend) Settings() Settings { return f.set.Load().Settings }

func (f *Frontend) applyTickets() { f.e.tickets.apply(f.set.Load().TLS) }

// Listeners is the number of bound sockets.
func (f *Frontend) Listeners() int { return len(*f.listeners.Load()) }

// Listener is a bound socket that belongs to no frontend yet.
type Listener struct{ ln *loop.Listener }

// Listen binds an address of Config.Bind.
func (e *Engine) Listen(ctx context.Context, addr string) (*Listener, error) {
	ln, err := loop.Listen(ctx, addr, e.socket)
	if err != nil {
		return nil, err
	}
	return &Listener{ln}, nil
}

// Addr is the bound address, with the port that port 0 became.
func (l *Listener) Addr() string { return l.ln.Addr() }

// Close closes a listener that was given to no frontend.
func (l *Listener) Close() { l.ln.Close() }

// AddListener begins to accept on a bound socket. bind is the address as
// configured.
func (f *Frontend) AddListener(bind string, l *Listener) error {
	x := &listener{f: f, ln: l.ln, bind: bind}
	if err := l.ln.Start(f.e.loops, x); err != nil {
		return err
	}
	all := append(slices.Clone(*f.listeners.Load()), x)
	f.listeners.Store(&all)
	l.ln.Resume() // it may have paused before it was in the list
	return nil
}

// KeepListeners closes the listeners whose configured address is not in binds
// and returns the addresses that still have to be bound. nil closes all.
func (f *Frontend) KeepListeners(binds []string) (missing []string) {
	var kept []*listener
	have := make(map[string]bool)
	for _, x := range *f.listeners.Load() {
		if slices.Contains(binds, x.bind) {
			kept, have[x.bind] = append(kept, x), true
			continue
		}
		x.ln.Close()
	}
	f.listeners.Store(&kept)
	for _, b := range binds {
		if !have[b] {
			missing = append(missing, b)
		}
	}
	return missing
}

// Addrs are the bound addresses.
func (f *Frontend) Addrs() []string {
	var all []string
	for _, x := range *f.listeners.Load() {
		all = append(all, x.ln.Addr())
	}
	return all
}

func (f *Frontend) resume() {
	for _, x := range *f.listeners.Load() {
		x.ln.Resume()
	}
}

// full reports whether accepting has to pause.
func (f *Frontend) full() bool {
	limit := f.set.Load().Config.Maxconn
	return limit > 0 && f.Conns.Load() >= int64(limit)
}

// listener is one bound socket of a frontend. It implements loop.Acceptor.
type listener struct {
	f    *Frontend
	ln   *loop.Listener
	bind string
}

// byeFull is said to clients over the limit of descriptors.
const byeFull = "* BYE [UNAVAILABLE] Too many connections, try again later.\r\n"

// Admit pauses the listener at maxconn: the clients wait in the kernel's
// queue, as they do with HAProxy.
func (x *listener) Admit() bool {
	if !x.f.e.full() && !x.f.full() {
		return true
	}
	x.f.e.MaxHits.Add(1)
	x.f.e.paused.Store(true)
	// A connection that ended between the question and the note would leave
	// the listener paused for ever.
	if !x.f.e.full() && !x.f.full() {
		return true
	}
	return false
}

// Opened counts a connection as soon as it is accepted, so that no burst can
// pass a limit while it waits for its loop.
func (x *listener) Opened() {
	now := time.Now()
	x.f.opened(now)
	x.f.e.opened(now)
}

// Accepted makes the connection's record.
func (x *listener) Accepted(c *loop.Conn, from netip.AddrPort) loop.Handler {
	e := x.f.e
	if c == nil {
		e.closed(x.f)
		return nil
	}
	refuse := e.Conns.Load() > int64(e.limits.Load().HardMaxconn)
	if refuse {
		x.f.Refused.Add(1)
		e.Refused.Add(1)
		if e.refusing.Add(1) > maxRefusing {
			e.refusing.Add(-1)
			e.closed(x.f)
			return nil
		}
	}
	return e.workers[c.Loop().ID].accept(c, x, from, refuse)
}

// Exhausted is told that accept(2) found no descriptor.
func (x *listener) Exhausted(err error) []byte {
	x.f.Refused.Add(1)
	x.f.e.Refused.Add(1)
	x.f.e.log.Warn("no descriptor left, a client was refused", "fe", x.f.Name, "err", err)
	if c := &x.f.set.Load().Config; c.TLS == "implicit" || c.Mode == modeTCP {
		return nil // it would not be understood
	}
	return []byte(byeFull)
}
