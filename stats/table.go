package stats

import (
	"net/netip"
	"strings"

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
		if filters, bad = parseFilters(t, args); bad != "" {
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
	x := c.shownTable(t)
	t.Range(x.now, func(e sticktable.Entry) bool {
		if x.look(&e); !keep(filters, x.data) {
			return true
		}
		c.row = x.append(c.row)
		return c.flushRow()
	})
	return message{}
}

func (c *client) tableHeader(t *sticktable.Table) {
	kind := "string"
	if t.BySource() {
		kind = "ip"
	}
	c.printf("# table: %s, type: %s, size:%d, used:%d\n", t.Name(), kind, t.Size(), t.Len())
}

// showKey dumps one entry; a key that is not there is silence.
func (c *client) showKey(t *sticktable.Table, key string) {
	x := c.shownTable(t)
	e, ok := t.Lookup(x.now, keyIn(t, key))
	if !ok {
		return
	}
	c.tableHeader(t)
	x.look(&e)
	c.row = x.append(c.row)
	c.flushRow()
}

// keyIn is a key as the table has it: of an address, its network.
func keyIn(t *sticktable.Table, key string) string {
	if a, err := netip.ParseAddr(key); err == nil && t.BySource() {
		return t.KeyOfAddr(a)
	}
	return key
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
	filters, bad := parseFilters(t, args)
	if bad != "" {
		return failed(bad)
	}
	var err error
	x := c.shownTable(t)
	t.Range(x.now, func(e sticktable.Entry) bool {
		x.look(&e)
		// Entries in use stay, as HAProxy's do.
		if !e.InUse && keep(filters, x.data) {
			err = c.node.ClearTable(o, t.Name(), e.Key)
		}
		return err == nil
	})
	return outcome(err)
}

// clearKey removes one entry; a key that is not there is silence.
func (c *client) clearKey(o Order, t *sticktable.Table, key string) message {
	key = keyIn(t, key)
	e, ok := t.Lookup(c.srv.now(), key)
	switch {
	case !ok:
		return message{}
	case e.InUse:
		return failed(inUseText)
	}
	return outcome(c.node.ClearTable(o, t.Name(), key))
}
