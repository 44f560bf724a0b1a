package stats

import (
	"strconv"
	"time"

	"imaplb/sticktable"
)

// shownTable is a table while it is shown, and the entry at hand.
type shownTable struct {
	table   *sticktable.Table
	now     time.Time
	ids     map[string]int // of the servers
	store   sticktable.Store
	servers bool // some backend keeps its users by it: its entries have servers

	entry  *sticktable.Entry
	values sticktable.Values
}

func (c *client) shownTable(t *sticktable.Table) *shownTable {
	m := c.serverMembers(t)
	return &shownTable{
		table: t, now: c.srv.now(), ids: m.ids, store: t.Stored(), servers: !t.BySource() || len(m.backends) > 0,
	}
}

// look makes e the entry at hand.
func (x *shownTable) look(e *sticktable.Entry) {
	x.entry = e
	if x.store != (sticktable.Store{}) {
		x.values, _ = x.table.Values(x.now, e.Key)
	}
}

// data is one of the entry's data as a number.
func (x *shownTable) data(name string) int64 {
	d, ok := sticktable.DataNamed(name)
	switch {
	case ok && x.store.Has(d):
		return x.values[d]
	case name == "server_id":
		return int64(x.ids[x.entry.Server])
	}
	return int64(x.entry.Sessions) // conn_cur
}

// append appends the entry as HAProxy prints it, in its order, ours behind.
// HAProxy's pointer is a hash of the key here: entries have no address to tell.
func (x *shownTable) append(dst []byte) []byte {
	e := x.entry
	dst = append(dst, "0x"...)
	dst = strconv.AppendUint(dst, keyHash(e.Key), 16)
	dst = append(dst, ": key="...)
	dst = appendEscaped(dst, e.Key)
	dst = appendData(dst, "use", int64(e.Use))
	dst = appendData(dst, "exp", max(e.Expires.Sub(x.now).Milliseconds(), 0))
	dst = append(dst, " shard=0"...)
	if x.servers {
		dst = appendData(dst, "server_id", x.data("server_id"))
	}
	for d := range sticktable.AuthFailCnt {
		if x.store.Has(d) || d == sticktable.ConnCur && x.servers {
			dst = x.appendCounter(dst, d)
		}
	}
	if x.servers {
		dst = append(dst, " server_key="...)
		if e.Server == "" {
			dst = append(dst, '-')
		}
		dst = appendEscaped(dst, e.Server)
	}
	for d := sticktable.AuthFailCnt; d < sticktable.NumData; d++ {
		if x.store.Has(d) {
			dst = x.appendCounter(dst, d)
		}
	}
	return dst
}

func (x *shownTable) appendCounter(dst []byte, d sticktable.Data) []byte {
	name := d.String()
	if p := x.store.Period(d); p > 0 {
		name += "(" + strconv.FormatInt(p.Milliseconds(), 10) + ")"
	}
	return appendData(dst, name, x.data(d.String()))
}

func appendData(dst []byte, name string, n int64) []byte {
	dst = append(append(append(dst, ' '), name...), '=')
	return strconv.AppendInt(dst, n, 10)
}
