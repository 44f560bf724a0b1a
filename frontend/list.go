package frontend

import (
	"net/netip"
	"slices"
	"time"
)

// Session is a connection as lists show it.
type Session struct {
	ID       uint64
	Name     string // as logs and the server know it
	Proto    string // "tcpv4", "tcpv6", "unix"
	Src      string
	Frontend string
	Backend  string // "" before login
	Server   string // "" before login
	User     string // "" before login
	State    string // "tls", "login", "tarpit", "queue", "connect", "relay"
	TLS      string // "TLSv1.3", "" for none
	Start    time.Time
	Idle     time.Duration
	Expires  time.Duration
	In, Out  int64
	FDClient int
	FDServer int // -1 for none
}

// info fills in the list's line.
func (c *conn) info(now time.Time) Session {
	s := Session{
		ID: c.id, Name: c.name(), Proto: proto(c.src), Src: c.srcName(), Frontend: c.fe.Name,
		TLS: c.tlsName(), Start: time.UnixMilli(c.start), FDClient: c.cli.FD(), FDServer: -1,
	}
	if c.pre != nil {
		c.pre.info(now, &s)
		if c.pre.inTarpit {
			s.State = "tarpit"
		}
		return s
	}
	s.Backend, s.Server, s.User = c.place.Server.Backend.Name, c.place.Server.Name, c.user
	s.State, s.FDServer = "relay", c.pair.Server().FD()
	s.In, s.Out = c.pair.Bytes()
	last, expires := c.pair.Last()
	clock := c.cli.Loop().Coarse()
	s.Idle, s.Expires = time.Duration(clock-last)*time.Millisecond, time.Duration(expires-clock)*time.Millisecond
	return s
}

func proto(a netip.AddrPort) string {
	switch {
	case a.Addr().Is4():
		return "tcpv4"
	case a.Addr().Is6():
		return "tcpv6"
	}
	return "unix"
}

// Sessions calls f for every connection until it returns false. It takes the
// list from each loop in slices, so connections come and go meanwhile. It
// waits for the loops.
func (e *Engine) Sessions(f func(Session) bool) {
	buf := make([]Session, 0, listSlice)
	for _, w := range e.workers {
		for from, more := 0, true; more; from += listSlice {
			buf, more = w.list(buf[:0], from)
			if slices.ContainsFunc(buf, func(s Session) bool { return !f(s) }) {
				return
			}
		}
	}
}

// listSlice is how many connections are described before others get their turn.
const listSlice = 512

// list appends the connections in a slice of the slots, and reports whether
// there are more slots. It waits for the loop; one that has stopped has none.
func (w *worker) list(buf []Session, from int) (all []Session, more bool) {
	w.loop.Do(func() {
		now, end := time.Now(), min(from+listSlice, len(w.slots))
		for _, c := range w.slots[min(from, end):end] {
			if c != nil {
				buf = append(buf, c.info(now))
			}
		}
		more = end < len(w.slots)
	})
	return buf, more
}

// Session is the connection with that id. It waits for the loop.
func (e *Engine) Session(id uint64) (s Session, ok bool) {
	n := int(id & (1<<loopBits - 1))
	if n >= len(e.workers) {
		return Session{}, false
	}
	w := e.workers[n]
	w.loop.Do(func() {
		if c := w.find(id); c != nil {
			s, ok = c.info(time.Now()), true
		}
	})
	return s, ok
}

// UserSessions is Sessions for those under one key of a stick table.
func (e *Engine) UserSessions(key string, f func(Session) bool) {
	for _, w := range e.workers {
		var all []Session
		w.loop.Do(func() {
			now := time.Now()
			w.userSessions(key, func(c *conn) { all = append(all, c.info(now)) })
		})
		for _, s := range all {
			if !f(s) {
				return
			}
		}
	}
}
