package balancer

import (
	"time"

	"imaplb/sticktable"
)

const maxPlaceTry = 16 // the entry may change between looking and assigning

// Placement is one session's place on a server, from the choice to the end of
// the session. It is owned by the goroutine or event loop of the session. It
// must not be copied once it has begun.
type Placement struct {
	Server *Server
	Key    string
	table  *sticktable.Table
	stamp  sticktable.Stamp // of the assignment this placement made, if it made one

	Sticky bool // the stick table named the server
	// Elsewhere says that the user had sessions, and so they are on another
	// server than this one: it went down or into maintenance. They must end.
	Elsewhere bool
	phase     phase
	login     bool // the place of a login is reserved as well
}

type phase uint8

const (
	placed  phase = iota // a place is reserved, the login is under way
	begun                // logged in, not counted in the table
	counted              // logged in and counted there
	ended
)

// Place chooses the server for a user and reserves the place of one session
// there, which the caller gives back with End, whatever becomes of it.
//
// A user goes to the server of the entry while the state of that server allows
// it; if that server is full, the answer is ErrFull, because a user has one
// home. While the node is frozen a user with an entry is not placed elsewhere
// either: ErrFrozen. Everybody else is placed by the algorithm, among the servers
// with ask.Tag, and the table is told at
// once, so that a user's simultaneous first logins go to one server.
//
// A tag never parts a user's sessions: while he has one, his home is where it
// is. Without one he leaves a home that has not the tag, even if no server with
// the tag takes him: then the answer is ErrNoServer. A pin counts for more than
// a tag, and so does being frozen.
func (b *Backend) Place(now time.Time, ask Ask) (Placement, error) {
	p, err := b.place(now, &ask, nil)
	if err != nil {
		return Placement{}, err
	}
	b.begin(now)
	return p, nil
}

// begin counts a session that was placed. With minconn it raises the limits of
// all servers, so that others may be let in.
func (b *Backend) begin(now time.Time) {
	raise(&b.Smax, b.Scur.Add(1))
	b.placed(now)
	if b.queue.waiting.Load() > 0 && b.Config().Fullconn > 0 {
		b.Serve(now)
	}
}

func (b *Backend) place(now time.Time, ask *Ask, except *Server) (Placement, error) {
	pool := b.pool.Load()
	b.tellTime(now, pool)
	for range maxPlaceTry {
		seen := pool.seen(now, ask.Key)
		p := Placement{Key: ask.Key, table: pool.table}
		home := pool.home(b.panic.Load(), ask, &seen, except)
		if home.frozen {
			return p, ErrFrozen
		}
		p.Server, p.Sticky = home.server, home.sticky
		if p.Server == nil && b.behind(ask.Tag) {
			return p, ErrFull // behind those who wait already
		}
		if p.Server == nil {
			p.Server = b.choose(now, pool, ask, except)
		}
		if p.Server == nil {
			return p, pool.why(ask.Tag, except)
		}
		if !p.Server.take(now) {
			if home.server != nil {
				return p, ErrFull
			}
			continue // filled up since it was chosen
		}
		p.login = true
		p.Elsewhere = !p.Sticky && seen.Sessions > 0
		if p.settle(now, seen) {
			p.Server.placed(now)
			return p, nil
		}
		p.Server.free(now, true)
	}
	return Placement{}, ErrFull
}

// why tells why there was no server to choose.
func (p *pool) why(tag string, except *Server) error {
	for _, s := range p.servers {
		if s != except && s.Fits(tag) && s.takesNew() && s.full() {
			return ErrFull
		}
	}
	return ErrNoServer
}

// settle writes a new assignment into the table; false if somebody was faster.
func (p *Placement) settle(now time.Time, seen sticktable.Entry) bool {
	if p.Sticky {
		return true
	}
	if p.table != nil {
		e, ok := p.table.Assign(now, p.Key, p.Server.Name, seen)
		if !ok {
			return false
		}
		p.stamp = e.Stamp
	}
	p.Server.Lbtot.Add(1)
	p.Server.Backend.Lbtot.Add(1)
	return true
}

// Redispatch moves a placement to another server after connecting to its own
// has failed for good; ask is what it was placed for. p is changed only if it returns nil. The rule of one
// home decides:
//
//   - the table names another server by now: the user goes there;
//   - the server is down, in maintenance or, for a user without sessions, in
//     drain: the user is placed anew, as at a new login;
//   - the assignment is the one this placement made itself, and nobody has a
//     session: it was never a home, and another server is chosen;
//   - else ErrHome: the user has sessions there or had them before, other peers
//     may reach the server, and its checks say that it is up.
func (b *Backend) Redispatch(now time.Time, p *Placement, ask Ask) error {
	old := p.Server
	if p.phase != placed {
		return ErrHome
	}
	if p.table != nil {
		e, ok := p.table.Lookup(now, p.Key)
		mine := e.Stamp == p.stamp && e.Sessions == 0
		if ok && e.Server == old.Name && !mine && old.keeps(false, e.Sessions > 0) {
			return ErrHome
		}
	}
	next, err := b.place(now, &ask, old)
	if err != nil {
		return err
	}
	old.free(now, p.login)
	old.Wredis.Add(1)
	b.Wredis.Add(1)
	*p = next
	return nil
}

// Begin is called when the server has accepted the login: the session counts
// in the stick table from now on. ErrMoved means that the user was given to
// another server meanwhile; the session must not go on.
func (p *Placement) Begin(now time.Time) error {
	p.phase = begun
	if p.login {
		p.login = false
		p.Server.loggedIn(now)
	}
	return p.enter(now)
}

// enter counts a session that has begun in the stick table.
func (p *Placement) enter(now time.Time) error {
	if p.table == nil {
		return nil
	}
	e, ok := p.table.Enter(now, p.Key, p.Server.Name)
	switch {
	case ok:
		p.phase = counted
	case e.Server != p.Server.Name:
		p.phase = placed
		return ErrMoved
	}
	return nil
}

// Outdated reports whether the backend has another stick table by now than the
// one that the session is, or will be, counted in.
func (p *Placement) Outdated() bool { return p.table != p.Server.Backend.Table() }

// Recount counts a session that has begun in the table that the backend has now,
// by its key there. ErrMoved means that the user lives elsewhere by that table;
// the session must not go on.
func (p *Placement) Recount(now time.Time, key string) error {
	if p.phase == counted {
		p.table.Leave(now, p.Key)
	}
	p.table, p.Key, p.stamp, p.phase = p.Server.Backend.Table(), key, sticktable.Stamp{}, begun
	return p.enter(now)
}

// End gives the place back, when the session has ended or the login has come
// to nothing. More calls do nothing.
func (p *Placement) End(now time.Time) {
	switch p.phase {
	case ended:
		return
	case placed:
		if !p.stamp.IsZero() {
			p.table.Withdraw(p.Key, p.stamp)
		}
	case counted:
		p.table.Leave(now, p.Key)
	}
	p.phase = ended
	p.Server.Backend.Scur.Add(-1)
	p.Server.free(now, p.login)
}
