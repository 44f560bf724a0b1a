package stats

import (
	"math"
	"strconv"
	"strings"
)

// statusNoCheck is the Status of a server that is not checked.
const statusNoCheck = "no check"

// A line is what the columns of one line of "show stat" are taken from.
type line struct {
	proxy *Proxy
	row   *Row
	kind  Kind
	level level // of the client
}

// get is the value of a column in this line.
func (l *line) get(col *column) value {
	if col.get == nil || strings.IndexByte(col.on, kindLetters[l.kind]) < 0 {
		return value{}
	}
	return col.get(l)
}

const kindLetters = "FBS" // of KindFrontend, KindBackend, KindServer

// A selection is which lines "show stat" prints, and how.
type selection struct {
	format
	iid     int // -1 is all
	kinds   int // bits: 1 frontends, 2 backends, 4 servers
	sid     int // -1 is all
	up      bool
	noMaint bool
}

func showStat(c *client, args []string) message {
	proxies := c.node.Proxies()
	sel, bad := selectStat(args, proxies)
	if bad != "" {
		return failed(bad)
	}
	if !sel.typed && !sel.json {
		c.statHeader()
	}
	sep := byte('[')
	eachLine(proxies, sel, func(l *line) bool {
		l.level = c.level
		switch {
		case sel.json:
			c.row = appendJSON(append(c.row, sep), l)
			sep = ','
		case sel.typed:
			c.row = appendTyped(c.row, l, sel.format)
		default:
			c.row = append(appendCSV(c.row, l), '\n')
		}
		return c.flush()
	})
	if sel.json && sep == '[' {
		c.printf("[")
	}
	if sel.json {
		c.printf("]\n")
	}
	return message{}
}

// selectStat reads the words of "show stat". bad is the text of the error.
func selectStat(args []string, proxies []Proxy) (sel selection, bad string) {
	sel = selection{iid: -1, kinds: -1, sid: -1}
	if len(args) >= 2 && args[0] == "domain" {
		if args[1] != "proxy" {
			return sel, "Invalid statistics domain."
		}
		args = args[2:]
	}
	if len(args) >= 3 && !sel.word(args[0]) {
		iid, ok := proxyID(args[0], proxies)
		if !ok {
			return sel, "No such proxy."
		}
		sel.iid, sel.kinds, sel.sid = iid, number(args[1]), number(args[2])
		args = args[3:]
	}
	for _, word := range args {
		sel.word(word) // others are ignored, as HAProxy does
	}
	return sel, ""
}

func (sel *selection) word(w string) bool {
	switch w {
	case "up":
		sel.up = true
	case "no-maint":
		sel.noMaint = true
	default:
		return sel.format.word(w)
	}
	return true
}

// proxyID is the id a name or a number stands for; -1 and 0 are all proxies.
func proxyID(s string, proxies []Proxy) (int, bool) {
	for i := range proxies {
		if proxies[i].Name == s {
			return proxies[i].ID, true
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, false
	}
	if n == 0 {
		n = -1
	}
	return n, true
}

// number reads a number as HAProxy does: what is none counts as 0.
func number(s string) int {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0
	}
	return int(min(n, math.MaxInt32))
}

// eachLine calls f for the chosen lines until it is false: each frontend, and
// the servers of each backend with the backend's own line behind them.
func eachLine(proxies []Proxy, sel selection, f func(*line) bool) {
	for i := range proxies {
		p := &proxies[i]
		if sel.iid != -1 && sel.iid != p.ID {
			continue
		}
		for j := range p.Servers {
			r := &p.Servers[j]
			if sel.server(r) && !f(&line{proxy: p, row: r, kind: KindServer}) {
				return
			}
		}
		if sel.kinds&(1<<p.Kind) != 0 && !f(&line{proxy: p, row: &p.Row, kind: p.Kind}) {
			return
		}
	}
}

// server reports whether a server's line is wanted.
func (sel selection) server(r *Row) bool {
	maint := strings.HasPrefix(r.Status, "MAINT")
	down := strings.HasPrefix(r.Status, "DOWN")
	switch {
	case sel.kinds&(1<<KindServer) == 0, sel.sid != -1 && sel.sid != r.ID:
		return false
	case maint && (sel.noMaint || sel.up), down && sel.up:
		return false
	}
	return true
}

func (c *client) statHeader() {
	c.row = append(c.row, "# "...)
	for i := range columns {
		c.row = append(append(c.row, columns[i].name...), ',')
	}
	c.row = append(c.row, "-,"...)
	for i := range imapColumns {
		c.row = append(append(c.row, imapColumns[i].name...), ',')
	}
	c.flushRow()
}

func appendCSV(dst []byte, l *line) []byte {
	for i := range columns {
		dst = append(append(dst, l.get(&columns[i]).csv()...), ',')
	}
	dst = append(dst, "-,"...)
	for i := range imapColumns {
		dst = append(append(dst, l.get(&imapColumns[i]).csv()...), ',')
	}
	return dst
}

// eachField calls f for the fields a line has, with their positions.
func (l *line) eachField(f func(pos int, col *column, v value)) {
	for i := range columns {
		if v := l.get(&columns[i]); v.kind != "" {
			f(i, &columns[i], v)
		}
	}
	for i := range imapColumns {
		if v := l.get(&imapColumns[i]); v.kind != "" {
			f(len(columns)+i, &imapColumns[i], v)
		}
	}
}
