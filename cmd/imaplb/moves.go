package main

import (
	"slices"
	"sync"
	"time"

	"imaplb/sticktable"
)

// movePace is how often it is looked whether a moved user's sessions have
// ended. Nothing is looked at while nobody is moved.
const movePace = 20 * time.Millisecond

// moving is a user whose sessions at this peer are being ended.
type moving struct {
	table  *sticktable.Table
	key    string
	except string // sessions on this server may stay
}

// moves are the moves under way, at most as many as the cluster allows. Shared.
type moves struct {
	mu   sync.Mutex // guards list
	list []moving
	wake chan struct{} // capacity 1: the list is not empty any more
}

func newMoves() *moves { return &moves{wake: make(chan struct{}, 1)} }

func (m *moves) add(x moving) {
	m.mu.Lock()
	m.list = append(m.list, x)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// remove takes the moves of a key from the list.
func (m *moves) remove(table, key string) {
	m.removeIf(func(x moving) bool { return x.table.Name() == table && x.key == key })
}

func (m *moves) removeIf(f func(moving) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = slices.DeleteFunc(m.list, f)
}

func (m *moves) all() []moving {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.list)
}

// gone reports whether this peer has no session of the user that is in the way.
func (n *node) gone(now time.Time, x moving) bool {
	e, ok := x.table.Lookup(now, x.key)
	return !ok || e.Local == 0 || n.engine.Elsewhere(x.table, x.key, x.except) == 0
}

// lookAtMoves confirms the moves whose sessions have ended.
func (n *node) lookAtMoves(now time.Time) {
	for _, x := range n.moves.all() {
		if n.gone(now, x) {
			n.moves.removeIf(func(y moving) bool { return y == x }) // another move of his may have taken its place
			n.cluster.Gone(now, x.table.Name(), x.key, x.except)
		}
	}
}

func (m *moves) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.list)
}
