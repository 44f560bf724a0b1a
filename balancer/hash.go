package balancer

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// pickHash is weighted rendezvous hashing: each server draws a number in (0,1)
// from its name and the key, and the greatest weight/-ln(number) wins. So the
// share of a server is its weight's, the choice does not depend on the order
// of the list, peers that see the same servers choose alike without a message,
// and a server that goes takes only its own users with it.
func pickHash(servers []*Server, key string, except *Server) (best *Server) {
	k := xxhash.Sum64String(key)
	top := 0.0
	for _, s := range servers {
		if s == except || !s.takesNew() || s.full() {
			continue
		}
		u := (float64(mix(s.hash^k)>>11) + 0.5) / (1 << 53)
		score := -float64(s.weight.Load()) / math.Log(u)
		if score > top || score == top && best != nil && s.Name < best.Name {
			best, top = s, score
		}
	}
	return best
}

// mix spreads every bit of x over the result: the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
