package peers

import "testing"

// A peer that joins is connected to at once, if somebody is trying to; one that
// has its stream, or that nobody dials, needs no token.
func TestJoinCutsThePauseShort(t *testing.T) {
	for name, c := range map[string]struct {
		dialing, linked bool
		want            int
	}{
		"dialled":     {true, false, 1},
		"linked":      {true, true, 0},
		"not dialled": {false, false, 0},
	} {
		g := &Group{peers: map[string]*peer{}}
		p := g.peerLocked("b")
		p.dialing = c.dialing
		if c.linked {
			p.stream = new(stream)
		}
		g.sawJoin("b")
		g.sawJoin("b") // one token is enough
		g.sawJoin("nobody")
		if got := len(p.redial); got != c.want {
			t.Errorf("%s: %d tokens, want %d", name, got, c.want)
		}
	}
}
