package balancer

import "time"

// Agent is what the agent on a server's host says of it, beside the operator
// and the checks: HAProxy's agent-check. The zero Agent has said nothing.
type Agent struct {
	Admin  Admin         // nobody but the agent takes it back
	Down   bool          // "down", "fail" or "stopped"; only its "up" takes it back
	Word   string        // the last of "up", "down", "fail" and "stopped"; "" is none
	Weight int           // per cent of the weight; -1 is none said
	Check  string        // result of the last talk: "L7OK", "L4CON" …; "" is no agent
	Desc   string        // what it said behind '#', or what went wrong
	Took   time.Duration // of the last talk
}

// SetAgent takes what the agent said. What it says of the weight holds at this
// peer; health goes the way of checks.
func (s *Server) SetAgent(now time.Time, a Agent) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	state := *old
	state.Agent = a
	per := int32(100)
	if a.Check != "" && a.Weight >= 0 {
		per = int32(min(a.Weight, maxWeight*100))
	}
	reweighed := s.agentPer.Swap(per) != per
	if reweighed {
		s.reweigh()
	}
	s.settleLocked(now, old, state)
	if reweighed {
		b.reflow(now) // from weight 0 on there may be room
	}
}

// SetResolved tells whether the server's name has an address. Nobody can be on
// a server that has none.
func (s *Server) SetResolved(now time.Time, ok bool) {
	b := s.Backend
	b.mu.Lock()
	old := s.state.Load()
	if old.Unresolved == !ok {
		b.mu.Unlock()
		return
	}
	state := *old
	state.Unresolved = !ok
	s.settleLocked(now, old, state)
}
