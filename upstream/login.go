// Package upstream logs a client in to its server: it connects, does TLS,
// reads the greeting, says who the client is, and passes the credentials on.
// The connection it hands over is logged in, its next byte is the client's.
//
// It runs on the client's event loop. It chooses no server and tries each only
// once; see balancer for the choice and frontend for the retries.
package upstream

import (
	"fmt"
	"time"

	"imaplb/imap"
	"imaplb/loop"
	"imaplb/proxyproto"
)

// Result is what came of an Attempt.
type Result struct {
	Outcome  Outcome
	Conn     *loop.Conn      // logged in, if OK; its handler has to be set
	Caps     imap.Capability // of the server after login; may be empty
	Untagged []byte          // lines for the client before its tagged OK
	Text     []byte          // of the server's answer, one clean line
	Code     []byte          // of the server's answer, if Refused
	Rest     []byte          // what the server sent behind its answer
	Err      error           // of the network, for the log; nil if there was none
	Where    string          // "sent/received" as Dovecot's proxies log it
	Connect  time.Duration   // until the greeting
	Login    time.Duration   // from the greeting to the answer
}

// Done gets the result of an Attempt on the loop, unless it was cancelled.
type Done interface {
	LoginDone(a *Attempt, r *Result)
}

// Attempt is one login at one server. Owned by its loop.
type Attempt struct {
	target  *Target
	x       *Exchange
	conn    *loop.Conn
	done    Done
	timer   loop.Timer
	slots   *loop.Handshakes
	raw     bool // see Connect
	start   time.Time
	greeted time.Time
	in      []byte // of a line that is not complete
}

// Start begins a login on l. The result comes later, never before it returns.
func Start(l *loop.Loop, t *Target, req *Request, slots *loop.Handshakes, done Done) *Attempt {
	a := &Attempt{target: t, done: done, slots: slots, start: time.Now()}
	a.x = newExchange(req, t.trusted, t.tlsMode == "starttls")
	if t.trusted && req.looping() {
		a.x.fail(Looping, nil, []byte("proxies appear to be looping"))
		l.Post(func() { a.finish(nil) })
		return a
	}
	var h loop.Handler = a
	if t.tlsMode == "implicit" || t.sendProxy != "" {
		h = speaksFirst{a}
	}
	a.dial(l, h)
	return a
}

// dial begins to connect.
func (a *Attempt) dial(l *loop.Loop, h loop.Handler) {
	t := a.target
	conn, err := l.Dial(t.Addr, t.source, t.socket, h)
	if err != nil {
		l.Post(func() { a.Closed(nil, err) })
		return
	}
	a.conn = conn
	l.SetTimer(&a.timer, a.start.Add(t.connectTimeout), a)
}

// Cancel ends the attempt; there will be no result.
func (a *Attempt) Cancel() {
	if a.conn != nil {
		a.conn.Loop().StopTimer(&a.timer)
		a.conn.Close()
	}
	a.done = nil
}

// FD is the number of the server's descriptor for display, -1 if there is none.
func (a *Attempt) FD() int {
	if a.conn == nil {
		return -1
	}
	return a.conn.FD()
}

// speaksFirst is an Attempt that speaks as soon as the connection stands: the
// PROXY header, which comes before everything else, TLS, or both.
type speaksFirst struct{ *Attempt }

// Connected sends the header and begins the handshake.
func (s speaksFirst) Connected(c *loop.Conn) {
	if v := s.target.sendProxy; v != "" {
		h := s.x.req.proxyHeader()
		c.Write(proxyproto.Append(nil, v, &h))
	}
	switch {
	case s.done == nil: // the write failed
	case s.target.tlsMode == "implicit":
		s.startTLS()
	case s.raw:
		s.stands()
	}
}

func (a *Attempt) startTLS() {
	a.conn.StartClientTLS(a.target.tls, a.slots, func(err error) {
		switch {
		case a.done == nil:
		case err != nil && loop.IsBroken(err):
			a.x.closed()
			a.finish(err)
		case err != nil:
			a.x.fail(TLSFailed, nil, []byte("TLS handshake failed"))
			a.finish(err)
		case a.raw:
			a.stands()
		case a.x.step == upgrading:
			a.conn.Write(a.x.upgraded())
		}
	})
}

// Data feeds the exchange. It implements loop.Handler.
func (a *Attempt) Data(c *loop.Conn, p []byte) {
	if a.done == nil {
		return
	}
	in := p
	if len(a.in) > 0 {
		in = append(a.in, p...)
	}
	before := a.x.step
	n, out := a.x.fromServer(in)
	if before == greeting && a.x.step != greeting {
		a.greeted = time.Now()
		c.Loop().SetTimer(&a.timer, a.greeted.Add(a.target.loginTimeout), a)
	}
	c.Write(out) // the password may be in it, so it is never kept
	clear(out)
	a.in = append(a.in[:0], in[n:]...)
	switch {
	case a.done == nil: // the write failed
	case a.x.step == finished:
		a.finish(nil)
	case a.x.step == upgrading:
		a.startTLS()
	}
}

// EOF is the server leaving in the middle.
func (a *Attempt) EOF(*loop.Conn) {
	if a.done != nil {
		a.x.closed()
		a.finish(nil)
	}
}

// Drained has no use here: nothing is held back.
func (a *Attempt) Drained(*loop.Conn) {}

// Closed is a connection that failed or broke.
func (a *Attempt) Closed(_ *loop.Conn, err error) {
	switch {
	case a.done == nil:
		return
	case a.x.step == finished:
	case loop.IsExhausted(err):
		a.x.fail(LocalFailure, nil, []byte("out of descriptors or ports"))
	case a.x.step != greeting:
		a.x.closed()
	case loop.IsTimeout(err):
		a.x.fail(ConnectTimeout, nil, nil)
	case loop.IsRefused(err):
		a.x.fail(ConnectRefused, nil, nil)
	default:
		a.x.closed()
	}
	a.finish(err)
}

// Expired is the end of patience with the server.
func (a *Attempt) Expired(time.Time) {
	switch {
	case a.done == nil:
		return
	case a.x.step == greeting:
		a.x.fail(ConnectTimeout, nil, nil)
		if !a.raw && a.conn.Established() {
			a.finish(errNoGreeting)
			return
		}
	default:
		a.x.fail(LoginTimeout, nil, nil)
	}
	a.finish(nil)
}

var errNoGreeting = fmt.Errorf("upstream: connected, but no greeting came")

// finish hands the result over, once.
func (a *Attempt) finish(err error) {
	done := a.done
	if done == nil {
		return // cancelled
	}
	a.done = nil
	x := a.x
	r := &Result{
		Outcome: x.outcome, Text: x.text, Code: x.code, Err: err,
	}
	if x.outcome != OK { // else nobody asks
		r.Where = x.where()
	}
	now := time.Now()
	if a.greeted.IsZero() {
		r.Connect = now.Sub(a.start)
	} else {
		r.Connect, r.Login = a.greeted.Sub(a.start), now.Sub(a.greeted)
	}
	if a.conn != nil {
		a.conn.Loop().StopTimer(&a.timer)
	}
	if x.outcome == OK {
		r.Conn, r.Caps, r.Untagged, r.Rest = a.conn, x.caps, x.untagged, a.in
	} else if a.conn != nil {
		a.conn.Close()
	}
	done.LoginDone(a, r)
}
