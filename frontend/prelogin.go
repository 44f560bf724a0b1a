package frontend

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"imaplb/loop"
	"imaplb/proxyproto"
	"imaplb/relay"
	"imaplb/session"
)

// prelogin is the part of a connection's life before it is logged in: it
// drives the TLS handshake, the session machine and the login at the server.
// It is gone afterwards. Owned by the loop of its connection.
type prelogin struct {
	c        *conn
	set      *settings // at accept; a reload concerns later connections
	born     time.Time
	ln       *loop.Listener
	bind     string // its address as configured
	s        *session.Session
	in       []byte // what the session machine has not consumed
	timer    loop.Timer
	login    *login // under way
	sni      string
	alpn     string
	cert     proxyproto.Certificate // of the client
	dest     netip.AddrPort         // where the client connected to, by a PROXY header
	first    *first                 // bytes that decide what comes next; else nil
	refuse   bool                   // over the limit: only to be told so
	big      bool                   // holds one of the engine's maxBig
	inTarpit bool                   // kept silent, by a rule

	// What the session machine asked for during a call, done behind it.
	wantTLS bool
	closing bool
	why     session.Reason
}

// Reasons why a connection ended that no other package knows, with HAProxy's
// letters (L: before the login).
const (
	reasonHandshake  = "tls_handshake"
	reasonTimeout    = "tls_timeout"
	reasonClient     = "client_aborted"
	reasonFull       = "descriptor_limit"
	reasonMemory     = "input_limit"
	reasonHeader     = "proxy_header"
	reasonHeaderTime = "proxy_timeout"

	stateClient  = "CL"
	stateTimeout = "cL"
	stateProxy   = "PL"
)

func (p *prelogin) timerAt(t time.Time) { p.c.w().loop.SetTimer(&p.timer, t, p) }

// tlsDone goes on after the handshake.
func (p *prelogin) tlsDone(err error) {
	c, now := p.c, time.Now()
	if c.pre == nil {
		return // ended meanwhile
	}
	if err != nil {
		p.end(now, p.whyNoTLS(err), stateProxy, slog.LevelInfo, err)
		return
	}
	info := c.cli.TLS()
	p.took(&info)
	c.tls, c.offload, c.reuse = info.Version, false, info.Resumed
	for _, n := range p.counters() {
		n.TLSNow.Add(1)
		n.TLSTot.Add(1)
		n.TLSRate.Add(now, 1)
		if info.Resumed {
			n.TLSReused.Add(1)
		}
	}
	if p.s == nil && p.set.Config.Mode == modeTCP {
		p.tcp(nil)
		return
	}
	if p.s == nil {
		p.greet(true)
		return
	}
	p.s.TLSDone(now)
	p.after()
}

func (p *prelogin) counters() [2]*Counters {
	return [...]*Counters{&p.c.fe.Counters, &p.c.fe.e.Counters}
}

// greet makes the session machine and lets it speak.
func (p *prelogin) greet(tls bool) {
	now := time.Now()
	if p.refuse {
		p.c.cli.Write([]byte(byeFull))
		p.c.cli.FinishQuiet()
		p.abort(now, reasonFull, stateProxy) // its descriptor is needed
		return
	}
	p.s = session.New(&p.set.session, p, p.born, tls)
	p.s.Start(now)
	p.after()
}

// Data offers the client's bytes to the session machine. It implements
// loop.Handler.
func (p *prelogin) Data(_ *loop.Conn, b []byte) {
	switch {
	case p.closing:
		return
	case p.first != nil:
		p.firstData(b)
		return
	case p.login != nil:
		p.hold(b)
		return
	case p.s == nil:
		return
	}
	in := b
	if len(p.in) > 0 {
		p.in = append(p.in, b...)
		in = p.in
	}
	p.feed(in)
}

// offer is how many bytes the machine is offered at a time, so that a client
// which asks much and reads nothing cannot make it answer without bound.
const offer = 2 << 10

// feed lets the machine consume what it can and keeps the rest.
func (p *prelogin) feed(in []byte) {
	rest := p.consume(in)
	if p.c.pre == nil {
		return // the answer met a broken connection
	}
	switch {
	case len(rest) == 0:
		p.in = nil
	case len(p.in) == 0 || len(rest) < len(in):
		p.in = append(p.in[:0], rest...)
	}
	if len(p.in) > smallInput && !p.takeBig() {
		return
	}
	p.bound()
	p.after()
}

// consume offers in to the machine, piece by piece while the client takes the
// answers, and returns what is left. No piece ends with a line if there is
// more, because the machine must see what stands behind STARTTLS.
func (p *prelogin) consume(in []byte) (rest []byte) {
	for size := offer; len(in) > 0; {
		size = min(size, len(in))
		if size < len(in) && in[size-1] == '\n' {
			size++
		}
		n := p.s.FromClient(time.Now(), in[:size])
		in = in[n:]
		switch {
		case p.c.pre == nil, p.closing, p.login != nil, p.wantTLS, p.c.cli.Pending() > 0:
			return in
		case n > 0:
			size = offer
		case size == len(in):
			return in // it wants more
		default:
			size *= 2
		}
	}
	return in
}

// bound stops reading while the client does not take its answers, and while
// the machine has as much as it will take, which it does not before a delay or
// a login is over.
func (p *prelogin) bound() {
	switch {
	case p.closing:
	case len(p.in) >= p.s.MaxInput() || p.c.cli.Pending() > 0:
		p.c.cli.Pause()
	case p.c.cli.Paused():
		p.c.cli.Resume()
	}
}

// hold keeps what the client sends while its login is under way, and stops
// reading when that is much.
func (p *prelogin) hold(b []byte) {
	if p.s == nil {
		p.holdTCP(b)
		return
	}
	p.in = append(p.in, b...)
	if len(p.in) > smallInput && !p.takeBig() {
		return
	}
	p.bound()
}

// takeBig allows this connection to hold much input, if not too many do.
func (p *prelogin) takeBig() bool {
	if p.big {
		return true
	}
	e := p.c.fe.e
	if e.big.Add(1) <= maxBig {
		p.big = true
		return true
	}
	e.big.Add(-1)
	p.c.cli.Write([]byte(byeFull))
	p.close(time.Now(), reasonMemory, stateProxy)
	return false
}

// after does what the session machine asked for.
func (p *prelogin) after() {
	switch {
	case p.c.pre == nil:
	case p.closing:
		p.countEnd()
		p.close(time.Now(), p.why.String(), p.why.Termination())
	case p.login != nil:
		if !p.login.started {
			p.login.start()
		}
	case p.wantTLS:
		p.wantTLS = false
		p.startTLS(nil)
	default:
		p.timerAt(p.s.Deadline())
	}
}

// Expired is the end of the client's time, or of a delay.
func (p *prelogin) Expired(now time.Time) {
	switch {
	case p.inTarpit:
		p.tarpitOver(now)
	case p.s == nil && p.first != nil:
		p.firstExpired(now)
	case p.login != nil:
		p.login.expired(now)
	case p.s == nil || p.c.cli.Handshaking():
		p.abort(now, reasonTimeout, stateTimeout)
	default:
		p.s.Tick(now)
		p.goOn()
	}
}

// countEnd counts the connections that ended for what they sent.
func (p *prelogin) countEnd() {
	switch p.why {
	case session.BadCommands, session.LineTooLong, session.LiteralTooLong, session.EarlyBytes, session.Protocol:
		for _, n := range p.counters() {
			n.Malformed.Add(1)
		}
	}
}

// goOn offers what was held back, now that the machine may take it.
func (p *prelogin) goOn() {
	switch {
	case p.c.pre == nil:
	case p.closing:
		p.after()
	case len(p.in) > 0:
		p.feed(p.in)
	default:
		p.bound()
		p.after()
	}
}

// EOF is the client's end. There is nobody left to answer.
func (p *prelogin) EOF(*loop.Conn) {
	if p.s == nil {
		p.abort(time.Now(), reasonClient, stateClient)
		return
	}
	p.s.EOF(time.Now())
	p.closing = true
	p.after()
}

// Drained goes on with a client that has taken its answers.
func (p *prelogin) Drained(*loop.Conn) {
	if p.s != nil && p.login == nil {
		p.goOn()
	}
}

// Closed is a connection that broke.
func (p *prelogin) Closed(_ *loop.Conn, err error) {
	p.end(time.Now(), reasonClient, stateClient, slog.LevelDebug, err)
}

// ToClient, StartTLS, Close and Login (login.go) implement session.Effects.
func (p *prelogin) ToClient(b []byte) { p.c.cli.Write(b) }

// StartTLS is done behind the call, when nothing is left to be consumed.
func (p *prelogin) StartTLS() { p.wantTLS = true }

// Close is done behind the call.
func (p *prelogin) Close(why session.Reason) { p.closing, p.why = true, why }

// close ends the connection in order.
func (p *prelogin) close(now time.Time, reason, state string) {
	p.c.cli.Finish()
	p.end(now, reason, state, slog.LevelInfo, nil)
}

// abort closes the connection at once.
func (p *prelogin) abort(now time.Time, reason, state string) {
	p.c.cli.Close()
	p.end(now, reason, state, slog.LevelInfo, nil)
}

// kill ends the connection for a reason of ours.
func (p *prelogin) kill(now time.Time, why relay.Reason) {
	if p.s == nil || p.c.cli.Handshaking() {
		p.abort(now, why.String(), stateProxy)
		return
	}
	p.s.Shutdown(now)
	p.close(now, why.String(), stateProxy)
}

// end takes the connection off the books; the descriptor is closed or
// finishing.
func (p *prelogin) end(now time.Time, reason, state string, level slog.Level, err error) {
	c := p.c
	if c.pre == nil {
		return
	}
	if p.login != nil {
		p.login.cancel(now)
	}
	p.done()
	if p.refuse {
		c.fe.e.refusing.Add(-1)
	}
	if err != nil && !errors.Is(err, loop.ErrHandshakeAborted) {
		reason += ": " + cause(err)
	}
	c.pre = nil
	c.logEnd(now, reason, state, level)
	c.ended()
}

// done gives back what only a prelogin holds.
func (p *prelogin) done() {
	p.c.w().loop.StopTimer(&p.timer)
	if p.big {
		p.c.fe.e.big.Add(-1)
		p.big = false
	}
	if p.inTarpit {
		p.c.fe.e.tarpitted.Add(-1)
		p.inTarpit = false
	}
}

// info fills in the list's line.
func (p *prelogin) info(now time.Time, s *Session) {
	s.State = "login"
	switch {
	case p.c.cli.Handshaking():
		s.State = "tls"
	case p.login != nil:
		s.State, s.User = "connect", p.login.user
		if p.login.wait.on {
			s.State, s.Backend = "queue", p.login.be.Name
		}
		if srv := p.login.place.Server; srv != nil {
			s.Backend, s.Server = srv.Backend.Name, srv.Name
		}
		if p.login.attempt != nil {
			s.FDServer = p.login.attempt.FD()
		}
	}
	if p.s != nil {
		s.Expires = p.deadline().Sub(now)
	}
}
