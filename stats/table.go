package stats

import (
	"strconv"
	"strings"
	"time"

	"imaplb/sticktable"
)

// The commands on stick tables.

const (
	noTable     = "No such table"
	needKey     = "Key value expected"
	badKey      = "Invalid key"
	onlyFilters = `Optional argument only supports "data.<store_data_type>" <operator> <value> or key <key>`
	needFilter  = `Required arguments: <table> "data.<store_data_type>" <operator> <value> or <table> key <key>`
	needData    = "Required arguments: <table> key <key> [data.<store_data_type> <value>]*"
	inUseText   = "Entry currently in use, cannot remove"
)

func (c *client) table(name string) *sticktable.Table {
	for _, t := range c.node.Tables() {
		if t.Name() == name {
			return t
		}
	}
	return nil
}

func showTable(c *client, args []string) message {
	if len(args) == 0 {
		for _, t := range c.node.Tables() {
			c.tableHeader(t)
		}
		return message{}
	}
	t := c.table(args[0])
	if t == nil {
		return failed(noTable)
	}
	args = args[1:]
	byKey := len(args) > 0 && args[0] == "key"
	if byKey && len(args) < 2 {
		return failed(needKey)
	}
	var filters []filter
	if !byKey {
		var bad string
		if filters, bad = parseFilters(args); bad != "" {
			return failed(bad)
		}
	}
	if c.level < levelOperator {
		c.tableHeader(t)
		c.printf("# contents not dumped due to insufficient privileges\n")
		return message{}
	}
	if byKey {
		c.showKey(t, args[1])
		return message{}
	}
	c.tableHeader(t)
	ids := c.serverIDs(t)
	now := c.srv.now()
	t.Range(now, func(e sticktable.Entry) bool {
		id := ids[e.Server]
		if !keep(filters, int64(id), int64(e.Sessions)) {
			return true
		}
		c.row = appendEntry(c.row, &e, id, now)
		return c.flushRow()
	})
	return message{}
}

func (c *client) tableHeader(t *sticktable.Table) {
	c.printf("# table: %s, type: string, size:%d, used:%d\n", t.Name(), t.Size(), t.Len())
}

// showKey dumps one entry; a key that is not there is silence.
func (c *client) showKey(t *sticktable.Table, key string) {
	now := c.srv.now()
	e, ok := t.Lookup(now, key)
	if !ok {
		return
	}
	c.tableHeader(t)
	c.row = appendEntry(c.row, &e, c.serverIDs(t)[e.Server], now)
	c.flushRow()
}

// appendEntry appends an entry as HAProxy prints it. HAProxy's pointer is a
// hash of the key here: entries have no address to tell.
func appendEntry(dst []byte, e *sticktable.Entry, serverID int, now time.Time) []byte {
	dst = append(dst, "0x"...)
	dst = strconv.AppendUint(dst, keyHash(e.Key), 16)
	dst = append(dst, ": key="...)
	dst = appendEscaped(dst, e.Key)
	dst = append(dst, " use="...)
	dst = strconv.AppendInt(dst, int64(e.Local), 10)
	dst = append(dst, " exp="...)
	dst = strconv.AppendInt(dst, max(e.Expires.Sub(now).Milliseconds(), 0), 10)
	dst = append(dst, " shard=0 server_id="...)
	dst = strconv.AppendInt(dst, int64(serverID), 10)
	dst = append(dst, " conn_cur="...)
	dst = strconv.AppendInt(dst, int64(e.Sessions), 10)
	dst = append(dst, " server_key="...)
	if e.Server == "" {
		return append(dst, '-')
	}
	return appendEscaped(dst, e.Server)
}

// keyHash is FNV-1a, cut to what a pointer looks like.
func keyHash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := 0; i < len(key); i++ {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return h >> 16
}

func clearTable(c *client, args []string) message {
	if len(args) == 0 {
		return failed(needFilter)
	}
	t := c.table(args[0])
	if t == nil {
		return failed(noTable)
	}
	o, args := c.order(args[1:])
	switch {
	case len(args) == 0:
		return outcome(c.node.ClearTable(o, t.Name(), ""))
	case args[0] == "key" && len(args) < 2:
		return failed(needKey)
	case args[0] == "key":
		return c.clearKey(o, t, args[1])
	case !strings.HasPrefix(args[0], "data."):
		return failed(needFilter)
	}
	filters, bad := parseFilters(args)
	if bad != "" {
		return failed(bad)
	}
	var err error
	ids := c.serverIDs(t)
	t.Range(c.srv.now(), func(e sticktable.Entry) bool {
		// Entries in use stay, as HAProxy's do.
		if e.Sessions == 0 && keep(filters, int64(ids[e.Server]), int64(e.Sessions)) {
			err = c.node.ClearTable(o, t.Name(), e.Key)
		}
		return err == nil
	})
	return outcome(err)
}

// clearKey removes one entry; a key that is not there is silence.
func (c *client) clearKey(o Order, t *sticktable.Table, key string) message {
	e, ok := t.Lookup(c.srv.now(), key)
	switch {
	case !ok:
		return message{}
	case e.Sessions > 0:
		return failed(inUseText)
	}
	return outcome(c.node.ClearTable(o, t.Name(), key))
}
