package peers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// firstByte begins our streams. memberlist's begin with the type of a message,
// 0 to 13, or with 244 before a label.
const firstByte = 'i'

// Bounds of a connection that has not shown whose it is.
const (
	introWithin = 5 * time.Second // for the first byte, the handshake and the proof each
	maxMember   = 1 << 20         // bytes one of memberlist's delivers; memberlist would buffer 20 MiB from anybody
)

var errMuch = fmt.Errorf("peers: more than %d bytes on a connection of memberlist", maxMember)

// transport is memberlist's, but takes the connections that are ours out of
// its port. It is shared: any goroutine may call any method.
type transport struct {
	*memberlist.NetTransport
	streams chan net.Conn
	ours    func(conn net.Conn, proven func()) // serves and closes conn; calls proven when it has shown whose it is
	known   func(addr netip.Addr) bool         // is it a peer's?
	island  atomic.Bool                        // nothing goes out and no connection comes in: tests cut a process off
	gate    gate
	done    context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// newTransport listens. route has to be started.
func newTransport(cfg *memberlist.NetTransportConfig) (*transport, error) {
	tries := 1
	if cfg.BindPort == 0 {
		tries = 10 // the port found for TCP may be taken for UDP
	}
	var inner *memberlist.NetTransport
	var err error
	for ; tries > 0; tries-- {
		if inner, err = memberlist.NewNetTransport(cfg); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("peers: listening: %w", err)
	}
	t := &transport{
		NetTransport: inner,
		streams:      make(chan net.Conn),
		conns:        map[net.Conn]struct{}{},
	}
	t.done, t.stop = context.WithCancel(context.Background())
	return t, nil
}

// route deals out accepted connections until Shutdown.
func (t *transport) route() {
	defer t.wg.Done()
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			t.admit(conn)
		case <-t.done.Done():
			return
		}
	}
}

// admit keeps the connections that wait bounded.
func (t *transport) admit(raw net.Conn) {
	if t.island.Load() {
		_ = raw.Close()
		return
	}
	addr, source := sourceOf(raw.RemoteAddr())
	pass, ok := t.gate.enter(source, t.known(addr))
	if !ok {
		_ = raw.Close()
		return
	}
	conn := &counted{Conn: raw, t: t, pass: pass}
	if !t.note(conn) {
		_ = conn.Close()
		return
	}
	t.wg.Add(1)
	go t.peek(conn) // until the connection's end, or memberlist has it
}

// peek reads the first byte and hands the connection over.
func (t *transport) peek(conn *counted) {
	defer t.wg.Done()
	_ = conn.SetReadDeadline(time.Now().Add(introWithin))
	var first [1]byte
	if n, _ := conn.Conn.Read(first[:]); n != 1 {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if first[0] == firstByte {
		t.ours(conn, conn.free)
		return
	}
	conn.first, conn.peeked, conn.member = first[0], true, true
	select {
	case t.streams <- conn:
	case <-t.done.Done():
		_ = conn.Close()
	}
}

// note remembers a connection, so that Shutdown closes it; false after Shutdown.
func (t *transport) note(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done.Err() != nil {
		return false
	}
	t.conns[conn] = struct{}{}
	return true
}

func (t *transport) forget(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
}

// StreamCh has memberlist's connections.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout dials for memberlist; Shutdown ends it.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	raw, err := t.dial(addr, timeout)
	if err != nil {
		return nil, err
	}
	conn := &counted{Conn: raw, t: t, freed: true, member: true}
	if !t.note(conn) {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	return conn, nil
}

// dial makes a connection that nobody closes but the caller.
func (t *transport) dial(addr string, timeout time.Duration) (net.Conn, error) {
	if t.island.Load() {
		return nil, net.ErrClosed
	}
	d := net.Dialer{Timeout: timeout}
	return d.DialContext(t.done, "tcp", addr)
}

// WriteToAddress sends a packet.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.island.Load() {
		return time.Now(), nil
	}
	return t.NetTransport.WriteToAddress(b, a)
}

// DialAddressTimeout is DialTimeout.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown closes listeners and connections and waits for what serves them.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown() // its listeners need route until they end
	t.mu.Lock()
	t.stop()
	conns := t.conns
	t.conns = map[net.Conn]struct{}{}
	t.mu.Unlock()
	for conn := range conns {
		_ = conn.Close()
	}
	t.wg.Wait()
	return err
}

// counted is a connection that counts at the gate, and may have had its first byte
// read. It is owned by whoever reads it; Close and free are for any goroutine.
type counted struct {
	net.Conn
	t      *transport
	pass   ticket
	first  byte
	peeked bool
	member bool // memberlist's: it ends with an error after maxMember bytes
	read   int  // bytes delivered, if member

	mu    sync.Mutex // guards freed
	freed bool
}

func (c *counted) Read(b []byte) (n int, err error) {
	if c.member && len(b) > 0 {
		if c.read >= maxMember {
			return 0, errMuch
		}
		b = b[:min(len(b), maxMember-c.read)]
		defer func() { c.read += n }()
	}
	if c.peeked && len(b) > 0 {
		c.peeked = false
		b[0] = c.first
		return 1, nil
	}
	return c.Conn.Read(b)
}

// free has it count no more, once.
func (c *counted) free() {
	c.mu.Lock()
	freed := c.freed
	c.freed = true
	c.mu.Unlock()
	if !freed {
		c.t.gate.leave(c.pass)
	}
}

func (c *counted) Close() error {
	c.free()
	c.t.forget(c)
	return c.Conn.Close()
}
