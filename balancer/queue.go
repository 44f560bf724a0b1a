package balancer

import (
	"sync"
	"sync/atomic"
	"time"
)

// queue is what the lines of a backend and its servers have in common: those
// who wait for a place.
//
// Nobody is forgotten: who gives a place back looks at waiting behind it, who
// joins a line looks for a place behind that, so one of the two sees the other;
// and each who joins serves the line once more.
type queue struct {
	waiting atomic.Int64 // in all lines
	clock   atomic.Int64 // Unix ns, the latest that a login brought; kept while some server has a login_rate or a slow start
	alarm   atomic.Pointer[func(at time.Time)]

	mu     sync.Mutex // guards the field below, lines, Waiters, and the taking of places of limited servers
	ticket uint64     // of the last who joined
}

// line is one queue, first come, first served. Who waited elsewhere before
// comes into a list of his own, which costs nothing to join at its end; the
// ticket says who is first.
type line struct {
	fresh, again list
	count        *Counters // Qcur and Qmax; lines of tags have the backend's
	waiting      atomic.Int64
}

type list struct{ head, tail *Waiter }

// Waker is what waits for a place.
type Waker interface {
	// Woken says that the wait is over: Claim has to be called. It comes once
	// for each wait, from any goroutine, with no lock held, and must not block.
	Woken()
}

// Waiter is the place in a line. It is a field of what waits; the zero Waiter
// waits nowhere. All is guarded by queue.mu but Ahead, which is set before
// PlaceOrWait returns.
type Waiter struct {
	next, prev *Waiter
	line       *line // nil if it does not wait
	list       *list
	waker      Waker
	ticket     uint64  // 0 until it has waited
	server     *Server // the place it was given

	// Ahead is how many waited already when it joined, at the server and at
	// the backend.
	AheadServer, AheadBackend int
}

// join is for the end of a line. queue.mu is held.
func (q *queue) join(l *line, w *Waiter) {
	w.line, w.list, w.server = l, &l.again, nil
	if w.ticket == 0 {
		q.ticket++
		w.ticket, w.list = q.ticket, &l.fresh
	}
	if w.prev = w.list.tail; w.prev != nil {
		w.prev.next = w
	} else {
		w.list.head = w
	}
	w.list.tail = w
	raise(&l.count.Qmax, l.count.Qcur.Add(1))
	l.waiting.Add(1)
	q.waiting.Add(1)
}

// leave takes a waiter out of its line. queue.mu is held.
func (q *queue) leave(w *Waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		w.list.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		w.list.tail = w.prev
	}
	w.line.count.Qcur.Add(-1)
	w.line.waiting.Add(-1)
	w.next, w.prev, w.line, w.list = nil, nil, nil, nil
	q.waiting.Add(-1)
}

// first is who waits longest in a line, nil if nobody does.
func (l *line) first() *Waiter { return older(l.fresh.head, l.again.head) }

func older(a, b *Waiter) *Waiter {
	if a == nil || b != nil && b.ticket < a.ticket {
		return b
	}
	return a
}

// serve lets in who waits for a server, as long as it has room: of those bound
// to it and those who may go anywhere the one who waits longest.
func (b *Backend) serve(now time.Time, s *Server) {
	for b.queue.waiting.Load() > 0 {
		w, wait := b.admit(now, s)
		if w == nil {
			if wait > 0 {
				b.alarm(now.Add(wait))
			}
			return
		}
		w.Woken()
	}
}

// warmStep is how often it is looked whether the limits of a server that came
// up lately have risen.
const warmStep = 200 * time.Millisecond

// admit gives a place to the first who waits. Without one, wait is how long
// the next token takes, if that is all that is missing.
func (b *Backend) admit(now time.Time, s *Server) (w Waker, wait time.Duration) {
	q := &b.queue
	pool := b.pool.Load()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clock.Store(now.UnixNano())
	first := s.line.first()
	if pool.byName[s.Name] == s {
		first = older(first, b.firstLocked(now, pool, s))
	}
	switch {
	case first == nil:
		return nil, 0
	case s.reserveLocked(now):
		q.leave(first)
		first.server = s
		return first.waker, 0
	case s.atLimit():
		if s.Throttle(now) < 100 {
			return nil, warmStep
		}
		return nil, 0
	}
	return nil, max(s.tokenWait(now.UnixNano()), 1)
}

// Serve lets in all who may be: the time has come that was asked for by the
// alarm.
func (b *Backend) Serve(now time.Time) {
	for _, s := range b.Servers() {
		b.serve(now, s)
	}
}

// SetAlarm has f called when somebody waits for time to pass only: f must see
// to it that Serve is called then, not at once but soon if at is past. f must
// not block.
func (b *Backend) SetAlarm(f func(at time.Time)) { b.queue.alarm.Store(&f) }

func (b *Backend) alarm(at time.Time) {
	if f := b.queue.alarm.Load(); f != nil {
		(*f)(at)
	}
}

// dismiss sends all who wait in a line away with nothing in their hands: each
// has to ask again where he may go.
func (b *Backend) dismiss(l *line) {
	for n := l.count.Qcur.Load(); n > 0; n-- { // in a line of a tag that is too often
		b.queue.mu.Lock()
		w := l.first()
		var waker Waker
		if w != nil {
			waker = w.waker
			b.queue.leave(w)
		}
		b.queue.mu.Unlock()
		if waker == nil {
			return
		}
		waker.Woken()
	}
}

// reflow is for a change of some server: one has room for who waits, or can
// have them no longer.
func (b *Backend) reflow(now time.Time) {
	if b.queue.waiting.Load() == 0 {
		return
	}
	inPanic := b.panic.Load()
	for _, s := range b.Servers() {
		if s.Qcur.Load() > 0 && !s.keeps(inPanic, false) {
			// In drain some may stay: they come back, with their tickets.
			b.dismiss(&s.line)
		}
	}
	b.reflowLines()
	b.Serve(now)
}
