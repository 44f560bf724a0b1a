package frontend

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"imaplb/sticktable"
)

// Rule is one of Config.Rules. The first whose conditions all hold decides
// about a client; without one he is allowed.
type Rule struct {
	Action string     `toml:"action"` // "allow", "deny" or "tarpit"; required
	Src    []string   `toml:"src"`    // networks; default any
	When   Conditions `toml:"when"`   // conditions on his counters in the table of track_src, all must hold; default none
}

// Conditions are texts for ParseCondition. In the file one may stand without
// brackets.
type Conditions []string

// A Condition compares a counter with a number.
type Condition struct {
	Data sticktable.Data
	op   string
	n    int64
}

// operators are those of a condition. One that begins like another stands
// before it.
var operators = []struct {
	op    string
	holds func(is, n int64) bool
}{
	{">=", func(is, n int64) bool { return is >= n }},
	{"<=", func(is, n int64) bool { return is <= n }},
	{"==", func(is, n int64) bool { return is == n }},
	{"!=", func(is, n int64) bool { return is != n }},
	{">", func(is, n int64) bool { return is > n }},
	{"<", func(is, n int64) bool { return is < n }},
}

// ParseCondition reads "COUNTER OP NUMBER", such as "conn_rate > 100". name is
// the counter's, as far as it was read.
func ParseCondition(s string) (c Condition, name string, err error) {
	name = strings.TrimSpace(s)
	if i := strings.IndexAny(name, " \t<>=!"); i >= 0 {
		name = name[:i]
	}
	rest := strings.TrimSpace(strings.TrimSpace(s)[len(name):])
	d, ok := sticktable.DataNamed(name)
	if !ok {
		return c, name, fmt.Errorf("unknown counter %q", name)
	}
	for _, o := range operators {
		text, found := strings.CutPrefix(rest, o.op)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 63)
		if err != nil {
			break
		}
		return Condition{Data: d, op: o.op, n: int64(n)}, name, nil
	}
	return c, name, fmt.Errorf(`bad condition %q: write a counter, one of > >= < <= == != and a number, such as "%s > 100"`, s, name)
}

// Holds reports whether the counters are as the condition says.
func (c Condition) Holds(v *sticktable.Values) bool {
	for _, o := range operators {
		if o.op == c.op {
			return o.holds(v[c.Data], c.n)
		}
	}
	return false
}

// verdict is what the rules say of a client.
type verdict uint8

const (
	allow verdict = iota
	deny
	tarpit
)

// ruled is a rule made ready. Immutable.
type ruled struct {
	what verdict
	src  []netip.Prefix // none is any
	when []Condition
	late bool // it looks at what only logins change, or an operator
}

// newRules makes the rules ready that conf has checked. What cannot be read
// makes no rule.
func newRules(list []Rule) (rules []ruled) {
	for _, r := range list {
		x := ruled{what: map[string]verdict{"allow": allow, "deny": deny, "tarpit": tarpit}[r.Action]}
		for _, s := range r.Src {
			if p, err := ParseNetwork(s); err == nil {
				x.src = append(x.src, p)
			}
		}
		for _, s := range r.When {
			if c, _, err := ParseCondition(s); err == nil {
				x.when = append(x.when, c)
				x.late = x.late || c.Data != sticktable.ConnCnt && c.Data != sticktable.ConnRate && c.Data != sticktable.ConnCur
			}
		}
		rules = append(rules, x)
	}
	return rules
}

// judge tells what the rules say of a client with these counters, and the number
// of the rule, from 1; 0 is none. At a login what was judged when he connected is
// not judged again: of deny and tarpit only the rules that look at what changes
// with logins.
func judge(rules []ruled, src netip.Addr, v *sticktable.Values, login bool) (what verdict, n int) {
	src = src.Unmap().WithZone("")
	for i := range rules {
		r := &rules[i]
		if login && r.what != allow && !r.late {
			continue
		}
		if len(r.src) > 0 && !slices.ContainsFunc(r.src, func(p netip.Prefix) bool { return p.Contains(src) }) {
			continue
		}
		if !slices.ContainsFunc(r.when, func(c Condition) bool { return !c.Holds(v) }) {
			return r.what, i + 1
		}
	}
	return allow, 0
}
