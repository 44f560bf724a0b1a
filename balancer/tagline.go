package balancer

import (
	"maps"
	"time"
)

// Who waits for any server with a tag has a line of his own: in one line with
// others he would be first where he may not go, and keep them from it, or have to
// be sought among all who wait. A ticket says who is first among the lines.

// lineLocked is the line of those who wait for any server with that tag; the
// tags are those of routes, and so are the lines. queue.mu is held.
func (b *Backend) lineLocked(tag string) *line {
	if tag == "" {
		return &b.line
	}
	old := b.tagLines()
	if l := old[tag]; l != nil {
		return l
	}
	lines := make(map[string]*line, len(old)+1)
	maps.Copy(lines, old)
	l := &line{count: &b.Counters}
	lines[tag] = l
	b.lines.Store(&lines)
	return l
}

// tagLines are the lines by tag; the map must not be changed.
func (b *Backend) tagLines() map[string]*line {
	if m := b.lines.Load(); m != nil {
		return *m
	}
	return nil
}

// firstLocked is who waits longest of those without a home who may have a place
// on a server, nil if nobody does. queue.mu is held.
func (b *Backend) firstLocked(now time.Time, pool *pool, s *Server) *Waiter {
	first := b.firstOf(now, pool, s, "", &b.line)
	lines := b.tagLines()
	if lines == nil {
		return first
	}
	for _, tag := range s.Tags() {
		if l := lines[tag]; l != nil {
			first = older(first, b.firstOf(now, pool, s, tag, l))
		}
	}
	return first
}

func (b *Backend) firstOf(now time.Time, pool *pool, s *Server, tag string, l *line) *Waiter {
	first := l.first()
	if first == nil {
		return nil
	}
	if c := b.newChoice(now, pool, tag, nil); !c.takes(s) {
		return nil
	}
	return first
}

// behind reports whether others wait already for what a login without a home,
// with that tag, would be given.
func (b *Backend) behind(tag string) bool {
	if b.Qcur.Load() == 0 {
		return false
	}
	waits := b.line.waiting.Load() > 0
	for t, l := range b.tagLines() {
		waits = waits || (tag == "" || t == tag) && l.waiting.Load() > 0
	}
	return waits && b.anyTakes(tag)
}

// reflowLines sends away who waits for any server, where none can be had any
// more.
func (b *Backend) reflowLines() {
	if !b.anyTakes("") {
		b.dismiss(&b.line)
	}
	for tag, l := range b.tagLines() {
		if !b.anyTakes(tag) {
			b.dismiss(l)
		}
	}
}

// anyTakes reports whether there is a server with a tag to wait for without a
// home.
func (b *Backend) anyTakes(tag string) bool {
	for _, s := range b.Servers() {
		if s.Fits(tag) && s.takesNew() {
			return true
		}
	}
	return false
}
