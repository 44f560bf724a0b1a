package conf

import (
	"fmt"
	"slices"

	"imaplb/frontend"
)

// maxTags is how many tags a server may have.
const maxTags = 8

// checkTags judges the tags of a server.
func (r *report) checkTags(path string, tags []string) {
	for i, tag := range tags {
		at := indexPath(path, i)
		switch {
		case r.faulty[at]:
		case i >= maxTags:
			r.fault(at, "more than %d tags", maxTags)
			return
		case !legalName(tag):
			r.fault(at, "bad tag %q: write 1 to %d letters, digits or - _ . :", tag, maxName)
		case slices.Contains(tags[:i], tag):
			r.fault(at, "%q stands there twice", tag)
		}
	}
}

// checkTag judges the tag a route names: some server of its backend has it.
func (r *report) checkTag(c *Config, x *frontend.Route, path string) {
	b := c.Backend(x.Backend)
	if x.Tag == "" || b == nil {
		return
	}
	var tags []string
	for _, s := range b.Servers {
		tags = append(tags, s.Balancer.Tags...)
	}
	if !slices.Contains(tags, x.Tag) {
		hint, _ := didYouMean(x.Tag, tags)
		r.fault(path, "no server of backend %q has the tag %q%s", x.Backend, x.Tag, hint)
	}
}

// checkTagWays warns of a tag that the connection chooses, if logins with
// another one, or none, come to the same backend: a user is stuck to a server
// all the same, which then has not the tag of his next login.
func (r *report) checkTagWays(c *Config, f *Frontend, x *frontend.Route, path string) {
	b := c.Backend(x.Backend)
	if x.Tag == "" || b == nil || b.Balancer.StickTable == "" || !r.tagStrays(c, b, x) {
		return
	}
	for i := range c.Frontends {
		other, ok := c.Frontends[i].otherTag(f.Mode, x)
		if !ok {
			continue
		}
		with := "without a tag"
		if other != "" {
			with = fmt.Sprintf("with the tag %q", other)
		}
		r.warn(path, "%q is chosen by the connection, and %q is reached %s too: who comes both ways goes to and fro between their servers; choose tags by what the stick table %q is keyed by",
			x.Tag, x.Backend, with, b.Balancer.StickTable)
		return
	}
}

// tagStrays reports whether a route looks at what may differ between logins that
// have one home.
func (r *report) tagStrays(c *Config, b *Backend, x *frontend.Route) bool {
	key := ""
	if t := c.StickTable(b.Balancer.StickTable); t != nil {
		key = t.Key
	}
	return x.Bind != "" || x.SNI != "" && key != "sni" || len(x.Src) > 0 && key != "src"
}

// otherTag is a tag other than that of x by which logins of a frontend come to
// the same backend; false if there is none.
func (f *Frontend) otherTag(mode string, x *frontend.Route) (tag string, ok bool) {
	if f.Mode != mode {
		return "", false
	}
	for _, y := range slices.Concat(f.Route, f.UseBackend, []frontend.Route{{Backend: f.Backend}}) {
		if y.Backend == x.Backend && y.Tag != x.Tag {
			return y.Tag, true
		}
	}
	return "", false
}
