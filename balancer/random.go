package balancer

import "math/rand/v2"

// random draws two servers by weight and takes the one with fewer sessions for
// its weight: the power of two choices, HAProxy's random(2). It shares nothing
// between CPUs, and peers that do not know of each other's sessions do not all
// run for the same server.
func (c *choice) random() *Server {
	sum := int64(0)
	for _, s := range c.servers {
		sum += c.share(s)
	}
	if sum == 0 {
		return nil
	}
	a, wa := c.at(rand.Int64N(sum))
	b, wb := c.at(rand.Int64N(sum))
	switch {
	case a == nil && b == nil: // they filled up meanwhile
		return c.first()
	case a == nil || b != nil && load(b, wb) < load(a, wa):
		return b
	}
	return a
}

// at is the server whose part of the sum of all shares n lies in.
func (c *choice) at(n int64) (*Server, int64) {
	for _, s := range c.servers {
		w := c.share(s)
		if n -= w; n < 0 {
			return s, w
		}
	}
	return nil, 0
}
