package frontend

import (
	"fmt"
	"slices"
	"strings"
)

// Way is a way from a frontend to a backend.
type Way struct {
	Backend *Backend
	Route   int    // number of the route, from 1; 0 is the default
	Tag     string // only servers with this tag; "" is all
	Since   string // what the route wants and is so, such as "domain = example.org"; "" is nothing
	If      string // what else must hold, such as "sni = imap.example.org"; "" is nothing
}

// Ways are the ways a user's logins may take, in the order they are tried; the
// last one is open to all that took none before. What the question leaves empty
// is not known, so a route that looks at it may be taken or not. A frontend of
// mode tcp has none, nor has one that does not listen on the address asked about.
func (f *Frontend) Ways(q Question) (ways []Way) {
	s := f.set.Load()
	if s.Config.Mode == modeTCP || q.Bind != "" && !slices.Contains(s.Config.Bind, q.Bind) {
		return nil
	}
	for i := range s.routes {
		r := &s.routes[i]
		known, open := r.asked(&q)
		if !known.holds(&q) {
			continue
		}
		w := Way{Backend: r.be, Route: i + 1, Tag: r.tag, Since: known.words(), If: open.words()}
		ways = append(ways, w)
		if w.If == "" {
			return ways
		}
	}
	return append(ways, Way{Backend: s.Backend})
}

// asked parts the conditions of a route: those that the question can answer,
// which are those about the user at least, and the others.
func (r *route) asked(q *Question) (known, open route) {
	known, open = *r, route{}
	if q.SNI == "" {
		known.sni, open.sni = "", r.sni
	}
	if !q.Source.IsValid() {
		known.src, open.src = nil, r.src
	}
	if q.Bind == "" {
		known.bind, open.bind = "", r.bind
	}
	return known, open
}

// words are the conditions as the file has them, "" for none.
func (r *route) words() string {
	var list []string
	for _, c := range [...]struct{ name, is string }{{"user", r.user}, {"domain", r.domain}, {"sni", r.sni}} {
		if c.is != "" {
			list = append(list, c.name+" = "+c.is)
		}
	}
	if len(r.src) > 0 {
		list = append(list, fmt.Sprint("src in ", r.src))
	}
	if r.bind != "" {
		list = append(list, "bind = "+r.bind)
	}
	return strings.Join(list, ", ")
}
