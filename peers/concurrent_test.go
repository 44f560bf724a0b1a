package peers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// A runner drives a link with two goroutines, as a stream does, but without
// sockets.
type runner struct {
	link  *Link
	wake  chan struct{}
	in    chan []byte
	ready chan struct{}
}

func (r *runner) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// writes sends what there is until done.
func (r *runner) writes(to *runner, done chan struct{}) {
	for {
		out := r.link.Next(time.Now(), nil)
		for len(out) > 0 {
			n := 4 + int(binary.BigEndian.Uint32(out))
			select {
			case to.in <- out[4:n]:
			case <-done:
				return
			}
			out = out[n:]
		}
		select {
		case <-r.wake:
		case <-done:
			return
		}
	}
}

// reads takes frames in until done.
func (r *runner) reads(t *testing.T, done chan struct{}) {
	ready := false
	for {
		select {
		case f := <-r.in:
			if err := r.link.Receive(time.Now(), f); err != nil {
				var drop *DropError
				t.Errorf("Receive = %v, a drop: %t", err, errors.As(err, &drop))
			}
		case <-done:
			return
		}
		if !ready && r.link.Ready() {
			ready = true
			close(r.ready)
		}
		r.nudge()
	}
}

// TestReadersAndWritersTogether: however the two goroutines of each side
// interleave, both sides learn all.
func TestReadersAndWritersTogether(t *testing.T) {
	for i := range 300 {
		maps := [2]*mapState{newMap("map"), newMap("map")}
		names := [2]string{"a", "b"}
		var runners [2]*runner
		for j := range 2 {
			fill(maps[j], fmt.Sprint(names[j], i), 20)
			r := &runner{wake: make(chan struct{}, 1), in: make(chan []byte, 4), ready: make(chan struct{})}
			r.link = NewLink(LinkConfig{Self: names[j], Incarnation: 1, States: []State{maps[j]}}, NewRemote(names[1-j]))
			maps[j].Watch(r.nudge)
			runners[j] = r
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		for j, r := range runners {
			wg.Go(func() { r.writes(runners[1-j], done) })
			wg.Go(func() { r.reads(t, done) })
			wg.Go(func() { fill(maps[j], fmt.Sprint("later", names[j]), 5) })
		}
		for j, r := range runners {
			select {
			case <-r.ready:
			case <-time.After(patience):
				t.Fatalf("run %d: %s is not ready", i, names[j])
			}
		}
		close(done)
		wg.Wait()
	}
}
