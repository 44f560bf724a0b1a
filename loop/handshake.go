package loop

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHandshakeAborted is why a handshake ended whose connection was closed, or
// that made room for another.
var ErrHandshakeAborted = errors.New("loop: TLS handshake aborted")

// handshake is one TLS handshake. The loop feeds it, its goroutine reads and
// writes. mu lets the goroutine use the descriptor only while the loop has not
// closed it.
type handshake struct {
	slots *Handshakes
	conn  *Conn
	tls   *tls.Conn
	done  func(error)
	ready bool // given to slots; owned by the loop

	mu      sync.Mutex // guards the fields below
	wake    *sync.Cond
	in      []byte
	over    error     // there will be no more in, and why
	begun   bool      // it has its goroutine
	held    bool      // the connection is paused until in is used up
	behind  bool      // bytes to be sent wait on the loop
	since   time.Time // when it began to wait for the other side's flight
	aborted bool
	fd      int
}

// StartServerTLS does the server's side of a handshake with the bytes that
// come from now on; done gets the result on the loop, nil for success. After
// an error the connection finishes by itself. The handler hears nothing before
// done, except Closed if the poller fails.
func (c *Conn) StartServerTLS(cfg *tls.Config, s *Handshakes, done func(error)) {
	c.startTLS(func(p net.Conn) *tls.Conn { return tls.Server(p, cfg) }, s, done)
}

// StartClientTLS does the client's side.
func (c *Conn) StartClientTLS(cfg *tls.Config, s *Handshakes, done func(error)) {
	c.startTLS(func(p net.Conn) *tls.Conn { return tls.Client(p, cfg) }, s, done)
	c.tls.hs.submit()
}

func (c *Conn) startTLS(make func(net.Conn) *tls.Conn, s *Handshakes, done func(error)) {
	c.flush() // the handshake writes by itself
	hs := &handshake{slots: s, conn: c, done: done, fd: c.FD()}
	hs.wake = sync.NewCond(&hs.mu)
	t := &tlsState{pipe: pipe{loop: c.loop, hs: hs}, hs: hs}
	t.conn = make(&t.pipe)
	hs.tls = t.conn
	c.tls = t
}

// feed takes bytes from the loop. The handshake of a server gets its goroutine
// when the ClientHello is complete. A client that sends much ahead is not read
// any more until that is used up, or the handshake done.
func (hs *handshake) feed(c *Conn, p []byte) {
	hs.mu.Lock()
	hs.in = append(hs.in, p...)
	in := hs.in
	hold := hs.ready && len(in) > MaxHello
	hs.held = hs.held || hold
	hs.wake.Signal()
	hs.mu.Unlock()
	switch {
	case !hs.ready && HelloComplete(in):
		hs.submit()
	case !hs.ready && len(in) > MaxHello:
		hs.finish(c, errors.New("loop: ClientHello too long"))
		return
	}
	if hold {
		c.Pause()
	}
}

// letGo reads on when the goroutine has used up what there was.
func (hs *handshake) letGo(c *Conn) {
	hs.mu.Lock()
	held := hs.held
	hs.held = false
	hs.mu.Unlock()
	if held && c.tls != nil && c.tls.hs == hs {
		c.Resume()
	}
}

// end says that the other side sends no more. A handshake that has begun goes
// on with what it has, and tells its result; any other fails here.
func (hs *handshake) end(c *Conn, err error) {
	hs.mu.Lock()
	hs.over = err
	begun := hs.begun
	hs.wake.Signal()
	hs.mu.Unlock()
	if !begun {
		hs.finish(c, err)
	}
}

// begin notes that the goroutine is there, and reports whether it is needed.
func (hs *handshake) begin() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.begun = !hs.aborted
	return hs.begun
}

// submit asks for a slot.
func (hs *handshake) submit() {
	hs.ready = true
	s := hs.slots
	s.mu.Lock()
	run := s.running < s.max
	var victim *handshake
	if run {
		s.running++
	} else {
		s.waiting = append(s.waiting, hs)
		victim = s.longestSilentLocked()
		s.lookAgainLocked()
	}
	s.mu.Unlock()
	if run {
		s.begin(hs)
	}
	if victim != nil {
		victim.abort()
	}
}

// run does the handshake on a goroutine of its own.
func (hs *handshake) run() {
	if !hs.begin() {
		hs.slots.release()
		return
	}
	hs.slots.cpu <- struct{}{}
	err := hs.shake()
	<-hs.slots.cpu
	hs.slots.release()
	hs.conn.loop.Post(func() { hs.finish(hs.conn, err) })
}

// shake does the handshake. Should crypto/tls panic at what it is sent, that
// costs one connection.
func (hs *handshake) shake() (err error) {
	defer func() {
		if r := recover(); r != nil {
			hs.conn.loop.log.Error("panic in TLS handshake", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	return hs.tls.Handshake()
}

// read blocks until the loop has fed bytes.
func (hs *handshake) read(b []byte) (int, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.silentLocked() {
		hs.await()
	}
	switch {
	case hs.aborted:
		return 0, ErrHandshakeAborted
	case len(hs.in) == 0:
		return 0, hs.over
	}
	n := copy(b, hs.in)
	hs.in = hs.in[n:]
	return n, nil
}

// silentLocked reports whether there is nothing to read yet.
func (hs *handshake) silentLocked() bool { return len(hs.in) == 0 && hs.over == nil && !hs.aborted }

// await waits for bytes and lets others compute meanwhile.
func (hs *handshake) await() {
	s := hs.slots
	if hs.since.IsZero() {
		hs.since = time.Now()
	}
	since, held := hs.since, hs.held
	hs.mu.Unlock()
	if held {
		hs.conn.loop.Post(func() { hs.letGo(hs.conn) })
	}
	<-s.cpu
	s.mu.Lock()
	s.silent[hs] = since // of the whole flight: bytes that trickle do not count
	s.mu.Unlock()

	hs.mu.Lock()
	for hs.silentLocked() {
		hs.wake.Wait()
	}
	hs.mu.Unlock()

	s.mu.Lock()
	delete(s.silent, hs)
	s.mu.Unlock()
	s.cpu <- struct{}{}
	hs.mu.Lock()
}

// write sends a flight. A socket that takes no few kilobytes is a client that
// does not read; the rest waits on the loop.
func (hs *handshake) write(b []byte) (int, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.aborted {
		return 0, ErrHandshakeAborted
	}
	hs.since = time.Time{}
	n, err := 0, error(nil)
	if !hs.behind {
		n, err = writeFD(hs.fd, b)
	}
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return n, err
	}
	if n < len(b) {
		hs.behind = true
		rest, c := append([]byte(nil), b[n:]...), hs.conn
		c.loop.Post(func() {
			if c.fd >= 0 {
				c.write(rest)
			}
		})
	}
	return len(b), nil
}

// abort makes the goroutine leave the descriptor alone and end.
func (hs *handshake) abort() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.aborted = true
	hs.in = nil // it may stand in line for a while yet
	hs.wake.Signal()
}

func (hs *handshake) isAborted() bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.aborted
}

// finish runs on the loop when the handshake has ended.
func (hs *handshake) finish(c *Conn, err error) {
	if c.fd < 0 || c.tls == nil || c.tls.hs != hs {
		return // closed meanwhile
	}
	if err != nil {
		hs.abort()
		c.tls = nil
		hs.done(err)
		c.Finish() // the alert must arrive
		return
	}
	t := c.tls
	t.hs, t.pipe.hs = nil, nil
	t.pipe.in = hs.in // the goroutine has ended
	if hs.held {      // the goroutine has ended
		c.mode &^= paused
	}
	c.mode &^= gotEOF // it is met again behind the bytes that came before it
	hs.done(nil)
	if c.fd >= 0 && c.tls == t {
		t.deliver(c)
		c.flushTLS()
		c.rewant()
	}
	if len(t.pipe.in) == 0 {
		t.pipe.in = nil
	}
}
