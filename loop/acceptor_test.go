package loop

import (
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPanicOfAcceptor: one that fails once is asked again.
func TestPanicOfAcceptor(t *testing.T) {
	t.Parallel()
	g := groupExpecting(t, 1, "this acceptor fails")
	a := accepts(with(echo(new(atomic.Int64), nil)))
	asked := 0
	a.admit = func() bool {
		if asked++; asked == 1 {
			panic("this acceptor fails")
		}
		return true
	}
	c := dial(t, serve(t, g, "tcp", a))
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
}

// TestSpareComesBack: a listener that could not get its spare descriptor back
// when the descriptors had run out gets it later.
func TestSpareComesBack(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	ln := serve(t, g, "tcp", accepts(with(&script{})))
	g.Loops[0].Do(func() {
		_ = unix.Close(ln.spare) // /dev/null
		ln.spare = -1
		ln.Expired(time.Now())
		if ln.spare < 0 {
			t.Error("there is no spare descriptor")
		}
	})
}
