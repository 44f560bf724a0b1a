package conf

import (
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
