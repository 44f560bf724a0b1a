package balancer

import "time"

// choice is one choice of a server: what the algorithms, a file each, ask of
// every server. It lies on the stack of who chooses.
//
// A full server is left out, as one that takes nobody new is. Backup servers
// are chosen from while no other server takes new users, full or not: then the
// first of them in the file that takes some, or all with allbackups, as HAProxy
// does. With a tag all of this is about the servers that have it.
type choice struct {
	now     int64 // Unix ms
	servers []*Server
	except  *Server // has failed this user just now, nil for none
	tag     string  // only servers with this one, "" for all
	inPanic bool    // health counts for nothing
	backup  bool    // choose among the backup servers
	only    *Server // of them this one, nil for all
}

// newChoice decides which servers it is about.
func (b *Backend) newChoice(now time.Time, pool *pool, tag string, except *Server) choice {
	b.tellTime(now, pool)
	c := choice{now: now.UnixMilli(), servers: pool.servers, except: except, tag: tag, inPanic: b.panic.Load()}
	if !pool.backups {
		return c
	}
	for _, s := range pool.servers {
		switch {
		case !s.takes(c.inPanic) || !s.Fits(tag):
		case !s.backup.Load():
			c.backup, c.only = false, nil
			return c
		case c.only == nil:
			c.backup, c.only = true, s
		}
	}
	if pool.cfg.AllBackups {
		c.only = nil
	}
	return c
}

// share is what a server is due of the new users, 0 if it may not be chosen.
func (c *choice) share(s *Server) int64 {
	if !c.takes(s) || s.full() {
		return 0
	}
	return s.shareAt(c.now)
}

// takes reports whether a server may be chosen if it has room.
func (c *choice) takes(s *Server) bool {
	return s != c.except && s.backup.Load() == c.backup && (c.only == nil || s == c.only) && s.Fits(c.tag) && s.takes(c.inPanic)
}

// load is how much of its share a server has, with one session more.
func load(s *Server, share int64) float64 {
	return float64(s.Scur.Load()+1) / float64(share)
}

// Choose is the server that the algorithm has for a user without a home, other
// than except, nil if there is none. Nothing is reserved or counted, but round
// robin goes on by a turn.
func (b *Backend) Choose(now time.Time, ask Ask, except *Server) *Server {
	return b.choose(now, b.pool.Load(), &ask, except)
}

func (b *Backend) choose(now time.Time, pool *pool, ask *Ask, except *Server) *Server {
	c := b.newChoice(now, pool, ask.Tag, except)
	switch pool.cfg.Balance {
	case "roundrobin":
		return b.robin.pick(&c)
	case "leastconn":
		return c.leastConn(b.turn.Add(1))
	case "random":
		return c.random()
	case "first":
		return c.first()
	case "source":
		return c.hash(sourceHash(ask), pool.cfg.BalanceFactor)
	}
	return c.hash(keyHash(ask.Key), pool.cfg.BalanceFactor)
}
