package frontend

import (
	"net/netip"
	"slices"
	"strings"

	"imaplb/auth"
)

// Route is an element of Config.Route and Config.UseBackend: all conditions
// that are not empty must hold. Masks have * and ?; case does not count.
type Route struct {
	User    string   `toml:"user"`    // mask of the user's name
	Domain  string   `toml:"domain"`  // mask of what follows its last @
	SNI     string   `toml:"sni"`     // mask of the name the client asked for by TLS
	Src     []string `toml:"src"`     // networks of the client
	Bind    string   `toml:"bind"`    // the address of Config.Bind it came to
	Backend string   `toml:"backend"` // name of the backend; required
	Tag     string   `toml:"tag"`     // only its servers with this tag; "" is all
}

// route is a Route ready to be looked at. Immutable.
type route struct {
	user, domain, sni, bind string
	src                     []netip.Prefix
	be                      *Backend
	tag                     string
}

// Question is what routes look at.
type Question struct {
	User   string // normalised, "" in mode tcp
	SNI    string // "" if none is known
	Bind   string // as configured
	Source netip.Addr
}

// newRoutes makes the routes of a frontend; one to a backend that is not there
// is left out, which conf does not let pass.
func newRoutes(s *Settings) (routes []route) {
	list := s.Config.Route
	if s.Config.Mode == modeTCP {
		list = s.Config.UseBackend
	}
	for _, c := range list {
		r := route{
			user: strings.ToLower(c.User), domain: strings.ToLower(c.Domain), sni: strings.ToLower(c.SNI),
			bind: c.Bind, be: s.Backends[c.Backend], tag: c.Tag,
		}
		for _, n := range c.Src {
			if p, err := ParseNetwork(n); err == nil {
				r.src = append(r.src, p)
			}
		}
		if r.be != nil {
			routes = append(routes, r)
		}
	}
	return routes
}

// holds reports whether all conditions hold.
func (r *route) holds(q *Question) bool {
	if r.user != "" && !auth.Match(r.user, q.User) || r.bind != "" && r.bind != q.Bind {
		return false
	}
	if r.domain != "" {
		i := strings.LastIndexByte(q.User, '@')
		if i < 0 || !auth.Match(r.domain, q.User[i+1:]) {
			return false
		}
	}
	if r.sni != "" && (q.SNI == "" || !auth.Match(r.sni, serverName(q.SNI))) {
		return false
	}
	src := q.Source.Unmap().WithZone("")
	return len(r.src) == 0 || slices.ContainsFunc(r.src, func(p netip.Prefix) bool { return p.Contains(src) })
}

// serverName is the form in which names of servers are compared.
func serverName(sni string) string { return strings.ToLower(strings.TrimSuffix(sni, ".")) }

// backend is the backend of the first route that holds, else the default, and
// the number of the route, from 1; 0 is the default.
func (s *settings) backend(q *Question) (be *Backend, n int) {
	for i := range s.routes {
		if s.routes[i].holds(q) {
			return s.routes[i].be, i + 1
		}
	}
	return s.Backend, 0
}

// tag is the tag of the route with that number.
func (s *settings) tag(n int) string {
	if n == 0 {
		return ""
	}
	return s.routes[n-1].tag
}

// Route tells where a login goes: the backend and the number of the route, from
// 1; 0 is the default.
func (f *Frontend) Route(q Question) (be *Backend, n int) { return f.set.Load().backend(&q) }

// readsSNI reports whether the client's SNI must be known before a backend or a
// server can be chosen.
func (s *settings) readsSNI() bool {
	if slices.ContainsFunc(s.routes, func(r route) bool { return r.sni != "" || bySNI(r.be) }) {
		return true
	}
	return bySNI(s.Backend)
}

func bySNI(be *Backend) bool {
	t := be.Table()
	return t != nil && t.BySNI()
}
