package cluster_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Flags of the simulation, for long runs and to run one seed again.
var (
	simSeeds = flag.Int("sim.seeds", 0, "seeds to simulate; 0 is a few")
	simFor   = flag.Duration("sim.for", 0, "simulate as many seeds as this takes")
	simFirst = flag.Uint64("sim.first", 1, "the first seed")
	simSeed  = flag.Uint64("sim.seed", 0, "simulate this seed only; with -v tell what happens")
)

const (
	simShards  = 4
	simBigOf   = 250 // one seed of so many is a big one
	simBad     = 3   // seeds that fail, then no more are tried
	simFaults  = 10  // broken invariants that are told of one
	simStory   = 120 // lines told of what happened
	simDefault = 200 // seeds
	simRace    = 20  // the same, where they take ten times as long
	simShort   = 10
)

// TestSimulation joins real tables, links, clusters and backends by a simulated
// network and lets users, operators and faults loose on them.
func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		w := simulate(*simSeed, true)
		t.Logf("%d logins, %d events\n%s", w.logins, w.count, w.story(w.guilty()))
		if len(w.faults) > 0 {
			t.Fatal(strings.Join(w.faults, "\n"))
		}
		return
	}
	began, seeds := time.Now(), seedsWanted()
	var next, logins, bad atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for i := range simShards {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for bad.Load() < simBad && (*simFor == 0 || time.Since(began) < *simFor) {
					n := next.Add(1) - 1
					if *simFor == 0 && n >= seeds {
						return
					}
					w := simulate(*simFirst+uint64(n), false)
					logins.Add(int64(w.logins))
					if len(w.faults) > 0 {
						bad.Add(1)
						t.Error(report(w))
					}
				}
			})
		}
	})
	t.Logf("%d seeds from %d on, %d logins, %v", next.Load(), *simFirst, logins.Load(), time.Since(began).Round(time.Millisecond))
}

func seedsWanted() int64 {
	switch {
	case *simSeeds > 0:
		return int64(*simSeeds)
	case testing.Short():
		return simShort
	case raceEnabled:
		return simRace
	}
	return simDefault
}

// simulate runs a seed to its end or its first fault.
func simulate(seed uint64, traced bool) *simWorld {
	w := newWorld(seed, seed%simBigOf == 0, traced)
	w.run()
	return w
}

// report runs a seed that failed again, to tell what happened.
func report(failed *simWorld) string {
	w := simulate(failed.seed, true)
	users := w.guilty()
	lines := strings.SplitAfter(w.story(users), "\n")
	lines = lines[max(0, len(lines)-simStory):]
	return fmt.Sprintf("seed %d; again with: go test ./cluster -run TestSimulation -v -sim.seed %d\n%s\nwhat happened to %v:\n%s",
		failed.seed, failed.seed, strings.Join(failed.faults[:min(len(failed.faults), simFaults)], "\n"), users, strings.Join(lines, ""))
}

// guilty are the users whose faults are told, two at most.
func (w *simWorld) guilty() (users []string) {
	for _, l := range w.lines {
		if strings.HasPrefix(l.text, faultMark) && l.user != "" && !slices.Contains(users, l.user) && len(users) < 2 {
			users = append(users, l.user)
		}
	}
	return users
}
