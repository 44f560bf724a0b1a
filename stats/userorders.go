package stats

import (
	"fmt"
	"strconv"
	"strings"

	"imaplb/auth"
)

// The commands that say where users shall be.

const kickUsage = "Usage: kick user <user|mask> | kick server <bk>/<srv> | kick src <network>"

func kickUser(c *client, args []string) message {
	o, args := c.order(args)
	if len(args) != 1 || args[0] == "" {
		return failed("A user name or a mask is expected.")
	}
	return c.kick(o, Kick{User: args[0]})
}

func kickServer(c *client, args []string) message {
	o, args := c.order(args)
	if len(args) > 1 {
		return failed(kickUsage)
	}
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	return c.kick(o, Kick{Backend: t.backend.Name, Server: t.row.Name})
}

func kickSource(c *client, args []string) message {
	o, args := c.order(args)
	if len(args) != 1 {
		return failed(kickUsage)
	}
	return c.kick(o, Kick{Source: args[0]})
}

func (c *client) kick(o Order, k Kick) message {
	n, err := c.node.KickSessions(o, k)
	if err != nil {
		return failed(err.Error())
	}
	if !o.Local && c.node.Cluster().Name != "" {
		return informedf("%s closed here; the other peers close theirs.", howMany(n, "session"))
	}
	return informedf("%s closed.", howMany(n, "session"))
}

// howMany is how many there are of something, in words.
func howMany(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

const pinUsage = "Usage: pin user <user> <bk>/<srv>"

func pinUser(c *client, args []string) message {
	m, o, bad := c.whoAndWhere(args, pinUsage)
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.Pin(c.srv.ctx, o, m))
}

// whoAndWhere reads a user and a server for him. bad is the text of the error.
func (c *client) whoAndWhere(args []string, usage string) (m Move, o Order, bad string) {
	o, args = c.order(args)
	if len(args) != 2 {
		return m, o, usage
	}
	if o.Local {
		return m, o, "A move holds for all peers: nobody may be on two servers."
	}
	t, bad := c.target(args[1:])
	if bad != "" {
		return m, o, bad
	}
	table := c.table(t.backend.Table)
	if table == nil {
		return m, o, fmt.Sprintf("Backend %s has no stick table: its users are placed by the algorithm alone.", t.backend.Name)
	}
	if c.out.Flush() != nil { // it may take a while
		return m, o, "The client is gone."
	}
	return Move{Table: table.Name(), User: args[0], Backend: t.backend.Name, Server: t.row.Name}, o, ""
}

// unpinUser ends a pin in the table of one backend, or in all where there is
// one.
func unpinUser(c *client, args []string) message {
	if len(args) < 1 || len(args) > 2 {
		return failed("Usage: unpin user <user> [<backend>]")
	}
	o := Order{By: c.by}
	if len(args) == 2 {
		p := findBackend(c.node.Proxies(), args[1])
		if p == nil {
			return failed(noBackend)
		}
		return outcome(c.node.Unpin(o, p.Table, args[0]))
	}
	var err error
	for _, t := range c.node.Tables() {
		if !t.ByUser() {
			continue
		}
		if failed := c.node.Unpin(o, t.Name(), args[0]); failed == nil {
			return message{}
		} else if err == nil {
			err = failed
		}
	}
	return outcome(err)
}

func showPins(c *client, args []string) message {
	if len(args) > 1 {
		return failed("Usage: show pins [<mask>]")
	}
	c.printf("# user table backend server pinned by at\n")
	now := c.srv.now()
	for _, p := range c.node.Pins() {
		if len(args) == 1 && !auth.Match(args[0], p.Key) {
			continue
		}
		c.row = appendEscaped(c.row, p.Key)
		c.row = fmt.Appendf(c.row, " %s %s %s %d ", p.Table, p.Backend, p.Server, seconds(now.Sub(p.When)))
		c.row = appendEscaped(c.row, p.By)
		c.row = fmt.Appendf(c.row, " %s", p.Peer)
		if !c.flushRow() {
			break
		}
	}
	return message{}
}

// MaxParallel bounds the users that a flush moves at once; without "max-parallel"
// they are as many as director_max_parallel_moves has by default.
const (
	MaxParallel     = 1000
	defaultParallel = 100
)

func flushServer(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	parallel := defaultParallel
	if args = args[1:]; len(args) > 0 {
		var err error
		if len(args) == 2 {
			parallel, err = strconv.Atoi(args[1])
		}
		if len(args) != 2 || args[0] != "max-parallel" || err != nil || parallel < 1 || parallel > MaxParallel {
			return failedf("Usage: flush server <bk>/<srv> [max-parallel <1 to %d>]", MaxParallel)
		}
	}
	if err := c.node.Flush(Order{By: c.by}, t.backend.Name, t.row.Name, parallel); err != nil {
		return failed(err.Error())
	}
	return informedf("Users of %s/%s are being moved away, %d at once (see 'show flushes').", t.backend.Name, t.row.Name, parallel)
}

func flushStop(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.EndFlush(Order{By: c.by}, t.backend.Name, t.row.Name))
}

func showFlushes(c *client, _ []string) message {
	c.printf("# backend server state peer parallel moved failed left since by note\n")
	now := c.srv.now()
	for _, f := range c.node.Flushes() {
		c.row = fmt.Appendf(c.row, "%s %s %s %s %d %d %d %d %d ", f.Backend, f.Server, f.Phase, f.Peer, f.Parallel,
			f.Moved, f.Failed, f.Left, seconds(now.Sub(f.Since)))
		c.row = appendEscaped(c.row, f.By)
		c.row = append(append(c.row, ' '), orDash(f.Note)...)
		if !c.flushRow() {
			break
		}
	}
	return message{}
}

// showServers tells of each server how many users are on it: what is left of
// one that drains.
func showServers(c *client, args []string) message {
	flushes := map[string]*Flush{}
	all := c.node.Flushes()
	for i := range all {
		if all[i].Phase != "ended" {
			flushes[all[i].Backend+"/"+all[i].Server] = &all[i]
		}
	}
	counted := map[string]map[string]Population{}
	const header = "# backend server state weight sessions users user_sessions idle flush tags\n"
	return c.eachServer(args, header, func(dst []byte, p *Proxy, r *Row) []byte {
		if counted[p.Table] == nil && p.Table != "" {
			counted[p.Table] = c.node.Population(p.Table)
		}
		dst = append(append(append(append(dst, p.Name...), ' '), r.Name...), ' ')
		dst = appendEscaped(dst, r.Status)
		dst = fmt.Appendf(dst, " %d %d", r.Weight, r.Scur)
		if p.Table == "" {
			dst = append(dst, " - - -"...)
		} else {
			of := counted[p.Table][r.Name]
			dst = fmt.Appendf(dst, " %d %d %d", of.Users, of.Sessions, of.Idle)
		}
		dst = append(append(dst, ' '), flushWord(flushes[p.Name+"/"+r.Name])...)
		return append(append(dst, ' '), orDash(strings.Join(r.Tags, ","))...)
	})
}

// flushWord is how far a flush is; one that does not go on has something to
// note.
func flushWord(f *Flush) string {
	switch {
	case f == nil:
		return "-"
	case f.Note != "":
		return fmt.Sprintf("%d/%d,waits", f.Moved, f.Moved+f.Left)
	}
	return fmt.Sprintf("%d/%d", f.Moved, f.Moved+f.Left)
}
