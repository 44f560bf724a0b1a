package loop

// pageSize is the descriptors of one page of an fdTable.
const pageSize = 1024

// fdTable finds a connection by its descriptor. Pages are made on demand, so
// that loops which share a large range of descriptors do not each hold all of
// it. Owned by the loop.
type fdTable struct {
	pages []*fdPage
}

type fdPage struct {
	conns [pageSize]*Conn
	gens  [pageSize]uint32 // how many connections have had the descriptor here
}

func (t *fdTable) get(fd int) *Conn {
	if i := fd / pageSize; i < len(t.pages) && t.pages[i] != nil {
		return t.pages[i].conns[fd%pageSize]
	}
	return nil
}

// gen tells the connection of a descriptor from those that had it before.
func (t *fdTable) gen(fd int) uint32 {
	if i := fd / pageSize; i < len(t.pages) && t.pages[i] != nil {
		return t.pages[i].gens[fd%pageSize]
	}
	return 0
}

func (t *fdTable) put(fd int, c *Conn) {
	i := fd / pageSize
	for len(t.pages) <= i {
		t.pages = append(t.pages, nil)
	}
	if t.pages[i] == nil {
		t.pages[i] = new(fdPage)
	}
	t.pages[i].conns[fd%pageSize] = c
	t.pages[i].gens[fd%pageSize]++
}

func (t *fdTable) delete(fd int) {
	if i := fd / pageSize; i < len(t.pages) && t.pages[i] != nil {
		t.pages[i].conns[fd%pageSize] = nil
	}
}

func (t *fdTable) each(f func(*Conn)) {
	for _, p := range t.pages {
		if p == nil {
			continue
		}
		for _, c := range p.conns {
			if c != nil {
				f(c)
			}
		}
	}
}
