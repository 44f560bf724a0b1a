package balancer

import "sync"

// roundRobin is smooth weighted round robin: each server gains its weight at
// every turn, the one with the most is chosen and pays the sum of all. Users
// of a heavy server come spread out, not in a row.
type roundRobin struct {
	mu sync.Mutex // guards Server.current of the backend's servers
}

func (r *roundRobin) pick(c *choice) (best *Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := int64(0)
	for _, s := range c.servers {
		w := c.share(s)
		if w == 0 {
			continue
		}
		s.current += w
		sum += w
		if best == nil || s.current > best.current {
			best = s
		}
	}
	if best != nil {
		best.current -= sum
	}
	return best
}
