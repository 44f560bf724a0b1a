package balancer

import "time"

// slowFrom is the per cent of its weight with which a server starts that has
// come back; it rises to 100 over slowstart.
const slowFrom = 5

// shareUnit is what weight 1 is worth of a share: per cent of the agent times
// per cent of the slow start.
const shareUnit = 100 * 100

const maxWeight = 256

// Weight is the weight that the file or an operator gave, 0 to 256.
func (s *Server) Weight() int { return int(s.weight.Load()) }

// InitialWeight is the weight of the configuration.
func (s *Server) InitialWeight() int { return int(s.initial.Load()) }

// EffectiveWeight is the weight in force, 0 to 256: with what the agent makes
// of it and the slow start, rounded up.
func (s *Server) EffectiveWeight(now time.Time) int {
	return int((s.shareAt(now.UnixMilli()) + shareUnit - 1) / shareUnit)
}

// SetWeight changes the share of new users, 0 to 256, until the next reload.
func (s *Server) SetWeight(now time.Time, weight int) {
	old := s.weight.Swap(int32(weight))
	s.reweigh()
	if int(old) != weight {
		s.Backend.tell(Change{Time: now, Server: s, Kind: SetWeight, Old: s.State()})
	}
}

// reweigh derives the share from the weight and the agent's per cent.
func (s *Server) reweigh() {
	for {
		w, per := int64(s.weight.Load()), int64(s.agentPer.Load())
		s.base.Store(min(w*per, maxWeight*100))
		if int64(s.weight.Load()) == w && int64(s.agentPer.Load()) == per {
			return // else somebody changed it and may have stored before this
		}
	}
}

// shareAt is the effective weight in units of 1/10,000.
func (s *Server) shareAt(now int64) int64 {
	base := s.base.Load()
	if s.warming.Load() == 0 {
		return base * 100
	}
	return base * s.throttle(now)
}

// Throttle is how far the slow start has come, 5 to 100 per cent; 100 is not
// or no longer starting.
func (s *Server) Throttle(now time.Time) int { return int(s.throttle(now.UnixMilli())) }

func (s *Server) throttle(now int64) int64 {
	since, over := s.warming.Load(), s.slowstart.Load()
	if since == 0 {
		return 100
	}
	age := max(now-since, 0)
	if age >= over {
		s.warming.CompareAndSwap(since, 0)
		return 100
	}
	return slowFrom + (100-slowFrom)*age/over
}

// warm begins the slow start of a server that came back, if it has one.
func (s *Server) warm(now time.Time) {
	if s.slowstart.Load() > 0 {
		s.warming.Store(now.UnixMilli())
	}
}
