package main

import (
	"time"

	"imaplb/cluster"
)

// yields ends the flush if another peer carries one of the same server that goes
// before: both were ordered before either peer had heard of the other. What the
// other says of its flush is left as it is.
func (f *flush) yields() bool {
	now := time.Now()
	peer := f.n.cluster.FlushBefore(now, f.backend, f.server.Name, f.since)
	if peer == "" {
		return false
	}
	f.n.cluster.NoteServer(now, f.backend, f.server.Name, "is flushed by "+peer+", who began before; the flush of this peer ends")
	f.mu.Lock()
	f.yielded = true
	f.mu.Unlock()
	f.end(peer + " flushes it")
	return true
}

// sayEnded tells all peers that it has ended. Without room for the fact they see
// that nothing is heard any more.
func (f *flush) sayEnded() {
	f.mu.Lock()
	yielded := f.yielded
	f.left = populationOf(f.table)[f.server.Name].Users
	f.mu.Unlock()
	if !yielded {
		_ = f.say(cluster.FlushEnded, f.note)
	}
}
