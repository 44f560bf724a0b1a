package loop

import (
	"math/rand/v2"
	"testing"
)

func TestFDTableAgainstMap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var table fdTable
	model := make(map[int]*Conn)
	for range 20000 {
		fd := rnd.IntN(5 * pageSize)
		if rnd.IntN(2) == 0 {
			c := &Conn{fd: fd}
			table.put(fd, c)
			model[fd] = c
		} else {
			table.delete(fd)
			delete(model, fd)
		}
		if fd = rnd.IntN(7 * pageSize); table.get(fd) != model[fd] {
			t.Fatalf("get(%d) = %p, want %p", fd, table.get(fd), model[fd])
		}
	}
	n := 0
	table.each(func(c *Conn) {
		n++
		if model[c.fd] != c {
			t.Errorf("each gave %d, which is not in the table", c.fd)
		}
	})
	if n != len(model) {
		t.Errorf("each gave %d connections, want %d", n, len(model))
	}
}

// TestFDTableEachMayDelete is what closing all connections does.
func TestFDTableEachMayDelete(t *testing.T) {
	t.Parallel()
	var table fdTable
	for fd := range 3 * pageSize {
		table.put(fd, &Conn{fd: fd})
	}
	n := 0
	table.each(func(c *Conn) { n++; table.delete(c.fd) })
	table.each(func(*Conn) { t.Error("a connection is left") })
	if n != 3*pageSize {
		t.Errorf("each gave %d, want %d", n, 3*pageSize)
	}
}
