package peers

import (
	"errors"
	"fmt"
	"slices"
)

// errStates ends the streams that know another list of states.
var errStates = errors.New("what is shared has changed")

func checkStates(states []State) error {
	if len(states) > MaxStates {
		return fmt.Errorf("peers: %d states, at most %d", len(states), MaxStates)
	}
	names := map[string]bool{}
	for _, s := range states {
		name, n := s.Name(), len(s.Digests(nil))
		if name == "" || len(name) > MaxName || names[name] {
			return fmt.Errorf("peers: name of a state is empty, too long or twice: %q", name)
		}
		if n%BucketsPerPart != 0 || n > MaxBuckets {
			return fmt.Errorf("peers: state %q has %d buckets, want a multiple of %d up to %d", name, n, BucketsPerPart, MaxBuckets)
		}
		names[name] = true
	}
	return nil
}

// SetStates replaces what is shared, at any time after Start. States that are in
// both lists go on where they were. The streams end and come back at once, since
// the two ends of one agree on what they share when it begins; a state that the
// other does not have yet waits for it. The error says that the list cannot be,
// as with New, and nothing has changed.
func (g *Group) SetStates(states []State) error {
	if err := checkStates(states); err != nil {
		return err
	}
	states = slices.Clone(states)
	g.mu.Lock()
	defer g.mu.Unlock()
	old := *g.states.Load()
	for _, s := range states {
		if !slices.Contains(old, s) {
			s.Watch(g.wake)
		}
	}
	// What a state that goes held is not in the one that comes by its name, now or
	// later.
	for _, s := range old {
		if slices.Contains(states, s) {
			continue
		}
		for _, p := range g.peers {
			p.remote.forget(s.Name())
		}
	}
	g.states.Store(&states)
	for _, s := range *g.live.Load() {
		s.close(errStates)
		s.peer.dialAgain()
	}
	return nil
}
