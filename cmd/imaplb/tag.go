package main

import (
	"imaplb/balancer"
	"imaplb/frontend"
)

// tagOf is the tag that the routes of IMAP logins give to who has this key in a
// backend, "" where there is none, or several may be. A key that is no user's
// name is looked at as if it were.
func (n *node) tagOf(b *balancer.Backend, key string) (tag string) {
	first := true
	for _, f := range n.engine.Frontends() {
		for _, w := range f.Ways(frontend.Question{User: key}) {
			switch {
			case w.Backend.Backend != b:
			case first:
				tag, first = w.Tag, false
			case w.Tag != tag:
				return ""
			}
		}
	}
	return tag
}
