package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// pair starts two connected nodes with a key.
func pair(t testing.TB) (a, b *node) {
	cfg := testConfig("a")
	cfg.KeyFile = keyFile(t, key(1))
	a = start(t, cfg)
	cfg = testConfig("b", a)
	cfg.KeyFile = keyFile(t, key(1))
	b = start(t, cfg)
	mesh(t, 1, a, b)
	return a, b
}

// visibility makes one change at a time here, each behind a pause, and reports
// how long it takes until it is merged there.
func visibility(b *testing.B, here, there *node, pause func()) {
	merged := make(chan time.Time, 1)
	there.m.mu.Lock()
	there.m.merged = func(k string) {
		if k == "key" {
			merged <- time.Now()
		}
	}
	there.m.mu.Unlock()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		pause()
		began := time.Now()
		here.m.Set("key", uint64(i+1))
		took = append(took, (<-merged).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "median-ns")
	b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
}

// BenchmarkVisibility is the time from a change at one peer to the end of the
// merge at another, one change at a time.
func BenchmarkVisibility(b *testing.B) {
	here, there := pair(b)
	visibility(b, here, there, func() {})
}

// BenchmarkVisibilityIdle is the same with a pause before each change, so that
// everything sleeps.
func BenchmarkVisibilityIdle(b *testing.B) {
	here, there := pair(b)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	visibility(b, here, there, func() { <-pace.C })
}

// BenchmarkVisibilityLoaded is the same while ten thousand other changes are
// made in a second.
func BenchmarkVisibilityLoaded(b *testing.B) {
	here, there := pair(b)
	done := make(chan struct{})
	defer close(done)
	go load(here.m, done) // until done
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	visibility(b, here, there, func() { <-pace.C })
}

// load makes ten changes each millisecond.
func load(m *mapState, done chan struct{}) {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for i := uint64(1); ; i++ {
		for k := range 10 {
			m.Set(string(rune('0'+k)), i)
		}
		select {
		case <-pace.C:
		case <-done:
			return
		}
	}
}

// blobState hands out and swallows parts of a fixed size: what the links and
// the streams can carry.
type blobState struct {
	*mapState
	parts int
	blob  []byte
}

func (s *blobState) Digests(dst []uint64) []uint64 {
	for i := range s.parts * BucketsPerPart {
		dst = append(dst, uint64(i)+uint64(len(s.blob)))
	}
	return dst
}

func (s *blobState) Part(dst []byte, _ int, _ uint16, _ uint32, _ int) ([]byte, uint32) {
	return append(dst, s.blob...), 0
}

func (s *blobState) Merge(time.Time, string, []byte) (int, error) { return 1, nil }

// BenchmarkRepair is the transfer of 256 parts of 64 KiB from link to link.
func BenchmarkRepair(b *testing.B) {
	full := &blobState{newMap("map"), 256, make([]byte, 64<<10)}
	empty := &blobState{newMap("map"), 256, nil}
	b.SetBytes(256 * 64 << 10)
	b.ReportAllocs()
	for b.Loop() {
		p := newPipe(b)
		p.sides[0].states, p.sides[1].states = []State{full}, []State{empty}
		p.connect()
		p.must(p.run())
		p.ready()
	}
}

// TestDetection measures how long a killed peer seems alive, in groups of two
// to five; three seconds are allowed.
func TestDetection(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for peers to be dead")
	}
	t.Parallel()
	for size := 2; size <= 5; size++ {
		t.Run(fmt.Sprint(size, " peers"), func(t *testing.T) {
			t.Parallel()
			nodes := []*node{start(t, testConfig("a"))}
			for i := range size - 1 {
				nodes = append(nodes, start(t, testConfig(string(rune('b'+i)), nodes[0])))
			}
			mesh(t, 1, nodes...)
			victim := nodes[size-1]
			began := time.Now()
			victim.Close()
			var took []string
			for _, n := range nodes[:size-1] {
				n.sees(t, PeerDead, victim.cfg.Name, 1)
				d := time.Since(began)
				took = append(took, d.Round(time.Millisecond).String())
				if d > 5*time.Second { // three, and what a busy machine adds
					t.Errorf("%s: dead after %v", n.cfg.Name, d)
				}
			}
			t.Logf("dead after %s", strings.Join(took, ", "))
		})
	}
}
