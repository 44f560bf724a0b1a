package loop

// pageSize is the descriptors of one page of an fdTable.
const pageSize = 1024

// fdTable finds a connection by its descriptor. Pages are made on demand, so
// that loops which share a large range of descriptors do not each hold all of
// it. Owned by the loop.
type fdTable struct {
	pages []*[pageSize]*Conn
}

func (t *fdTable) get(fd int) *Conn {
	if i := fd / pageSize; i < len(t.pages) && t.pages[i] != nil {
		return t.pages[i][fd%pageSize]
	}
	return nil
}

func (t *fdTable) put(fd int, c *Conn) {
	i := fd / pageSize
	for len(t.pages) <= i {
		t.pages = append(t.pages, nil)
	}
	if t.pages[i] == nil {
		t.pages[i] = new([pageSize]*Conn)
	}
	t.pages[i][fd%pageSize] = c
}

func (t *fdTable) delete(fd int) {
	if i := fd / pageSize; i < len(t.pages) && t.pages[i] != nil {
		t.pages[i][fd%pageSize] = nil
	}
}

func (t *fdTable) each(f func(*Conn)) {
	for _, p := range t.pages {
		if p == nil {
			continue
		}
		for _, c := range p {
			if c != nil {
				f(c)
			}
		}
	}
}
