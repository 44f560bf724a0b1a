package stats

import (
	"strconv"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/sticktable"
)

// usersHeader names the fields of "show users". Times are seconds: idle since
// a session last began or ended, expires until the entry goes ("-" while there
// are sessions), assigned since the user was given to the server, by that peer.
const usersHeader = "# user backend server sessions local idle expires assigned by\n"

// showUsers lists who lives where, from the stick tables: one line per user.
func showUsers(c *client, args []string) message {
	keep := func(*sticktable.Entry, *residence) bool { return true }
	switch {
	case len(args) == 2 && args[0] == "server":
		t, bad := c.target(args[1:])
		if bad != "" {
			return failed(bad)
		}
		keep = func(e *sticktable.Entry, r *residence) bool {
			return e.Server == t.row.Name && r.backend(e.Server) == t.backend.Name
		}
	case len(args) == 1 && IsMask(args[0]):
		keep = func(e *sticktable.Entry, _ *residence) bool { return auth.Match(args[0], e.Key) }
	case len(args) == 1:
		c.showUser(args[0])
		return message{}
	case len(args) > 1:
		return failed("Usage: show users [<mask>|server <bk>/<srv>]")
	}
	c.printf(usersHeader)
	now := c.srv.now()
	proxies := c.node.Proxies()
	for _, t := range c.node.Tables() {
		if !t.ByUser() {
			continue // nobody lives at an address
		}
		r := residences(proxies, t)
		t.Range(now, func(e sticktable.Entry) bool {
			if !keep(&e, r) {
				return true
			}
			c.row = appendUser(c.row, &e, r.backend(e.Server), now)
			return c.flushRow()
		})
	}
	return message{}
}

// showUser lists one user, without looking through the tables.
func (c *client) showUser(user string) {
	c.printf(usersHeader)
	now := c.srv.now()
	proxies := c.node.Proxies()
	for _, t := range c.node.Tables() {
		if !t.ByUser() {
			continue
		}
		e, ok := t.Lookup(now, t.KeyOf(auth.NormalizeUser(user)))
		if !ok {
			e, ok = t.Lookup(now, user) // what was listed as a user may be asked for as one
		}
		if ok {
			c.row = appendUser(c.row, &e, residences(proxies, t).backend(e.Server), now)
			c.flushRow()
		}
	}
}

// A residence tells to which backend the servers of a table's entries belong.
type residence struct {
	of    map[string]string // server → backend
	other string            // the first backend that uses the table
}

func residences(proxies []Proxy, t *sticktable.Table) *residence {
	r := &residence{of: map[string]string{}}
	for _, p := range proxies {
		if p.Kind != KindBackend || p.Table != t.Name() {
			continue
		}
		r.other = orWord(r.other, p.Name)
		for i := range p.Servers {
			r.of[p.Servers[i].Name] = orWord(r.of[p.Servers[i].Name], p.Name)
		}
	}
	return r
}

func (r *residence) backend(server string) string { return orDash(orWord(r.of[server], r.other)) }

func appendUser(dst []byte, e *sticktable.Entry, backend string, now time.Time) []byte {
	dst = appendEscaped(dst, e.Key)
	dst = append(append(append(dst, ' '), backend...), ' ')
	dst = appendEscaped(dst, orDash(e.Server))
	for _, n := range []int64{int64(e.Sessions), int64(e.Local), seconds(now.Sub(e.LastUsed))} {
		dst = strconv.AppendInt(append(dst, ' '), n, 10)
	}
	if e.Sessions > 0 {
		dst = append(dst, " -"...)
	} else {
		dst = strconv.AppendInt(append(dst, ' '), seconds(e.Expires.Sub(now)), 10)
	}
	dst = strconv.AppendInt(append(dst, ' '), seconds(now.Sub(e.Stamp.When())), 10)
	return append(append(dst, ' '), orDash(e.Writer)...)
}

func seconds(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }

// IsMask reports whether a word stands for many users.
func IsMask(s string) bool { return strings.ContainsAny(s, "*?") }
