package frontend

import (
	"time"

	"imaplb/relay"
)

// Recount is for a backend to which a reload gave another stick table: its
// sessions are counted in that one, so that their users stay at home. Those of a
// user who lives elsewhere by it are ended. It does not wait.
func (e *Engine) Recount(b *Backend) {
	e.eachWorker(func(w *worker) {
		w.inSlices(func(c *conn) {
			if c.pre == nil && c.place.Server.Backend == b.Backend && c.place.Outdated() {
				w.recount(c)
			}
		})
	})
}

func (w *worker) recount(c *conn) {
	key := c.key()
	w.unlink(c)
	c.userPrev, c.serverPrev = nil, nil
	err := c.place.Recount(time.Now(), key)
	w.link(c)
	if err != nil || w.e.isHeld(c.place.Server.Backend.Table(), key) { // asked when it counts, as with a login
		c.pair.Kill(relay.Moved)
	}
}
