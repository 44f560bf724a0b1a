package loop

import (
	"math/rand/v2"
	"testing"
)

func TestFDTableAgainstMap(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var table fdTable
	model, where := make(map[int]*Conn), make(map[*Conn]int)
	for range 20000 {
		fd := rnd.IntN(5 * pageSize)
		if rnd.IntN(2) == 0 {
			c := new(Conn)
			table.put(fd, c)
			model[fd], where[c] = c, fd
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
		if model[where[c]] != c {
			t.Errorf("each gave what was at %d and is no more", where[c])
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
		table.put(fd, new(Conn))
	}
	n := 0
	table.each(func(*Conn) { table.delete(n); n++ })
	table.each(func(*Conn) { t.Error("a connection is left") })
	if n != 3*pageSize {
		t.Errorf("each gave %d, want %d", n, 3*pageSize)
	}
}
