package loop

import (
	"sync"
	"sync/atomic"
)

// posts are functions that wait to run on a loop with a ring. Any goroutine
// may call add.
type posts struct {
	sleeping atomic.Bool // the loop waits in the kernel, or is about to

	mu    sync.Mutex // guards the fields below
	fns   []func()
	spare []func() // room of those that were run
	ended bool
}

// add reports whether the loop has to be woken. Behind end it drops f.
func (q *posts) add(f func()) bool {
	q.mu.Lock()
	if !q.ended {
		q.fns = append(q.fns, f)
	}
	q.mu.Unlock()
	return q.sleeping.CompareAndSwap(true, false)
}

// sleep reports whether the loop may wait: nothing is there to run. From
// then on add wakes it.
func (q *posts) sleep() bool {
	q.sleeping.Store(true)
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.fns) == 0 && !q.ended
}

// end has the loop wake for the last time.
func (q *posts) end() bool {
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
	return q.sleeping.CompareAndSwap(true, false)
}

func (q *posts) isEnded() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}

// run runs what is there, but not what that adds.
func (q *posts) run(task func(func())) {
	q.mu.Lock()
	fns := q.fns
	q.fns, q.spare = q.spare[:0], nil
	q.mu.Unlock()
	for i, f := range fns {
		fns[i] = nil
		task(f)
	}
	q.mu.Lock()
	if cap(fns) <= maxPosts {
		q.spare = fns[:0]
	}
	q.mu.Unlock()
}

// maxPosts bounds the room that is kept for functions to come.
const maxPosts = 4096
