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

// key is what the stick table knows a session by; one by a name that is not known
// any more keeps its key.
func (c *conn) key() string {
	switch t := c.place.Server.Backend.Table(); {
	case t == nil && c.user != "":
		return c.user
	case t == nil:
	case t.ByUser() && c.user != "":
		return t.KeyOf(c.user)
	case t.BySource() && c.src.IsValid():
		return t.KeyOfAddr(c.src.Addr())
	}
	return c.place.Key
}
