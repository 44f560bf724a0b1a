package cluster

import (
	"fmt"
	"testing"
)

// Of more moves within minutes than there is room for facts the ends go, at each
// peer at another time. What one tells of them when the two compare is no news.
func TestManyMoves(t *testing.T) {
	const more = 3000
	a, b := newOne(t, "lb1"), newOne(t, "lb2")
	merge := func(c *Cluster, facts []*fact) {
		t.Helper()
		if _, err := c.Merge(start, "lb3", encode(facts...)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1200 { // so that b forgets sooner
		merge(b, []*fact{{key: fmt.Sprint("later/", i), time: wall(start), writer: "lb3"}})
	}
	for from := 0; from < MaxFacts+more; from += 1000 {
		var ends []*fact
		for i := from; i < from+1000; i++ {
			m := move{
				id: fmt.Sprint("lb3-", i), phase: phaseDone, server: "s2", deadline: start.UnixMilli(),
				stamp: Stamp{Time: wall(start), Writer: "lb3"},
			}
			ends = append(ends, &fact{
				key: moveKey{"users", fmt.Sprint("u", i)}.factKey(), value: m.encode(), time: wall(start) + uint64(i), writer: "lb3",
			})
		}
		merge(a, ends)
		merge(b, ends)
	}
	for _, c := range []*Cluster{a, b} {
		if n := c.events.total; n != MaxFacts+more || c.counters.Dropped < more {
			t.Fatalf("%s: %d events, %+v, want one of each of %d moves", c.self, n, c.counters, MaxFacts+more)
		}
	}
	for _, way := range [][2]*Cluster{{a, b}, {b, a}} {
		for cursor, goes := uint32(0), true; goes; goes = cursor != 0 {
			var part []byte
			part, cursor = way[0].Part(nil, 0, 1<<numBuckets-1, cursor, MaxMessage)
			if _, err := way[1].Merge(start, way[0].self, part); err != nil {
				t.Fatal(err)
			}
		}
		if n := way[1].events.total; n != MaxFacts+more {
			t.Errorf("%s: %d events of moves that had ended", way[1].self, n-MaxFacts-more)
		}
	}
}
