package conf

import (
	"slices"

	"imaplb/frontend"
)

// checkMode judges what goes with a frontend's mode, and its routes.
func (r *report) checkMode(c *Config, f *Frontend) {
	path := keyPath("frontend", f.Name)
	tcp := f.Mode == "tcp"
	if tcp && f.TLS == "starttls" {
		r.fault(keyPath(path, "tls"), `"starttls" needs mode = "imap": write "none" to pass TLS on, or "implicit"`)
	}
	routes, key := f.Route, "route"
	if tcp {
		routes, key = f.UseBackend, "use_backend"
		if len(f.Route) > 0 {
			r.fault(keyPath(path, "route"), `mode tcp knows no users: write use_backend = [{ sni = "…", backend = "…" }]`)
		}
	} else if len(f.UseBackend) > 0 {
		r.fault(keyPath(path, "use_backend"), `it is for mode = "tcp": write route = [{ domain = "…", backend = "…" }]`)
	}
	for i := range routes {
		r.checkRoute(c, f, &routes[i], indexPath(keyPath(path, key), i))
	}
}

// checkRoute judges one element of route or use_backend.
func (r *report) checkRoute(c *Config, f *Frontend, x *frontend.Route, path string) {
	if r.faulty[path] {
		return // not even a table
	}
	if x.User+x.Domain+x.SNI+x.Bind == "" && len(x.Src) == 0 {
		r.fault(path, "no condition: where everything else goes is the frontend's backend")
	}
	if f.Mode == "tcp" && x.User+x.Domain != "" {
		r.fault(path, "mode tcp knows no users: its conditions are sni, src and bind")
	}
	r.checkNetworks(keyPath(path, "src"), x.Src)
	if x.Bind != "" && !slices.Contains(f.Bind, x.Bind) {
		hint, _ := didYouMean(x.Bind, f.Bind)
		r.fault(keyPath(path, "bind"), "the frontend does not listen on %q%s", x.Bind, hint)
	}
	if x.SNI != "" && f.Mode == "imap" && f.TLS == "none" && len(f.AcceptProxy) == 0 {
		r.warn(keyPath(path, "sni"), "without TLS no client names a server")
	}
	r.checkReference(c, x.Backend, keyPath(path, "backend"))
	r.checkTag(c, x, keyPath(path, "tag"))
	r.checkTagWays(c, f, x, keyPath(path, "tag"))
	if f.Mode == "imap" && (x.SNI != "" || x.Bind != "" || len(x.Src) > 0) {
		r.checkShared(c, f, x.Backend, keyPath(path, "backend"))
	}
}

// checkShared warns of a backend that is not chosen by the user alone and has the
// stick table of another one that he may get to.
func (r *report) checkShared(c *Config, f *Frontend, name, path string) {
	b := c.Backend(name)
	for _, otherName := range backendsOf(f) {
		other := c.Backend(otherName)
		if b == nil || other == nil || other == b || b.Balancer.StickTable == "" || b.Balancer.StickTable != other.Balancer.StickTable {
			continue
		}
		if !slices.EqualFunc(b.Servers, other.Servers, func(x, y Server) bool { return x.Name == y.Name }) {
			r.warn(path, "%q and %q share the stick table %q: a user who comes both ways is moved each time; give one of them its own",
				name, otherName, b.Balancer.StickTable)
			return
		}
	}
}

// backendsOf are the names of the backends a frontend may choose.
func backendsOf(f *Frontend) []string {
	names := []string{f.Backend}
	for _, x := range slices.Concat(f.Route, f.UseBackend) {
		names = append(names, x.Backend)
	}
	return names
}

// modes tells which modes the frontends of a backend have.
func (c *Config) modes(backend string) (imap, tcp bool) {
	for i := range c.Frontends {
		f := &c.Frontends[i]
		if slices.Contains(backendsOf(f), backend) {
			imap, tcp = imap || f.Mode == "imap", tcp || f.Mode == "tcp"
		}
	}
	return imap, tcp
}

// checkBackendMode judges a backend by the frontends that use it.
func (r *report) checkBackendMode(c *Config, b *Backend) {
	imap, tcp := c.modes(b.Name)
	path := keyPath("backend", b.Name)
	if t := c.StickTable(b.Balancer.StickTable); t != nil {
		byConnection := t.Key == "src" || t.Key == "sni"
		switch {
		case byConnection && (imap || !tcp):
			r.fault(keyPath(path, "stick_table"), "%q is keyed by the client's %s: a user would have a home for each; name one with key = \"user\" or \"domain\"", t.Name, map[string]string{"src": "address", "sni": "SNI"}[t.Key])
		case !byConnection && tcp:
			r.fault(keyPath(path, "stick_table"), "%q is keyed by the user, whom a frontend of mode tcp does not know: name one with key = \"src\" or \"sni\", or none by \"\"", t.Name)
		}
	}
	for _, s := range b.Servers {
		if tcp && s.Upstream.TLS == "starttls" {
			r.fault(keyPath(keyPath(keyPath(path, "server"), s.Name), "tls"), "a frontend of mode tcp knows no STARTTLS: write \"none\" or \"implicit\"")
		}
	}
}

// implyStickTable leaves the table away that a backend for mode tcp has not asked
// for.
func (r *report) implyStickTable(c *Config, b *Backend) {
	if imap, tcp := c.modes(b.Name); tcp && !imap && !r.set(keyPath(keyPath("backend", b.Name), "stick_table")) {
		b.Balancer.StickTable = ""
	}
}
