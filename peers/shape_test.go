package peers

import (
	"strings"
	"testing"
	"time"
)

// A shapedMap keeps keys that begin with "x" from those of another shape.
type shapedMap struct {
	*mapState
	shape *uint64
}

func (s shapedMap) Shape() uint64 { return *s.shape }

// common is the map without them.
func (s shapedMap) common() *mapState {
	c := newMap(s.name)
	for k, v := range s.Copy() {
		if !strings.HasPrefix(k, "x") {
			c.m[k] = v
		}
	}
	return c
}

func (s shapedMap) DigestsUnlike(dst []uint64) []uint64 { return s.common().Digests(dst) }

func (s shapedMap) PartUnlike(dst []byte, part int, mask uint16, cursor uint32, limit int) ([]byte, uint32) {
	return s.common().Part(dst, part, mask, cursor, limit)
}

// States of different shapes agree on what both hold, and find nothing to
// repair for ever in the rest; those of one shape, and those of a peer that
// knows of no shapes, compare all.
func TestShapes(t *testing.T) {
	for _, c := range []struct {
		name   string
		shapes [2]uint64 // 0 is a state without
		unlike bool
	}{
		{"alike", [2]uint64{7, 7}, false}, {"unlike", [2]uint64{7, 8}, true}, {"an old peer", [2]uint64{7, 0}, false}, {"both old", [2]uint64{0, 0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPipe(t)
			for i, s := range p.sides {
				if c.shapes[i] != 0 {
					s.states = []State{shapedMap{s.m, &c.shapes[i]}}
				}
			}
			fill(p.sides[0].m, "a", 100)
			fill(p.sides[0].m, "x", 10)
			fill(p.sides[1].m, "b", 100)
			p.connect()
			p.must(p.run())
			p.ready()
			want := 210
			if c.unlike {
				want = 200
			}
			if n := len(p.sides[1].m.Copy()); n != want {
				t.Errorf("b has %d entries, want %d", n, want)
			}
			for i, s := range p.sides {
				if got := s.link.States()[0].Unlike; got != c.unlike {
					t.Errorf("side %d finds them unlike: %v", i, got)
				}
			}
			repaired := p.sides[1].remote.Info().Counters.RepairedIn
			p.must(p.pass(3 * checkEvery))
			info := p.sides[1].remote.Info()
			if n := info.Counters.RepairedIn; n != repaired {
				t.Errorf("%d entries repaired though nothing changed", n-repaired)
			}
			if p.now.Sub(info.Agreed) > 2*checkEvery {
				t.Errorf("they agreed last %s ago", p.now.Sub(info.Agreed).Round(time.Second))
			}
			p.sides[0].m.Set("x-later", 1)
			p.sides[1].m.Set("b-later", 1)
			p.must(p.run())
			if p.sides[1].m.Get("x-later") != 1 || p.sides[0].m.Get("b-later") != 1 {
				t.Error("changes do not go on")
			}
		})
	}
}

// A shape that changes on the way is told, and what could not be compared before
// is repaired when it can be.
func TestShapeChanges(t *testing.T) {
	p := newPipe(t)
	shapes := [2]uint64{7, 8}
	for i, s := range p.sides {
		s.states = []State{shapedMap{s.m, &shapes[i]}}
	}
	fill(p.sides[0].m, "a", 100)
	fill(p.sides[0].m, "x", 10)
	p.connect()
	p.must(p.run())
	for _, to := range []uint64{8, 9} {
		for i := range shapes {
			shapes[i] = to
			p.must(p.run())
			want := shapes[0] != shapes[1]
			for j, s := range p.sides {
				if got := s.link.States()[0].Unlike; got != want {
					t.Errorf("shapes %v: side %d finds them unlike: %v", shapes, j, got)
				}
			}
		}
	}
	p.must(p.pass(time.Second))
	p.equal(110)
	if n := p.sides[0].drops + p.sides[1].drops; n > 0 {
		t.Errorf("%d frames dropped", n)
	}
}
