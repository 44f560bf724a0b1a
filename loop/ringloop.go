package loop

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a loop serves its descriptors through a ring. Each is awaited once at a
// time: a completion disarms it, and whoever changed the connection arms it
// again, as its state wants. A loop that has no ring is woken by gnet's poller
// instead, and does the same with read(2) and write(2).

// What a completion is of. It is told by the top byte of its user data; below
// it are the generation of the descriptor and the descriptor.
const (
	ofNothing = iota
	ofRecv
	ofReadable
	ofWritable
	ofListener
	ofWake
	ofSend // below: its place in ring.sends
)

func tag(of uint64, gen uint32, fd int) uint64 {
	return of<<56 | uint64(gen&0xffffff)<<32 | uint64(uint32(fd))
}

// runRing serves until Stop, or until the ring fails. The ring belongs to the
// thread.
func (l *Loop) runRing() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r := l.ring
	if l.broken = r.enable(); l.broken == nil {
		l.awaitWake()
	}
	for l.broken == nil && !l.posts.isEnded() {
		l.handOver(l.posts.sleep() && len(r.batch) == 0)
		l.posts.sleeping.Store(false)
		// What is handed over meanwhile may bring more: that has to wait for
		// the tasks.
		n := len(r.batch)
		for i := range n {
			l.complete(r.batch[i])
		}
		r.batch = r.batch[:copy(r.batch, r.batch[n:])]
		r.publish()
		l.posts.run(l.task)
	}
	if l.broken != nil {
		l.fail(l.broken)
	}
	l.posts.end() // also behind an error: nobody runs them any more
	l.closeAll()
	l.reap()
}

// one is what is written to an eventfd.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// wake ends the wait of the loop.
func (l *Loop) wake() {
	_, _ = unix.Write(l.wakeFD, one) // it cannot fail
}

func (l *Loop) awaitWake() {
	s := l.submission(opRead, l.wakeFD, tag(ofWake, 0, l.wakeFD))
	s.addr, s.len, s.off = uint64(uintptr(unsafe.Pointer(&l.ring.word))), 8, ^uint64(0)
}

// submission is the next one to be filled in.
func (l *Loop) submission(op uint8, fd int, user uint64) *sqe {
	for l.ring.full() && l.submit() { // what is refused may fill the queue again
	}
	return l.ring.next(op, fd, user)
}

// handOver hands over all that is queued, and fetches what has happened, after
// at least one thing has if wait is set. Behind it what was written is with
// the kernel, or pending. It reports whether that went well; a ring that fails
// is not asked again.
func (l *Loop) handOver(wait bool) bool {
	r := l.ring
	from := len(r.batch)
	for again := l.broken == nil; again; again = l.broken == nil && r.sqHead.Load() != r.tail {
		l.broken = r.enter(wait)
		wait = false
	}
	if l.broken != nil {
		return false
	}
	l.settle(from)
	return true
}

// submit is handOver while the loop is busy with something else.
func (l *Loop) submit() bool { return l.handOver(false) }

// settle finds what became of the sends that were handed over. Of one that went
// well nothing is told. They were tried when they were handed over, so what is
// told of them is in the batch.
func (l *Loop) settle(from int) {
	r := l.ring
	sends := r.sends
	r.sends = r.sends[:0]
	for i := range sends {
		sends[i].c.send = 0
	}
	for i := from; i < len(r.batch); i++ {
		e := r.batch[i]
		if e.user>>56 != ofSend {
			continue
		}
		r.batch[i].user = ofNothing
		s := &sends[uint32(e.user)]
		at := int(uint32(e.user)) * ringSendMax
		l.unsent(s.c, r.out[at:at+s.n], e.res) // may hand over again, but sends nothing
	}
	clear(sends)
}

// settleAll makes Pending tell of all that was written up to now.
func (l *Loop) settleAll() {
	if l.ring != nil && len(l.ring.sends) > 0 {
		l.submit()
	}
}

// unsent keeps what the socket did not take.
func (l *Loop) unsent(c *Conn, b []byte, res int32) {
	switch err := unix.Errno(-res); {
	case c.fd < 0:
	case res >= 0:
		c.keep(b[res:])
	case err == unix.EAGAIN || err == unix.EINTR:
		c.keep(b)
	default:
		// Not now: somebody else's Write may be under way.
		l.Post(func() { c.fail(err) })
	}
}

// enqueue takes bytes to be sent with the next call, if they are few.
func (l *Loop) enqueue(c *Conn, p []byte) bool {
	r := l.ring
	if c.send != 0 {
		i := int(c.send) - 1
		if s := &r.sends[i]; !l.bulk && s.n+len(p) <= ringSendMax {
			s.n += copy(r.out[i*ringSendMax+s.n:], p)
			s.sqe.len = uint32(s.n)
			return true
		}
		l.submit()
		if c.out != nil {
			c.out.b = append(c.out.b, p...)
			return true
		}
	}
	if l.bulk || len(p) > ringSendMax {
		return false
	}
	for len(r.sends) == ringSends || r.full() {
		if !l.submit() {
			return false
		}
	}
	i := len(r.sends)
	at := i * ringSendMax
	s := r.next(opSend, c.FD(), tag(ofSend, 0, i))
	s.flags = sqeSkipSuccess
	s.addr, s.len = uint64(uintptr(unsafe.Pointer(&r.out[at]))), uint32(copy(r.out[at:], p))
	// WAITALL makes a send that was taken in part a failure, which is told.
	s.opArg = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL | unix.MSG_WAITALL
	r.sends = append(r.sends, send{c: c, sqe: s, n: len(p)})
	c.send = uint8(i + 1)
	return true
}

// flush makes sure that what was written is with the kernel, or pending,
// before something happens to the connection that must not overtake it.
func (c *Conn) flush() {
	if c.send != 0 {
		c.loop.submit()
	}
}

// await arms what w wants and is not armed. What is armed and not wanted stays
// so, and is kept when it comes. It is noted first: a full queue is handed over,
// which may find that the connection's own bytes were refused, and come here.
func (c *Conn) await(w interest) {
	l, fd := c.loop, c.FD()
	switch {
	case w&wantRead == 0, c.has&wantRead != 0, c.mode&connecting != 0:
	case l.isKept(c):
		l.Post(c.deliverKept)
	case c.mode&much != 0:
		c.has |= wantRead
		l.submission(opPollAdd, fd, tag(ofReadable, l.conns.gen(fd), fd)).opArg = unix.POLLIN
	default:
		c.has |= wantRead
		s := l.submission(opRecv, fd, tag(ofRecv, l.conns.gen(fd), fd))
		s.flags, s.ioprio = sqeBufferSelect, recvPollFirst
	}
	if w&wantWrite != 0 && c.has&wantWrite == 0 {
		c.has |= wantWrite
		l.submission(opPollAdd, fd, tag(ofWritable, l.conns.gen(fd), fd)).opArg = unix.POLLOUT
	}
}

// closeSoon closes a descriptor behind what was written, and ends what is
// awaited, which would hold the socket open. A receive ends when the socket
// receives no more: the kernel would look for one that is to be cancelled among
// all that are under way, a 128th of them at each close.
func (l *Loop) closeSoon(fd int, gen uint32, has interest) {
	if l.broken != nil { // it closes nothing any more, and lets go of nothing before its own end
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		_ = unix.Close(fd)
		return
	}
	if has&wantRead != 0 {
		_ = unix.Shutdown(fd, unix.SHUT_RD) // of a socket that is not connected it ends, too
	}
	if has&wantWrite != 0 {
		s := l.submission(opCancel, -1, ofNothing)
		s.addr, s.flags = tag(ofWritable, gen, fd), sqeSkipSuccess
	}
	l.submission(opClose, fd, ofNothing).flags = sqeSkipSuccess
}

// freed closes what is queued to be closed, when there is no descriptor left,
// and reports whether it is worth to ask for one again.
func (l *Loop) freed() bool {
	if l.ring == nil || l.ring.tail == l.ring.sqHead.Load() {
		return false
	}
	l.submit()
	return true
}

// reap waits until nothing is under way any more into memory of the loop.
func (l *Loop) reap() {
	r := l.ring
	for l.submit(); len(r.batch) > 0; l.submit() {
		r.batch = r.batch[:0]
	}
}

// complete serves one completion. One that came for a descriptor that has been
// closed meanwhile, or for the one before it of the same number, is let go.
func (l *Loop) complete(e cqe) {
	if e.flags&cqeBuffer != 0 {
		defer l.ring.give(uint16(e.flags >> cqeBufShift))
	}
	fd := int(uint32(e.user))
	gen := uint32(e.user>>32) & 0xffffff
	switch e.user >> 56 {
	case ofWake:
		l.awaitWake()
	case ofListener:
		if ln := l.listeners[fd]; ln != nil && ln.gen&0xffffff == gen {
			defer func() { _ = ln.await() }() // with a ring it cannot fail
			defer l.caught(nil)
			ln.armed = false
			ln.accept()
		}
	case ofRecv, ofReadable, ofWritable:
		c := l.conns.get(fd)
		if c == nil || l.conns.gen(fd)&0xffffff != gen {
			return
		}
		defer l.caught(c)
		switch e.user >> 56 {
		case ofRecv:
			c.has &^= wantRead
			c.arrived(e)
		case ofReadable:
			c.has &^= wantRead
			c.readBulk()
		default:
			c.has &^= wantWrite
			c.writable()
		}
		c.rewant()
	}
}

// arrived takes what a receive brought.
func (c *Conn) arrived(e cqe) {
	switch err := unix.Errno(-e.res); {
	case e.res > 0:
		p := c.loop.ring.buffer(uint16(e.flags>>cqeBufShift), e.res)
		if c.mode&(paused|gotEOF) != 0 {
			c.loop.kept[c] = append([]byte(nil), p...)
			return
		}
		if len(p) < ringBufSize {
			c.received(p)
			return
		}
		// It is the beginning of much: who passes it on has to learn at once
		// what the other side does not take.
		c.mode |= much
		c.loop.bulk = true
		c.received(p)
		c.loop.bulk = false
		if c.fd >= 0 {
			c.readBulk()
		}
	case c.mode&(paused|gotEOF) != 0 && e.res == 0:
		// It is met again when the connection is resumed.
	case e.res == 0:
		c.eof()
	case err == unix.ENOBUFS: // others have used all buffers in this turn
		c.readBulk()
	case err == unix.EAGAIN || err == unix.EINTR || err == unix.ECANCELED:
	default:
		c.broken(err)
	}
}

// readBulk reads as with epoll. What is passed on is written at once, so that
// Pending, which an end behind the last bytes asks for, tells of them.
func (c *Conn) readBulk() {
	c.loop.bulk = true
	c.readable()
	c.loop.bulk = false
}

// isKept reports whether bytes wait that came while the connection was paused.
func (l *Loop) isKept(c *Conn) bool {
	if len(l.kept) == 0 {
		return false
	}
	_, ok := l.kept[c]
	return ok
}

// deliverKept hands them over once the connection is resumed.
func (c *Conn) deliverKept() {
	defer c.loop.caught(c)
	p, ok := c.loop.kept[c]
	if c.fd < 0 || !ok || c.mode&paused != 0 {
		return
	}
	delete(c.loop.kept, c)
	c.received(p)
	c.rewant()
}
