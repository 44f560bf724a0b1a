// Package loop runs stream sockets on event loops: it accepts, dials, reads,
// writes, times and encrypts without blocking, and calls a [Handler] for each
// thing that happened. It stands on gnet's poller (gnet/v2/pkg/netpoll) and is
// the only package that knows gnet, epoll or a raw descriptor.
//
// A descriptor belongs to one [Loop] from the moment it is accepted or dialled
// until it is closed, and so does everything that hangs on it. An idle
// connection owns no goroutine and no buffer. crypto/tls works on the loop too;
// only its handshake, which blocks, runs on a goroutine (see [Handshakes]).
//
// It knows nothing of IMAP and never looks into the bytes.
package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	gneterr "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"
)

const (
	// readSize is what one read(2) takes at most, and so what a connection
	// may have to keep when the other side does not take it.
	readSize = 64 << 10
	// maxRecord is the plaintext of one TLS record. RFC 8446 section 5.1.
	maxRecord = 16 << 10
	// turns bounds how often one connection is read in a row while others wait.
	turns = 4
)

// A Loop is one thread that waits for descriptors and serves them. Except for
// Post and Conns its methods, and those of everything that lives on it, may be
// called on the loop only: from a Handler, a Timer or a posted function.
type Loop struct {
	// Fixed at New.
	ID     int
	group  *Group
	poller *netpoll.Poller // nil if there is a ring
	ring   *ring           // nil if there is a poller
	wakeFD int             // an eventfd, which wakes a loop with a ring
	log    *slog.Logger

	// Owned by the loop.
	conns     fdTable
	listeners map[int]*Listener
	wheel     wheel
	buf       []byte           // one read(2); its content is valid during a Data call
	plain     []byte           // one TLS record, decrypted
	out       []byte           // TLS records of the present call, not yet written
	free      [][]byte         // buffers of readSize that are in no use
	bulk      bool             // much is coming in
	kept      map[*Conn][]byte // what a ring received for a connection that was paused meanwhile
	broken    error            // why the ring takes nothing any more

	// Shared.
	posts posts        // of a loop with a ring; a poller has its own
	count atomic.Int64 // connections
	done  chan struct{}
}

// Group is a fixed set of loops with a common clock. Shared: any goroutine may
// call any method.
type Group struct {
	Loops  []*Loop
	stop   chan struct{}
	failed chan error // holds one
	wg     sync.WaitGroup
	next   atomic.Uint32
	start  time.Time
	clock  atomic.Int64 // see Coarse
}

// Poller is how loops wait for their descriptors.
type Poller string

const (
	Auto  Poller = "auto"     // a ring where there can be one, else epoll
	Epoll Poller = "epoll"    // gnet's poller
	Ring  Poller = "io_uring" // a ring; it is an error where there can be none
)

// NewGroup opens n loops, at least one. Nothing runs before Start.
func NewGroup(n int, how Poller, log *slog.Logger) (*Group, error) {
	g := &Group{stop: make(chan struct{}), failed: make(chan error, 1), start: time.Now()}
	g.clock.Store(g.start.UnixMilli())
	for i := range max(n, 1) {
		l := &Loop{
			ID: i, group: g, log: log,
			kept:      make(map[*Conn][]byte),
			listeners: make(map[int]*Listener),
			buf:       make([]byte, readSize),
			plain:     make([]byte, maxRecord),
			done:      make(chan struct{}),
		}
		if err := l.open(how); err != nil {
			g.closePollers()
			return nil, err
		}
		l.wheel.init(time.Now())
		l.wheel.caught = l.caught
		g.Loops = append(g.Loops, l)
	}
	return g, nil
}

// Start runs the loops and the clock until Stop.
func (g *Group) Start() {
	for _, l := range g.Loops {
		go l.run() // ends at Stop, which waits on l.done
	}
	g.wg.Add(1)
	go g.tick() // ends when g.stop is closed; Stop waits on g.wg
}

// Stop ends the loops and closes every descriptor they hold. Call it once.
func (g *Group) Stop() {
	close(g.stop)
	g.wg.Wait()
	for _, l := range g.Loops {
		l.end()
	}
	for _, l := range g.Loops {
		<-l.done
	}
	g.closePollers()
}

// Failed tells, once, why a loop has ended that nobody stopped: its poller
// fails. Its connections are closed and their handlers have heard nothing of
// it; what is posted to it does not run. There is no loop to put in its place,
// so the process should end, and be started anew.
func (g *Group) Failed() <-chan error { return g.failed }

func (g *Group) closePollers() {
	for _, l := range g.Loops {
		if l.ring != nil {
			l.ring.close()
			_ = unix.Close(l.wakeFD) // nothing is in it
			continue
		}
		_ = l.poller.Close() // nothing can be done about a close that fails
	}
}

// Poller is how the loops wait, Epoll or Ring.
func (g *Group) Poller() Poller {
	if g.Loops[0].ring != nil {
		return Ring
	}
	return Epoll
}

// Next is the loop that takes the next connection: the one with the fewest.
func (g *Group) Next() *Loop {
	best := g.Loops[int(g.next.Add(1))%len(g.Loops)] // rotates among equals
	for _, l := range g.Loops {
		if l.count.Load() < best.count.Load() {
			best = l
		}
	}
	return best
}

// open gets what the loop waits with.
func (l *Loop) open(how Poller) (err error) {
	if how != Epoll {
		if l.ring, err = openRing(); err == nil {
			if l.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
				l.ring.close()
				return fmt.Errorf("loop: eventfd: %w", err)
			}
			return nil
		}
		if how == Ring {
			return err
		}
		if l.ID == 0 {
			l.log.Info("no io_uring, event loops use epoll", "err", err)
		}
	}
	logging.SetDefaultLoggerAndFlusher(silent{}, nil)
	if l.poller, err = netpoll.OpenPoller(); err != nil {
		return fmt.Errorf("loop: open poller: %w", err)
	}
	return nil
}

// silent keeps gnet from writing to standard output, with a stack, what Polling
// returns as well.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) {}

// end makes the loop return from run.
func (l *Loop) end() {
	if l.ring != nil {
		if l.posts.end() {
			l.wake()
		}
		return
	}
	// The error has no other cause than a poller that is gone already.
	_ = l.poller.Trigger(queue.HighPriority, func(any) error { return gneterr.ErrEngineShutdown }, nil)
}

// run serves the poller's events until Stop.
func (l *Loop) run() {
	defer close(l.done)
	if l.ring != nil {
		l.runRing()
		return
	}
	defer l.closeAll()
	if err := l.poller.Polling(l.event); !errors.Is(err, gneterr.ErrEngineShutdown) {
		l.fail(fmt.Errorf("loop: epoll_wait: %w", err))
	}
}

// fail tells that the loop ends for good. Of several the first is told: they
// have one cause.
func (l *Loop) fail(err error) {
	select {
	case l.group.failed <- err:
	default:
	}
}

// Post has f run on the loop soon. Any goroutine may call it. Functions posted
// by one goroutine run in their order. After Stop they are dropped.
func (l *Loop) Post(f func()) {
	if l.ring != nil {
		if l.posts.add(f) {
			l.wake()
		}
		return
	}
	if err := l.poller.Trigger(queue.HighPriority, func(any) error { l.task(f); return nil }, nil); err != nil {
		l.log.Error("post to event loop", "loop", l.ID, "err", err)
	}
}

// Do is Post that waits until f has run, or the loop has stopped. It must not
// be called on a loop.
func (l *Loop) Do(f func()) {
	ran := make(chan struct{})
	l.Post(func() { defer close(ran); f() })
	select {
	case <-ran:
	case <-l.done:
	}
}

// Conns is the number of connections on the loop. Any goroutine may call it.
func (l *Loop) Conns() int64 { return l.count.Load() }

// Coarse is the time in milliseconds, up to a tick late, for what is noted with
// every packet. It begins as Unix time and then only goes on: setting the
// host's clock does not move it. Any goroutine may call it.
func (l *Loop) Coarse() int64 { return l.group.clock.Load() }

func (l *Loop) task(f func()) {
	defer l.caught(nil)
	f()
}

// event serves one descriptor. An event can be stale: its descriptor closed,
// even taken by another connection, earlier in the same batch. So an event is
// never believed, only taken as a reason to try.
func (l *Loop) event(fd int, ev netpoll.IOEvent, _ netpoll.IOFlags) error {
	c := l.conns.get(fd)
	if c == nil {
		if ln := l.listeners[fd]; ln != nil {
			defer l.caught(nil)
			ln.accept()
		}
		return nil
	}
	defer l.caught(c)
	if netpoll.IsWriteEvent(ev) || netpoll.IsErrorEvent(ev, 0) {
		c.writable()
	}
	if c.fd >= 0 && (netpoll.IsReadEvent(ev) || netpoll.IsErrorEvent(ev, 0)) {
		c.readable()
	}
	return nil
}

// caught ends the connection whose handler panicked, so that a fault met by
// one session costs that session and not all others. It is logged as an error
// with its stack.
func (l *Loop) caught(c *Conn) {
	r := recover()
	if r == nil {
		return
	}
	l.out = l.out[:0] // a record of what failed must not reach another connection
	l.bulk = false
	l.log.Error("panic on event loop", "loop", l.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	if c != nil && c.fd >= 0 {
		defer l.caught(nil) // the handler may fail again when it is told
		c.fail(errPanic)
	}
}

var errPanic = errors.New("loop: panic in handler")

// buffer returns an empty buffer of readSize, from the free list if it can.
func (l *Loop) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, readSize)
}

// maxFree bounds the buffers a loop keeps for the next slow reader.
const maxFree = 16

// release gives a buffer back. Small ones, and those over maxFree, are left to
// the garbage collector.
func (l *Loop) release(b []byte) {
	if cap(b) >= readSize && cap(b) <= 2*readSize && len(l.free) < maxFree {
		l.free = append(l.free, b)
	}
}

func (l *Loop) closeAll() {
	for _, ln := range l.listeners {
		ln.close()
	}
	l.conns.each(func(c *Conn) { c.Close() })
}
