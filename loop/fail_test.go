package loop

import (
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// spoil puts another file in the place of what the loop waits with, so that
// the next wait fails.
func spoil(t *testing.T, l *Loop) {
	t.Helper()
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null) //nolint:errcheck // the copy stays
	fd := 0
	if l.ring != nil {
		fd = l.ring.fd
	} else {
		fd = int(reflect.ValueOf(l.poller).Elem().FieldByName("fd").Int())
	}
	if err := unix.Dup3(null, fd, unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

// TestLoopFails: a loop whose poller fails closes what it has and says why, once;
// the other goes on, and nobody waits for what is gone.
func TestLoopFails(t *testing.T) {
	target(t, "tcp") // wakes the runtime's own poller
	files := openFiles(t)
	for victim := range 2 { // one of them is the listener's
		g, err := NewGroup(2, poller, slog.New(strict{slog.DiscardHandler, t, ""}))
		if err != nil {
			t.Fatal(err)
		}
		g.Start()
		opened := make(chan *Conn, 1)
		h := echo(new(atomic.Int64), nil)
		ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler { opened <- c; return h }))
		clients, loops := make([]net.Conn, 4), make([]*Loop, 4)
		for i := range clients {
			clients[i] = dial(t, ln)
			loops[i] = wait(t, opened, "the connection").Loop()
		}
		l := g.Loops[victim]
		spoil(t, l)
		l.Post(func() {})
		if err := wait(t, g.Failed(), "the end of the loop"); !strings.Contains(err.Error(), "_enter: ") && !strings.Contains(err.Error(), "epoll_wait: ") {
			t.Errorf("it failed with %q", err)
		}
		for i, c := range clients {
			if loops[i] == l {
				if got := readAll(t, c); got != "" {
					t.Errorf("read %q from a loop that is gone", got)
				}
				continue
			}
			mustWrite(t, c, "x")
			mustRead(t, c, "x")
		}
		l.Do(func() {}) // whether it runs or not
		ln.Close()
		g.Stop()
		none(t, g.Failed(), "another failure")
		for _, c := range clients {
			_ = c.Close()
		}
		if n := conns(g); n != 0 {
			t.Errorf("%d connections left", n)
		}
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d descriptors more than before", n-files)
	}
}

// TestLoopCannotStart tells of it as of any failure.
func TestLoopCannotStart(t *testing.T) {
	t.Parallel()
	g, err := NewGroup(2, poller, slog.New(strict{slog.DiscardHandler, t, ""}))
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, g.Loops[0])
	g.Start()
	wait(t, g.Failed(), "the end of the loop")
	for _, l := range g.Loops {
		l.Do(func() {}) // waits for none that is gone
	}
	g.Stop()
}

// TestRingFailsInATurn: a ring that fails while its loop is busy is asked no
// more, and closes nothing.
func TestRingFailsInATurn(t *testing.T) {
	t.Parallel()
	g, err := NewGroup(1, poller, slog.New(strict{slog.DiscardHandler, t, ""}))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	defer g.Stop()
	opened := make(chan *Conn, 1)
	ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler { opened <- c; return &script{} }))
	var all []*Conn
	var clients []net.Conn
	for range 8 {
		clients = append(clients, dial(t, ln))
		all = append(all, wait(t, opened, "the connection"))
	}
	g.Loops[0].Do(func() {
		spoil(t, g.Loops[0])
		for i, c := range all {
			c.Write(noise(1, 100))
			ending(c, []string{"Close", "Reset", "Finish", "FinishQuiet"}[i%4])
		}
		for l := g.Loops[0]; l.ring != nil && l.ring.tail < 3*ringEntries; {
			l.submission(opCancel, -1, ofNothing).addr = 1 // of nothing, and more than have room
		}
	})
	wait(t, g.Failed(), "the end of the loop")
	for _, c := range clients {
		_ = c.Close()
	}
}
