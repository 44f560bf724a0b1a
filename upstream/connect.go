package upstream

import (
	"time"

	"imaplb/loop"
)

// Connect is Start for a server that is to be talked to by the client alone: it
// connects, sends the PROXY header, does implicit TLS, and hands the connection
// over. It all has to be done within timeout_connect. Of req nothing counts but
// what the header tells.
func Connect(l *loop.Loop, t *Target, req *Request, slots *loop.Handshakes, done Done) *Attempt {
	a := &Attempt{target: t, done: done, slots: slots, start: time.Now(), raw: true}
	a.x = newExchange(req, false, false)
	a.dial(l, speaksFirst{a})
	return a
}

// stands is the end of a connect.
func (a *Attempt) stands() {
	a.x.step, a.x.at, a.x.outcome = finished, finished, OK
	a.finish(nil)
}
