package balancer

import (
	"errors"
	"time"

	"imaplb/sticktable"
)

// Errors of waiting for a place.
var (
	ErrWaiting   = errors.New("balancer: waits for a place")
	ErrQueueFull = errors.New("balancer: too many wait for a place")
	ErrAgain     = errors.New("balancer: the user has to be placed again")
)

// PlaceOrWait is Place, but where that says ErrFull the user waits, in the line
// of the server he is bound to or else in the backend's, of which each tag has
// its own: the error is ErrWaiting, and k is woken when Claim has to be called.
// Until then w must not be touched but by Leave. ErrQueueFull is one too many in
// the line. Without timeout_queue nobody waits, and it is ErrFull. With all three
// the placement has the server he is bound to, nil for any.
//
// A Waiter that has waited before keeps its place in time.
func (b *Backend) PlaceOrWait(now time.Time, ask Ask, w *Waiter, k Waker) (Placement, error) {
	p, err := b.place(now, &ask, nil)
	switch {
	case err == nil:
		b.begin(now)
		return p, nil
	case !errors.Is(err, ErrFull):
		return Placement{}, err
	case b.Config().TimeoutQueue == 0:
		b.pool.Load().full()
		return Placement{Server: p.Server}, err
	}
	home := p.Server // nil where the algorithm would have had to choose
	if !b.join(home, ask.Tag, w, k) {
		return Placement{Server: home}, ErrQueueFull
	}
	b.pool.Load().full()
	b.joined(now, &ask, home, w)
	return Placement{Server: home}, ErrWaiting
}

// join is false if too many wait already.
func (b *Backend) join(home *Server, tag string, w *Waiter, k Waker) bool {
	most := b.pool.Load().maxqueue
	q := &b.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	l := b.lineLocked(tag)
	if home != nil {
		l, most = &home.line, home.limits.maxqueue.Load()
	}
	if most > 0 && l.count.Qcur.Load() >= most {
		return false
	}
	w.AheadBackend = int(b.line.count.Qcur.Load())
	if home != nil {
		w.AheadServer = int(home.Qcur.Load())
	}
	w.waker = k
	q.join(l, w)
	return true
}

// joined looks again: a place, or the reason to wait, may have gone before w
// could be seen.
func (b *Backend) joined(now time.Time, ask *Ask, home *Server, w *Waiter) {
	pool := b.pool.Load()
	if pool.cfg.Fullconn > 0 {
		defer b.Serve(now) // who waits raises the limits of all servers with minconn
	}
	if home != nil {
		if b.stillHome(now, ask, home) {
			b.serve(now, home)
		} else {
			b.send(w)
		}
		return
	}
	switch s := b.choose(now, pool, ask, nil); {
	case s != nil:
		b.serve(now, s)
	case !b.anyTakes(ask.Tag):
		b.send(w)
	case pool.paced:
		b.Serve(now) // which finds out when there will be a token
	}
}

// HasMoved reports whether a user who waits for his home, or for any server if
// it is nil, has another one by now.
func (b *Backend) HasMoved(now time.Time, ask Ask, home *Server) bool {
	return !b.stillHome(now, &ask, home)
}

// stillHome reports whether the user may still wait for his server.
func (b *Backend) stillHome(now time.Time, ask *Ask, home *Server) bool {
	pool := b.pool.Load()
	seen := pool.seen(now, ask.Key)
	return pool.home(b.panic.Load(), ask, &seen, nil).server == home
}

// seen is what the table says of a key.
func (p *pool) seen(now time.Time, key string) (e sticktable.Entry) {
	if p.table != nil {
		e, _ = p.table.Lookup(now, key)
	}
	return e
}

// send wakes one who waits, with nothing in his hands.
func (b *Backend) send(w *Waiter) {
	b.queue.mu.Lock()
	waits := w.line != nil
	if waits {
		b.queue.leave(w)
	}
	b.queue.mu.Unlock()
	if waits {
		w.waker.Woken()
	}
}

// Leave ends a wait: the client has gone, or the time is over. A place that w
// was given in this moment goes to the next. It does nothing to one that does
// not wait.
func (b *Backend) Leave(now time.Time, w *Waiter) {
	if s := b.handOver(w); s != nil {
		s.free(now, true)
	}
}

// handOver takes w out of its line, or the place out of its hands.
func (b *Backend) handOver(w *Waiter) (given *Server) {
	b.queue.mu.Lock()
	defer b.queue.mu.Unlock()
	if w.line != nil {
		b.queue.leave(w)
	}
	given, w.server = w.server, nil
	return given
}

// Claim is for one who was woken: it is Place on the server whose place was
// kept for him. The table is asked again, since he may have another home by
// now. ErrAgain says that he has, or that there was no place: PlaceOrWait has
// to be asked again.
func (b *Backend) Claim(now time.Time, ask Ask, w *Waiter) (Placement, error) {
	s := b.handOver(w)
	if s == nil {
		return Placement{}, ErrAgain
	}
	p, err := b.claim(now, &ask, s)
	if err != nil {
		s.free(now, true)
		return Placement{}, err
	}
	b.begin(now)
	return p, nil
}

func (b *Backend) claim(now time.Time, ask *Ask, s *Server) (Placement, error) {
	pool := b.pool.Load()
	for range maxPlaceTry {
		seen := pool.seen(now, ask.Key)
		home := pool.home(b.panic.Load(), ask, &seen, nil)
		switch {
		case home.frozen:
			return Placement{}, ErrFrozen
		case pool.byName[s.Name] != s, home.server != nil && home.server != s, home.server == nil && !(s.takesNew() && s.Fits(ask.Tag)):
			return Placement{}, ErrAgain
		}
		p := Placement{Server: s, Key: ask.Key, table: pool.table, login: true, Sticky: home.sticky}
		p.Elsewhere = !p.Sticky && seen.Sessions > 0
		if p.settle(now, seen) {
			s.placed(now)
			return p, nil
		}
	}
	return Placement{}, ErrAgain
}
