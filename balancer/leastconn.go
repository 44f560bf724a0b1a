package balancer

// leastConn chooses the server with the fewest sessions for its weight, those
// of this process. Among equals the first from the turn-th on is taken, so that
// they come by turns.
func (c *choice) leastConn(turn uint64) (best *Server) {
	least, n := 0.0, len(c.servers)
	if n == 0 {
		return nil
	}
	from := int(turn % uint64(n))
	for i := range n {
		s := c.servers[(from+i)%n]
		w := c.share(s)
		if w == 0 {
			continue
		}
		if l := load(s, w); best == nil || l < least {
			best, least = s, l
		}
	}
	return best
}
