package balancer

import (
	"time"

	"imaplb/sticktable"
)

// Explained is what Place would do, and why.
type Explained struct {
	Server *Server // nil if the login would be refused
	Err    error   // why it would be; ErrFull if it would wait, with a timeout_queue
	Full   *Server // for which it would wait; nil is none, or any
	Entry  sticktable.Entry
	Found  bool // there is an entry
	Sticky bool // the entry decides
	Pinned bool // a pin decides
}

// Explain tells where a login now would go. It reserves, writes and counts
// nothing. Only the hash algorithm is asked, as others would choose another
// server the next time: then Server and Err are nil.
func (b *Backend) Explain(now time.Time, ask Ask) (e Explained) {
	pool := b.pool.Load()
	b.tellTime(now, pool)
	if pool.table != nil {
		e.Entry, e.Found = pool.table.Lookup(now, ask.Key)
	}
	home := pool.home(b.panic.Load(), &ask, &e.Entry, nil)
	e.Server, e.Sticky, e.Pinned = home.server, home.sticky, home.pinned
	switch {
	case home.frozen:
		e.Err = ErrFrozen
	case e.Server != nil && e.Server.full():
		e.Full, e.Server, e.Err = e.Server, nil, ErrFull
	case e.Server == nil && !b.anyTakes(ask.Tag):
		e.Err = pool.why(ask.Tag, nil)
	case e.Server == nil && b.behind(ask.Tag):
		e.Err = ErrFull // behind those who wait already
	case e.Server == nil && pool.cfg.Balance == "hash":
		if e.Server = b.Choose(now, ask, nil); e.Server == nil {
			e.Err = pool.why(ask.Tag, nil)
		}
	}
	return e
}

// HashOrder is the servers in the order in which the hash would take them for
// a key if each before were gone, whatever their state. Those of weight 0 stand
// last.
func (b *Backend) HashOrder(key string) []*Server { return hashOrder(b.Servers(), key) }

// Full reports whether a login would have to wait for the server.
func (s *Server) Full() bool { return s.full() }

// LoginWait is how long login_rate has the next login wait.
func (s *Server) LoginWait(now time.Time) time.Duration { return s.tokenWait(now.UnixNano()) }

// Maxqueue is how many logins may wait for any server; 0 is no limit.
func (b *Backend) Maxqueue() int { return int(b.pool.Load().maxqueue) }
