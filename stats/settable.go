package stats

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"imaplb/sticktable"
)

// membersFor is how long a client relies on the list of servers it has read:
// a script that sets a hundred thousand keys must not ask for it each time.
const membersFor = time.Second

// members are the servers that a table's entries may name: those of the
// backends that use it.
type members struct {
	table    *sticktable.Table
	read     time.Time
	ids      map[string]int
	names    map[int]string
	backends map[string]bool
}

// serverMembers is the list of a table's servers, at most membersFor old. A
// name that two backends have keeps the first one's id.
func (c *client) serverMembers(t *sticktable.Table) *members {
	now := c.srv.now()
	m := &c.members
	if m.table == t && now.Sub(m.read) < membersFor {
		return m
	}
	*m = members{table: t, read: now, ids: map[string]int{}, names: map[int]string{}, backends: map[string]bool{}}
	for _, p := range c.node.Proxies() {
		if p.Kind != KindBackend || p.Table != t.Name() {
			continue
		}
		m.backends[p.Name] = true
		for i := range p.Servers {
			m.add(&p.Servers[i])
		}
	}
	return m
}

func (m *members) add(r *Row) {
	if _, taken := m.ids[r.Name]; !taken {
		m.ids[r.Name] = r.ID
	}
	if _, taken := m.names[r.ID]; !taken {
		m.names[r.ID] = r.Name
	}
}

// setTable gives a key to a server, sets counters, or both. Other than at
// HAProxy something has to be set.
func setTable(c *client, args []string) message {
	if len(args) == 0 {
		return failed(needData)
	}
	t := c.table(args[0])
	switch {
	case t == nil:
		return failed(noTable)
	case len(args) < 2 || args[1] != "key":
		return failed(needData)
	case len(args) < 3 || args[2] == "":
		return failed(needKey)
	}
	m, key := c.serverMembers(t), keyIn(t, args[2])
	if _, err := netip.ParseAddr(key); err != nil && t.BySource() {
		return failed(badKey)
	}
	todo, bad := m.chosen(args[3:])
	if bad != "" {
		return failed(bad)
	}
	for _, p := range todo.counters {
		if err := t.Put(c.srv.now(), key, p.data, p.n); errors.Is(err, sticktable.ErrKey) {
			return failed(badKey)
		} else if err != nil {
			return outcome(err)
		}
	}
	if todo.server == "" {
		return message{}
	}
	return c.assign(t, key, todo.server)
}

// changes are what "set table" is to do.
type changes struct {
	server   string // "" for none
	counters []put
}

// A put is a counter and what it shall be.
type put struct {
	data sticktable.Data
	n    int64
}

// chosen reads what the words behind the key mean.
func (m *members) chosen(args []string) (todo changes, bad string) {
	store := m.table.Stored()
	for ; len(args) > 0; args = args[2:] {
		name, data := strings.CutPrefix(args[0], "data.")
		if !data && name != "server" {
			return todo, `"data.<type>" followed by a value expected`
		}
		if data {
			if bad := checkType(m.table, name); bad != "" {
				return todo, bad
			}
		}
		if len(args) < 2 {
			return todo, needInteger
		}
		d, _ := sticktable.DataNamed(name)
		if data && holds(&store, name) && d != sticktable.ConnCur {
			n, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || n < 0 {
				return todo, needInteger
			}
			todo.counters = append(todo.counters, put{d, n})
			continue
		}
		if todo.server, bad = m.server(name, args[1]); bad != "" {
			return todo, bad
		}
	}
	if todo.server == "" && len(todo.counters) == 0 {
		return todo, "Require a server: data.server_id <id> or server <name>"
	}
	return todo, ""
}

const needInteger = "Require a valid integer value to store"

// server is the server that "server NAME" or "data.server_id ID" means.
func (m *members) server(kind, word string) (server, bad string) {
	if kind == "server" {
		if _, ok := m.ids[word]; !ok {
			return "", noServer
		}
		return word, ""
	}
	id, err := strconv.Atoi(word)
	switch {
	case err != nil || kind == "server_key":
		return "", needInteger
	case kind == "conn_cur":
		return "", "Sessions are counted, data.conn_cur cannot be set"
	case m.names[id] == "":
		return "", noServer
	}
	return m.names[id], ""
}

// assign writes the entry and ends the sessions the key has on another server:
// nobody may be on two.
func (c *client) assign(t *sticktable.Table, key, server string) message {
	now := c.srv.now()
	old, had := t.Lookup(now, key)
	if err := t.Set(now, key, server); errors.Is(err, sticktable.ErrKey) {
		return failed(badKey)
	} else if err != nil {
		return outcome(err)
	}
	if !had || old.Server == server || old.Local == 0 {
		return message{}
	}
	var moved []uint64
	backends := c.serverMembers(t).backends
	c.node.UserSessions(key, func(s Session) bool {
		if s.Server != server && s.Server != "" && backends[s.Backend] {
			moved = append(moved, s.ID)
		}
		return true
	})
	for _, id := range moved {
		c.node.Shutdown(id)
	}
	return message{}
}
