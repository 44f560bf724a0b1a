package balancer

import "imaplb/sticktable"

// home is where a user belongs, before the algorithm is asked.
type home struct {
	server *Server // nil: the algorithm chooses
	sticky bool    // the table names it
	pinned bool    // an operator does
	frozen bool    // he has to leave it, and nobody may leave now
}

// home says where a user belongs whose entry is seen: to the server that the
// table names, as long as its state lets him go on to it; before that to the
// one he is pinned to, unless he has sessions elsewhere that may go on. A server
// without the tag that is asked for is left as soon as he has no session.
func (p *pool) home(inPanic bool, ask *Ask, seen *sticktable.Entry, except *Server) home {
	s := p.byName[seen.Server]
	if s != nil && (s == except || !s.keeps(inPanic, seen.Sessions > 0)) {
		s = nil
	}
	pin := p.pin(inPanic, ask.Key, except)
	switch {
	case s != nil && s == pin:
		return home{server: s, sticky: true, pinned: true}
	case s != nil && (pin == nil && s.Fits(ask.Tag) || seen.Sessions > 0 || p.isFrozen()):
		return home{server: s, sticky: true}
	case s == nil && seen.Server != "" && p.isFrozen():
		return home{frozen: true}
	}
	return home{server: pin, pinned: pin != nil}
}

// pin is the server that a key is pinned to if it may go there, nil for none:
// a server that is down or in maintenance is passed over, as HAProxy does
// without "option persist"; one in drain is not.
func (p *pool) pin(inPanic bool, key string, except *Server) *Server {
	if p.pinned == nil {
		return nil
	}
	s := p.byName[p.pinned(key)]
	if s == nil || s == except || !s.keeps(inPanic, true) {
		return nil
	}
	return s
}

func (p *pool) isFrozen() bool { return p.frozen != nil && p.frozen() }
