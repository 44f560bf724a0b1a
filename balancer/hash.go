package balancer

import (
	"cmp"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// hash is weighted rendezvous hashing: each server draws a number in (0,1)
// from its name and the key, and the greatest weight/-ln(number) wins. So the
// share of a server is its weight's, the choice does not depend on the order
// of the list, peers that see the same servers choose alike without a message,
// and a server that goes takes only its own users with it.
//
// factor bounds the load, as HAProxy's hash-balance-factor: a server with more
// sessions than so many per cent of what its weight is due is passed over. 0 is
// no bound. Peers count their own sessions, so near the bound they may differ;
// the table then decides.
func (c *choice) hash(key uint64, factor int) (best *Server) {
	var sessions, sum float64
	if factor > 0 {
		sessions, sum = c.sums()
	}
	top := 0.0
	for _, s := range c.servers {
		w := c.share(s)
		if w == 0 || factor > 0 && float64(s.Scur.Load())*100*sum >= sessions*float64(factor)*float64(w) {
			continue
		}
		score := float64(w) / -math.Log(draw(s, key))
		if score > top || score == top && best != nil && s.Name < best.Name {
			best, top = s, score
		}
	}
	if best == nil && factor > 0 { // others were counted meanwhile
		return c.hash(key, 0)
	}
	return best
}

// sums are the sessions of the servers to choose from, with one more, and their
// shares.
func (c *choice) sums() (sessions, sum float64) {
	n, shares := int64(1), int64(0)
	for _, s := range c.servers {
		if w := c.share(s); w > 0 {
			n += s.Scur.Load()
			shares += w
		}
	}
	return float64(n), float64(shares)
}

// draw is the number in (0,1) that a server draws for a key.
func draw(s *Server, key uint64) float64 {
	return (float64(mix(s.hash^key)>>11) + 0.5) / (1 << 53)
}

func keyHash(key string) uint64 { return xxhash.Sum64String(key) }

// hashOrder sorts servers as they would be chosen if each before were gone.
func hashOrder(servers []*Server, key string) []*Server {
	k := keyHash(key)
	score := func(s *Server) float64 { return float64(s.Weight()) / -math.Log(draw(s, k)) }
	return slices.SortedFunc(slices.Values(servers), func(a, b *Server) int {
		return cmp.Or(cmp.Compare(score(b), score(a)), cmp.Compare(a.Name, b.Name))
	})
}

// mix spreads every bit of x over the result: the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
