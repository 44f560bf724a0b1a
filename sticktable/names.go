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
	list atomic.Pointer[[]named] // index is the number; only ever appended to

	mu  sync.RWMutex // guards ids, and the growing of list
	ids map[string]uint16
}

// named is a name and what digests take for it, on every peer the same.
type named struct {
	name string
	hash uint64
}

// newNames numbers the given names from 1.
func newNames(first ...string) *names {
	n := &names{ids: map[string]uint16{}}
	list := []named{{}}
	for i, name := range first {
		list = append(list, named{name, keyHash(name)})
		n.ids[name] = uint16(i + 1)
	}
	n.list.Store(&list)
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
	list := append(old, named{name, keyHash(name)})
	n.list.Store(&list)
	n.ids[name] = uint16(len(old))
	return uint16(len(old)), true
}

// name is the inverse of id.
func (n *names) name(id uint16) string { return (*n.list.Load())[id].name }

// hash is what digests take for the name.
func (n *names) hash(id uint16) uint64 { return (*n.list.Load())[id].hash }
