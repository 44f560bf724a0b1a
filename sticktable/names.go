package sticktable

import (
	"strings"
	"sync"
	"sync/atomic"
)

const maxNames = 1<<16 - 1 // names are never forgotten: a server or peer name is a matter of configuration

// names gives small numbers to names, so that a record holds two bytes instead
// of a string. It is shared: any goroutine may call any method. 0 is no name.
type names struct {
	list atomic.Pointer[[]string] // index is the number; only ever appended to

	mu  sync.RWMutex // guards ids, and the growing of list
	ids map[string]uint16
}

// newNames numbers the given names from 1.
func newNames(first ...string) *names {
	n := &names{ids: map[string]uint16{}}
	list := append([]string{""}, first...)
	n.list.Store(&list)
	for i, name := range first {
		n.ids[name] = uint16(i + 1)
	}
	return n
}

// id returns the number of name, a new one if need be; false when the name is
// empty or too long or there are too many.
func (n *names) id(name string) (uint16, bool) {
	n.mu.RLock()
	id, ok := n.ids[name]
	n.mu.RUnlock()
	if ok {
		return id, true
	}
	if name == "" || len(name) > MaxName {
		return 0, false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[name]; ok {
		return id, true
	}
	old := *n.list.Load()
	if len(old) > maxNames {
		return 0, false
	}
	name = strings.Clone(name)
	// Readers hold the shorter slice and never look behind its end, so the
	// spare room may be written.
	list := append(old, name)
	n.list.Store(&list)
	n.ids[name] = uint16(len(old))
	return uint16(len(old)), true
}

// name is the inverse of id.
func (n *names) name(id uint16) string { return (*n.list.Load())[id] }
