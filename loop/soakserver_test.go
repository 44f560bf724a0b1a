package loop

import (
	"crypto/tls"
	"net/netip"
	"time"
)

// The servers of TestSoak. The first byte a client sends says what the server
// does with the connection.
const (
	soakEcho = iota
	soakLazy // an echo that pauses now and then
	soakClose
	soakReset
	soakFinish
	soakQuiet
	soakHalf // ends its side at once, and listens on
	soakPush // sends more than anybody reads
	soakHow  // how many there are
)

// soakServer is one connection of them.
type soakServer struct {
	c     *Conn
	timer Timer
	how   byte
	got   int
}

func (s *soakServer) accepted(c *Conn) { s.c, s.how = c, soakHow; s.arm(idleOfSoak) }

// idleOfSoak ends connections whose other side only holds them.
const idleOfSoak = 30 * time.Second

func (s *soakServer) arm(d time.Duration) { s.c.Loop().SetTimer(&s.timer, time.Now().Add(d), s) }

func (s *soakServer) Expired(time.Time) {
	if s.c.Paused() && s.c.Pending() == 0 {
		s.arm(idleOfSoak)
		s.c.Resume()
		return
	}
	s.end((*Conn).Close)
}

func (s *soakServer) end(how func(*Conn)) {
	s.c.Loop().StopTimer(&s.timer)
	how(s.c)
}

func (s *soakServer) Data(c *Conn, p []byte) {
	if s.how == soakHow {
		s.how = p[0] % soakHow
	}
	s.got += len(p)
	switch s.how {
	case soakClose:
		if s.got > 2000 {
			s.end((*Conn).Close)
			return
		}
	case soakReset:
		s.end((*Conn).Reset)
		return
	case soakFinish:
		c.Write(p)
		s.end((*Conn).Finish)
		return
	case soakQuiet:
		c.Write(p)
		s.end((*Conn).FinishQuiet)
		return
	case soakHalf:
		c.CloseWrite()
		return
	case soakPush:
		c.Write(make([]byte, 1<<20))
		s.end((*Conn).Finish)
		return
	}
	c.Write(p)
	switch {
	case c.Pending() > 0:
		c.Pause()
	case s.how == soakLazy && s.got%3 == 0:
		c.Pause()
		s.arm(tickLen)
	}
}

func (s *soakServer) Drained(c *Conn) {
	if c.Done() {
		s.end((*Conn).Close)
		return
	}
	c.Resume()
}

func (s *soakServer) EOF(c *Conn) {
	c.CloseWrite()
	if c.Done() {
		s.end((*Conn).Close)
	}
}

func (s *soakServer) Closed(c *Conn, _ error) { c.Loop().StopTimer(&s.timer) }

// soakRelay is a connection that is passed on to one of the servers.
type soakRelay struct{ client, server *Conn }

func (r *soakRelay) across(c *Conn) *Conn {
	if c == r.client {
		return r.server
	}
	return r.client
}

func (r *soakRelay) Data(c *Conn, p []byte) {
	to := r.across(c)
	to.Write(p)
	if to.Pending() > 0 {
		c.Pause()
	}
}

func (r *soakRelay) Drained(c *Conn) { r.across(c).Resume(); r.look() }
func (r *soakRelay) EOF(c *Conn)     { r.across(c).CloseWrite(); r.look() }

func (r *soakRelay) look() {
	if r.client.Done() && r.server.Done() {
		r.client.Finish()
		r.server.Close()
	}
}

func (r *soakRelay) Closed(c *Conn, _ error) {
	if to := r.across(c); to != nil {
		to.Close()
	}
}

// soakDial is the server's side of a relay until it stands.
type soakDial struct {
	*soakRelay
	tls   *tls.Config // nil for plain
	slots *Handshakes
}

func (d *soakDial) Connected(c *Conn) {
	if d.tls == nil {
		d.join(c)
		return
	}
	c.StartClientTLS(d.tls, d.slots, func(err error) {
		if err != nil {
			d.client.Close()
			return
		}
		d.join(c)
	})
}

func (d *soakDial) join(c *Conn) {
	c.SetHandler(d.soakRelay)
	d.client.Resume()
}

// relayTo has a client's connection passed on to an address.
func relayTo(to Addr, c *Conn, cfg *tls.Config, slots *Handshakes) *soakRelay {
	r := &soakRelay{client: c}
	c.Pause()
	s, err := c.Loop().Dial(to, netip.Addr{}, &SocketConfig{}, &soakDial{r, cfg, slots})
	if err != nil {
		c.Loop().Post(c.Close)
		return r
	}
	r.server = s
	return r
}
