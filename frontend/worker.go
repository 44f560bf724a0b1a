package frontend

import (
	"net/netip"
	"time"

	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/relay"
)

// worker keeps the records of one loop's connections. Owned by the loop.
type worker struct {
	e    *Engine
	loop *loop.Loop

	slots   []*conn          // by the slot number within an id
	free    []uint32         // slots that are empty
	gen     uint64           // makes ids differ that share a slot
	users   map[string]*conn // by the stick table's key
	servers map[*balancer.Server]*conn
}

func newWorker(e *Engine, l *loop.Loop) *worker {
	return &worker{
		e: e, loop: l,
		users: make(map[string]*conn), servers: make(map[*balancer.Server]*conn),
	}
}

// An id says where the connection's record is: loop, slot, and a generation
// that keeps an old id from naming a new connection.
const (
	loopBits = 10
	slotBits = 26
)

// add gives a connection its slot and id.
func (w *worker) add(c *conn) {
	var slot uint32
	if n := len(w.free); n > 0 {
		slot, w.free = w.free[n-1], w.free[:n-1]
	} else {
		slot = uint32(len(w.slots))
		w.slots = append(w.slots, nil)
	}
	w.slots[slot] = c
	w.gen++
	c.id = w.gen<<(loopBits+slotBits) | uint64(slot)<<loopBits | uint64(w.loop.ID)
}

func slotOf(id uint64) uint32 { return uint32(id>>loopBits) & (1<<slotBits - 1) }

func (w *worker) remove(c *conn) {
	slot := slotOf(c.id)
	w.slots[slot] = nil
	w.free = append(w.free, slot)
}

// find is the connection with that id, nil if it has ended.
func (w *worker) find(id uint64) *conn {
	if slot := slotOf(id); int(slot) < len(w.slots) && w.slots[slot] != nil && w.slots[slot].id == id {
		return w.slots[slot]
	}
	return nil
}

// accept makes the record of a new connection and begins with it.
func (w *worker) accept(cli *loop.Conn, x *listener, from netip.AddrPort, refuse bool) loop.Handler {
	now := time.Now()
	c := &conn{fe: x.f, cli: cli, src: from, start: now.UnixMilli()}
	w.add(c)
	p := &prelogin{c: c, born: now, set: x.f.set.Load(), ln: x.ln, bind: x.bind, refuse: refuse}
	c.pre = p
	cli.SetHandler(p)
	p.begin()
	return p
}

// link puts a session that was logged in into the lists of its user and its
// server.
func (w *worker) link(c *conn) {
	c.userNext = w.users[c.place.Key]
	if c.userNext != nil {
		c.userNext.userPrev = c
	}
	w.users[c.place.Key] = c
	c.serverNext = w.servers[c.place.Server]
	if c.serverNext != nil {
		c.serverNext.serverPrev = c
	}
	w.servers[c.place.Server] = c
}

func (w *worker) unlink(c *conn) {
	switch {
	case c.userPrev != nil:
		c.userPrev.userNext = c.userNext
	case c.userNext != nil:
		w.users[c.place.Key] = c.userNext
	default:
		delete(w.users, c.place.Key)
	}
	if c.userNext != nil {
		c.userNext.userPrev = c.userPrev
	}
	switch {
	case c.serverPrev != nil:
		c.serverPrev.serverNext = c.serverNext
	case c.serverNext != nil:
		w.servers[c.place.Server] = c.serverNext
	default:
		delete(w.servers, c.place.Server)
	}
	if c.serverNext != nil {
		c.serverNext.serverPrev = c.serverPrev
	}
}

// userSessions calls f for each session under a key; f may end it.
func (w *worker) userSessions(key string, f func(*conn)) {
	for c := w.users[key]; c != nil; {
		next := c.userNext
		f(c)
		c = next
	}
}

// retime gives the sessions of a frontend new idle timeouts, for a reload: the
// one time that all sessions are looked at, a slice of them at a time.
func (w *worker) retime(f *Frontend, by map[*balancer.Backend]*relay.Timeouts) {
	w.inSlices(func(c *conn) {
		if c.fe != f || c.pre != nil {
			return
		}
		if t := by[c.place.Server.Backend]; t != nil {
			c.pair.SetTimeouts(t)
		}
	})
}

// slice is how many connections are looked at before others get their turn,
// which they have until the next tick of the loop's timers.
const slice = 4096

// slicer calls a function for every connection of a worker, a slice at a time.
// It waits for a timer in between: a function that posts itself would run again
// in the same turn of the loop. Owned by the loop.
type slicer struct {
	w     *worker
	f     func(*conn)
	from  int
	timer loop.Timer
}

// inSlices calls f for every connection, in several turns of the loop.
func (w *worker) inSlices(f func(*conn)) {
	s := &slicer{w: w, f: f}
	s.Expired(time.Now())
}

// Expired looks at the next slice.
func (s *slicer) Expired(now time.Time) {
	end := min(s.from+slice, len(s.w.slots))
	for ; s.from < end; s.from++ {
		if c := s.w.slots[s.from]; c != nil {
			s.f(c)
		}
	}
	if s.from < len(s.w.slots) {
		s.w.loop.SetTimer(&s.timer, now, s)
	}
}
