package balancer

import (
	"sync/atomic"
	"time"
)

// Sign is what a login tells of the health of its server.
type Sign uint8

// The signs. What tells nothing, such as a lack of descriptors on this host,
// is no sign. A wrong password is a good one: the server works.
const (
	SignOK      Sign = iota // it answered as it should
	SignConnect             // no connection, or no TLS
	SignAnswer              // no answer, nonsense, or that it cannot at present
)

// Observer counts the failures of users' logins in a row and acts at a limit:
// HAProxy's observe, error-limit and on-error. Layer7 counts bad answers too;
// without it they are as good as any, since a connection stood. Act is called
// by the goroutine of the login and must not block. Fixed before SetObserver.
type Observer struct {
	Layer7 bool
	Limit  int32 // failures in a row, from 1
	Act    func(now time.Time)

	errors atomic.Int32
}

// SetObserver replaces the observer; nil is none.
func (s *Server) SetObserver(o *Observer) { s.observer.Store(o) }

// Observe takes a sign.
func (s *Server) Observe(now time.Time, sign Sign) {
	o := s.observer.Load()
	if o == nil {
		return
	}
	if sign == SignOK || sign == SignAnswer && !o.Layer7 {
		if o.errors.Load() != 0 {
			o.errors.Store(0)
		}
		return
	}
	s.Hanafail.Add(1)
	if o.errors.Add(1) == o.Limit {
		o.errors.Store(0)
		o.Act(now)
	}
}
