package frontend

import (
	"maps"
	"slices"
	"time"

	"imaplb/auth"
	"imaplb/balancer"
	"imaplb/loop"
	"imaplb/relay"
	"imaplb/sticktable"
)

// closingStep is how often a spread closing goes on.
const closingStep = 100 * time.Millisecond

// closing ends many connections of a loop, spread over some time so that not
// all clients come back in the same second. Owned by the loop.
type closing struct {
	w     *worker
	ids   []uint64
	step  int // connections each closingStep
	why   relay.Reason
	timer loop.Timer
}

// closeAll ends the connections with these ids over spread.
func (w *worker) closeAll(ids []uint64, why relay.Reason, spread time.Duration) {
	steps := int(spread/closingStep) + 1
	j := &closing{w: w, ids: ids, step: (len(ids) + steps - 1) / steps, why: why}
	j.Expired(time.Now())
}

// Expired closes the next few.
func (j *closing) Expired(now time.Time) {
	n := min(j.step, len(j.ids))
	for _, id := range j.ids[:n] {
		if c := j.w.find(id); c != nil {
			c.kill(now, j.why)
		}
	}
	if j.ids = j.ids[n:]; len(j.ids) > 0 {
		j.w.loop.SetTimer(&j.timer, now.Add(closingStep), j)
	}
}

// kill ends a connection in whatever state it is.
func (c *conn) kill(now time.Time, why relay.Reason) {
	if c.pre != nil {
		c.pre.kill(now, why)
		return
	}
	c.pair.Kill(why)
}

// serverSessions are the ids of the sessions on a server, newest first.
func (w *worker) serverSessions(s *balancer.Server) []uint64 {
	var ids []uint64
	for c := w.servers[s]; c != nil; c = c.serverNext {
		ids = append(ids, c.id)
	}
	return ids
}

// eachWorker runs f on every loop soon, without waiting.
func (e *Engine) eachWorker(f func(*worker)) {
	for _, w := range e.workers {
		w.loop.Post(func() { f(w) })
	}
}

// CloseServer ends all sessions on a server, spread over the given time.
func (e *Engine) CloseServer(s *balancer.Server, why relay.Reason, spread time.Duration) {
	e.eachWorker(func(w *worker) { w.closeAll(w.serverSessions(s), why, spread) })
}

// CloseStrays ends the sessions that a backend's servers, or a backend of that
// name, had before they left the configuration, if they are in it again: their
// users would go to the new ones, and nothing else would end the old ones.
func (e *Engine) CloseStrays(b *balancer.Backend) {
	e.eachWorker(func(w *worker) {
		for s := range w.servers {
			if now := b.Server(s.Name); s.Backend.Name == b.Name && now != nil && now != s {
				w.closeAll(w.serverSessions(s), relay.Moved, 0)
			}
		}
	})
}

// ShutdownServer ends all sessions on a server now and tells how many. It
// waits for the loops.
func (e *Engine) ShutdownServer(s *balancer.Server) int {
	// All are found before the first is ended: who waits for his place is in at
	// once, on a loop that comes later maybe.
	ids := map[*worker][]uint64{}
	n := e.sum(func(w *worker) int {
		ids[w] = w.serverSessions(s)
		return len(ids[w])
	})
	e.sum(func(w *worker) int {
		w.closeAll(ids[w], relay.Killed, 0)
		return 0
	})
	return n
}

// Kick ends all sessions of a user and tells how many. It waits for the loops.
func (e *Engine) Kick(user string) int {
	user = auth.NormalizeUser(user)
	keys := e.keysOf(user)
	return e.sum(func(w *worker) (n int) {
		for _, key := range keys {
			w.userSessions(key, func(c *conn) {
				if c.user == user {
					n++
					c.pair.Kill(relay.Killed)
				}
			})
		}
		return n
	})
}

// keysOf are the keys by which the sessions of a user, normalised, may be found:
// his name, his domain, and what the templates of stick tables make of him. A
// backend that left the configuration may still have sessions by the others.
func (e *Engine) keysOf(user string) []string {
	keys := []string{user}
	add := func(key string) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	add(sticktable.KeyOf("domain", user))
	for _, f := range e.Frontends() {
		s := f.set.Load()
		for _, be := range append([]*Backend{s.Backend}, slices.Collect(maps.Values(s.Backends))...) {
			if t := be.Table(); t != nil && t.ByUser() {
				add(t.KeyOf(user))
			}
		}
	}
	return keys
}

// closeElsewhere ends the sessions under a key on any other server than home.
func (e *Engine) closeElsewhere(key string, home *balancer.Server) {
	e.eachWorker(func(w *worker) {
		w.userSessions(key, func(c *conn) {
			if c.place.Server != home && c.place.Server.Backend.Name == home.Backend.Name {
				c.pair.Kill(relay.Moved)
			}
		})
	})
}

// CloseMoved ends the sessions a key of a stick table has on any other server
// than the one named, in the backends that use the table. It does not wait.
func (e *Engine) CloseMoved(t *sticktable.Table, key, server string) {
	e.eachWorker(func(w *worker) {
		w.userSessions(key, func(c *conn) {
			if s := c.place.Server; s.Name != server && s.Backend.Table() == t {
				c.pair.Kill(relay.Moved)
			}
		})
	})
}

// Elsewhere counts the sessions that CloseMoved would end. It waits for the
// loops.
func (e *Engine) Elsewhere(t *sticktable.Table, key, server string) int {
	return e.sum(func(w *worker) (n int) {
		w.userSessions(key, func(c *conn) {
			if s := c.place.Server; s.Name != server && s.Backend.Table() == t {
				n++
			}
		})
		return n
	})
}

// Shutdown ends the connection with that id and reports whether there was one.
// It waits for the loop.
func (e *Engine) Shutdown(id uint64) (found bool) {
	n := int(id & (1<<loopBits - 1))
	if n >= len(e.workers) {
		return false
	}
	w := e.workers[n]
	w.loop.Do(func() {
		if c := w.find(id); c != nil {
			found = true
			c.kill(time.Now(), relay.Killed)
		}
	})
	return found
}

// CloseAll says BYE to every connection, spread over the given time.
func (e *Engine) CloseAll(spread time.Duration) {
	e.eachWorker(func(w *worker) {
		var ids []uint64
		for _, c := range w.slots {
			if c != nil {
				ids = append(ids, c.id)
			}
		}
		w.closeAll(slices.Clip(ids), relay.Stopping, spread)
	})
}

// sum adds up what f returns on every loop.
func (e *Engine) sum(f func(*worker) int) (n int) {
	for _, w := range e.workers {
		w.loop.Do(func() { n += f(w) })
	}
	return n
}
