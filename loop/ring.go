package loop

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of the queues of a ring, changed by tests only: submissions that wait
// for the next call (a full queue is handed over early) and completions of one
// call (the kernel keeps what is more on a list of its own).
var ringEntries, ringCQ uint32 = 512, 4096

// Sizes of a ring.
const (
	ringBufs    = 64          // buffers that the kernel receives into
	ringBufSize = 4 << 10     // what one of them holds; a receive that fills it is followed by plain ones
	ringSends   = 64          // sends of one call
	ringSendMax = 4<<10 + 512 // what one of them carries: a full buffer, encrypted
)

// ring is an io_uring(7) as one loop uses it. What is to be sent, awaited and
// closed is queued in memory, and one system call hands all of it over, takes
// what has happened meanwhile, and waits. A received line is in memory already
// when the call returns. Bulk is not its business: see Conn.readable.
//
// Between openRing and enable any goroutine may have it, from then on only the
// thread that called enable.
type ring struct {
	fd    int
	how   uintptr  // of a call that waits
	maps  [][]byte // what close unmaps
	tail  uint32   // of the submissions, as far as they are filled in
	batch []cqe    // completions that have been fetched and not yet served

	sqHead, sqTail, sqFlags *atomic.Uint32 // shared with the kernel
	cqHead, cqTail          *atomic.Uint32
	sqMask, cqMask          uint32
	sqes                    []sqe
	cqes                    []cqe

	bufs    []byte // ringBufs × ringBufSize
	entries []bufEntry
	bufTail uint16

	brief unix.Timespec
	out   []byte // ringSends × ringSendMax
	sends []send // of the next call
	word  uint64 // what the eventfd's read brings
}

// A send is bytes of a connection that the next call hands over.
type send struct {
	c   *Conn
	sqe *sqe
	n   int
}

// sqe and cqe are io_uring_sqe and io_uring_cqe, bufEntry is io_uring_buf of
// linux/io_uring.h.
type sqe struct {
	op     uint8
	flags  uint8
	ioprio uint16
	fd     int32
	off    uint64
	addr   uint64
	len    uint32
	opArg  uint32 // msg_flags, poll32_events
	user   uint64
	group  uint16
	_      uint16
	_      int32
	_      [2]uint64
}

type cqe struct {
	user  uint64
	res   int32 // or the negative errno
	flags uint32
}

type bufEntry struct {
	addr uint64
	len  uint32
	bid  uint16
	_    uint16 // of entry 0: the tail of the ring of buffers
}

// Numbers of linux/io_uring.h.
const (
	opPollAdd = 6
	opCancel  = 14
	opClose   = 19
	opRead    = 22
	opSend    = 26
	opRecv    = 27

	sqeBufferSelect = 1 << 5
	sqeSkipSuccess  = 1 << 6

	recvPollFirst = 1 << 0

	cqeBuffer   = 1 << 0
	cqeBufShift = 16

	setupCQSize       = 1 << 3
	setupDisabled     = 1 << 6
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	setupSubmitAll    = 1 << 7

	featSingleMmap = 1 << 0
	featNoDrop     = 1 << 1
	featExtArg     = 1 << 8
	featCQESkip    = 1 << 11
	featNoIowait   = 1 << 17

	registerEnable   = 12
	registerWorkers  = 19
	registerPbufRing = 22

	enterGetEvents = 1 << 0
	enterExtArg    = 1 << 3
	enterNoIowait  = 1 << 7
	sqCQOverflow   = 1 << 1

	offsetSQEs = 0x10000000
)

// ringParams is io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
	_                                                    [3]uint32
	sq                                                   struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

var errNoRing = errors.New("loop: this kernel's io_uring lacks what is needed (Linux 6.1)")

// openRing makes a ring that is not in use yet. It fails where the kernel is
// older than 6.1 and where a sandbox or the sysctl kernel.io_uring_disabled
// forbids it.
func openRing() (*ring, error) {
	one := uint16(1)
	if *(*byte)(unsafe.Pointer(&one)) == 0 {
		return nil, errNoRing // publish packs two fields as little-endian machines have them
	}
	p := ringParams{
		cqEntries: ringCQ,
		flags:     setupCQSize | setupDisabled | setupSubmitAll | setupSingleIssuer | setupDeferTaskrun,
	}
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(ringEntries), uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, fmt.Errorf("loop: io_uring_setup: %w", e)
	}
	unix.CloseOnExec(int(fd))
	r := &ring{fd: int(fd), how: enterGetEvents, brief: unix.NsecToTimespec(int64(briefWait))}
	if p.features&featNoIowait != 0 { // Linux 6.15; before it, an idle loop looks as if it waited for a disk
		r.how |= enterNoIowait
	}
	const need = featSingleMmap | featNoDrop | featExtArg | featCQESkip
	err := errNoRing
	if p.features&need == need {
		err = r.mapAll(&p)
	}
	if err == nil {
		err = r.addBuffers()
	}
	if err == nil {
		err = r.boundWorkers()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// mmap maps n bytes of the ring, or of nothing.
func (r *ring) mmap(fd int, off int64, n int) (unsafe.Pointer, error) {
	flags := unix.MAP_SHARED | unix.MAP_POPULATE
	if fd < 0 {
		flags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	}
	b, err := unix.Mmap(fd, off, n, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("loop: map io_uring: %w", err)
	}
	r.maps = append(r.maps, b)
	return unsafe.Pointer(unsafe.SliceData(b)), nil
}

func (r *ring) mapAll(p *ringParams) error {
	size := max(int(p.cq.cqes)+int(p.cqEntries)*int(unsafe.Sizeof(cqe{})), int(p.sq.array)+int(p.sqEntries)*4)
	base, err := r.mmap(r.fd, 0, size)
	if err != nil {
		return err
	}
	sqes, err := r.mmap(r.fd, offsetSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})))
	if err != nil {
		return err
	}
	at := func(off uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Add(base, off)) }
	r.sqHead, r.sqTail, r.sqFlags = at(p.sq.head), at(p.sq.tail), at(p.sq.flags)
	r.cqHead, r.cqTail = at(p.cq.head), at(p.cq.tail)
	r.sqMask, r.cqMask = at(p.sq.mask).Load(), at(p.cq.mask).Load()
	r.sqes = unsafe.Slice((*sqe)(sqes), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Add(base, p.cq.cqes)), p.cqEntries)
	for i := range p.sqEntries {
		at(p.sq.array + 4*i).Store(i)
	}
	return nil
}

// addBuffers makes what the kernel receives into, and what is sent from.
func (r *ring) addBuffers() error {
	const room = ringBufs*ringBufSize + ringSends*ringSendMax
	bufs, err := r.mmap(-1, 0, room)
	if err != nil {
		return err
	}
	all := unsafe.Slice((*byte)(bufs), room)
	r.bufs, r.out = all[:ringBufs*ringBufSize], all[ringBufs*ringBufSize:]
	entries, err := r.mmap(-1, 0, ringBufs*int(unsafe.Sizeof(bufEntry{})))
	if err != nil {
		return err
	}
	r.entries = unsafe.Slice((*bufEntry)(entries), ringBufs)
	for i := range uint16(ringBufs) {
		r.give(i)
	}
	r.publish()
	reg := struct { // io_uring_buf_reg
		addr    uint64
		entries uint32
		group   uint16
		flags   uint16
		_       [3]uint64
	}{addr: uint64(uintptr(entries)), entries: ringBufs}
	return r.register(registerPbufRing, unsafe.Pointer(&reg), 1)
}

// boundWorkers allows the kernel one thread for the ring. It hands a receive over
// to one, which then waits, when it was woken 127 times and found nothing.
func (r *ring) boundWorkers() error {
	return r.register(registerWorkers, unsafe.Pointer(&[2]uint32{1, 1}), 2)
}

func (r *ring) register(op uintptr, arg unsafe.Pointer, n uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), op, uintptr(arg), n, 0, 0)
	if e != 0 {
		return fmt.Errorf("loop: io_uring_register %d: %w", op, e)
	}
	return nil
}

// enable makes the ring the calling thread's.
func (r *ring) enable() error { return r.register(registerEnable, nil, 0) }

// close gives all back. What is still awaited ends some time after.
func (r *ring) close() {
	_ = unix.Close(r.fd) // there is nothing in it to lose
	for _, b := range r.maps {
		_ = unix.Munmap(b) // it was mapped
	}
	r.maps = nil
}

// give puts a buffer back, behind publish for the kernel to see.
func (r *ring) give(bid uint16) {
	b := &r.entries[r.bufTail%ringBufs]
	b.addr = uint64(uintptr(unsafe.Pointer(&r.bufs[int(bid)*ringBufSize])))
	b.len, b.bid = ringBufSize, bid
	r.bufTail++
}

// publish tells the tail, which lies in the last two bytes of entry 0.
func (r *ring) publish() {
	tail := (*atomic.Uint32)(unsafe.Add(unsafe.Pointer(&r.entries[0]), unsafe.Offsetof(bufEntry{}.bid)))
	tail.Store(uint32(r.bufTail)<<16 | uint32(r.entries[0].bid))
}

// buffer is what a completion brought.
func (r *ring) buffer(bid uint16, n int32) []byte {
	at := int(bid) * ringBufSize
	return r.bufs[at : at+int(n) : at+int(n)]
}

// full reports whether the queue of submissions has no room.
func (r *ring) full() bool { return r.tail-r.sqHead.Load() > r.sqMask }

// next is the next submission to be filled in. The queue must not be full.
func (r *ring) next(op uint8, fd int, user uint64) *sqe {
	s := &r.sqes[r.tail&r.sqMask]
	r.tail++
	*s = sqe{op: op, fd: int32(fd), user: user}
	return s
}

// briefWait is how long a loop waits before it tells Go's scheduler. A loop that
// is busy waits some 50 µs, and would lose its processor, and its thread would
// have to be handed another, thousands of times a second. So there should be more
// processors than loops; a garbage collection ends the wait by a signal.
const briefWait = 3 * time.Millisecond

// enter hands over what is queued and fetches what has happened into batch,
// after at least one thing has happened if wait is set. It returns early for a
// signal.
func (r *ring) enter(wait bool) error {
	r.sqTail.Store(r.tail)
	n := uintptr(r.tail - r.sqHead.Load())
	var e unix.Errno
	if wait {
		arg := struct{ mask, size, ts uint64 }{ts: uint64(uintptr(unsafe.Pointer(&r.brief)))} // io_uring_getevents_arg
		_, _, e = unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), n, 1, r.how|enterExtArg,
			uintptr(unsafe.Pointer(&arg)), unsafe.Sizeof(arg))
		if e == unix.ETIME && r.cqHead.Load() == r.cqTail.Load() {
			_, _, e = unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 1, r.how, 0, 0)
		}
	} else { // as for readFD: it comes straight back
		_, _, e = unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), n, 0, enterGetEvents, 0, 0)
	}
	r.fetch()
	// More has happened than fits. It must be fetched before anybody believes
	// that a send of which nothing is told has gone well.
	for r.sqFlags.Load()&sqCQOverflow != 0 {
		unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 0, 0, enterGetEvents, 0, 0)
		r.fetch()
	}
	switch e {
	case 0, unix.ETIME, unix.EINTR, unix.EAGAIN, unix.EBUSY: // the last two: short of memory, try again
		return nil
	}
	return fmt.Errorf("loop: io_uring_enter: %w", e)
}

func (r *ring) fetch() {
	head, tail := r.cqHead.Load(), r.cqTail.Load()
	for ; head != tail; head++ {
		r.batch = append(r.batch, r.cqes[head&r.cqMask])
	}
	r.cqHead.Store(head)
}
