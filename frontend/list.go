package frontend

import (
	"net/netip"
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
	State    string // "tls", "login", "connect", "relay"
	TLS      string // "TLS 1.3", "" for none
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
		return s
	}
	s.Backend, s.Server, s.User = c.place.Server.Backend.Name, c.place.Server.Name, c.user
	s.State, s.FDServer = "relay", c.pair.Server().FD()
	s.In, s.Out = c.pair.Bytes()
	last, expires := c.pair.Last()
	s.Idle, s.Expires = now.Sub(time.UnixMilli(last)), time.UnixMilli(expires).Sub(now)
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
	buf := make([]Session, 0, slice)
	for _, w := range e.workers {
		for from, more := 0, true; more; from += slice {
			buf, more = buf[:0], false // stays so if the loop has stopped
			w.loop.Do(func() {
				now := time.Now()
				for _, c := range w.slots[min(from, len(w.slots)):min(from+slice, len(w.slots))] {
					if c != nil {
						buf = append(buf, c.info(now))
					}
				}
				more = from+slice < len(w.slots)
			})
			for _, s := range buf {
				if !f(s) {
					return
				}
			}
		}
	}
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
