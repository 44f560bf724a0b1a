package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// TestSoak has clients come and go in all manners for as long as IMAPLB_SOAK
// says, such as 3m, with each poller. No byte may go astray, nobody wait in
// vain, and nothing be left behind.
//
//	IMAPLB_SOAK=3m go test -race -run TestSoak -v -timeout 20m ./loop
func TestSoak(t *testing.T) {
	if os.Getenv("IMAPLB_SOAK") == "" {
		t.Skip("IMAPLB_SOAK does not say for how long")
	}
	long, err := time.ParseDuration(os.Getenv("IMAPLB_SOAK"))
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, poller %s", seed, poller)
	target(t, "tcp") // wakes the runtime's own poller
	server, client := tlsConfigs(t, tls.VersionTLS13)
	g := group(t, 2)
	slots, dialSlots := NewHandshakes(100, 2), NewHandshakes(100, 2) // of one number they would wait for each other
	defer slots.Close()
	defer dialSlots.Close()
	k := &soak{t: t, tls: client}
	k.serve(g, server, slots, dialSlots)
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	var clients sync.WaitGroup
	end := time.Now().Add(long)
	for i := range uint64(32) {
		r := rand.New(rand.NewPCG(seed, i))
		clients.Go(func() { // ends with the time
			for time.Now().Before(end) && !t.Failed() {
				k.visit(r)
			}
		})
	}
	half := time.AfterFunc(long/2, func() { k.heap.Store(heapInUse()) })
	defer half.Stop()
	clients.Wait()
	eventually(t, "all connections are closed", func() bool { return conns(g) == 0 })
	eventually(t, "no slot is taken", func() bool { return slots.Running()+dialSlots.Running() == 0 })
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "the descriptors are closed", func() bool { return openFiles(t) <= files })
	nothingLeft(t, g)
	t.Logf("%d visits, %d whole echoes; heap %d KiB at half time, %d KiB in the end", k.visits.Load(), k.whole.Load(), k.heap.Load()>>10, heapInUse()>>10)
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// nothingLeft looks for what closed connections may have left behind.
func nothingLeft(t *testing.T, g *Group) {
	t.Helper()
	eventually(t, "nothing is awaited any more", func() bool {
		n := 0
		for _, l := range g.Loops {
			l.Do(func() { n += awaited(t, l) })
		}
		return n == 0
	})
	for _, l := range g.Loops {
		l.Do(func() { checkEmpty(t, l) })
	}
}

// awaited is what a ring still does for others than its listeners.
func awaited(t *testing.T, l *Loop) int {
	if l.ring == nil {
		return 0
	}
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", l.ring.fd))
	if err != nil {
		t.Error(err)
	}
	of := func(op int) int { return strings.Count(string(info), fmt.Sprintf("op=%d,", op)) }
	return of(opRecv) + max(0, of(opPollAdd)-len(l.listeners))
}

func checkEmpty(t *testing.T, l *Loop) {
	l.conns.each(func(*Conn) { t.Error("a connection is in the table") })
	for i := range l.wheel.slots {
		if s := &l.wheel.slots[i]; s.next != s {
			t.Error("a timer is set")
		}
	}
	if len(l.kept) > 0 || len(l.out) > 0 || l.bulk {
		t.Errorf("kept %d, out %d, bulk %t", len(l.kept), len(l.out), l.bulk)
	}
	if l.ring == nil {
		return
	}
	l.ring.publish()
	status := struct{ group, head, _, _, _, _, _, _, _, _ uint32 }{} // io_uring_buf_status, Linux 6.8
	if err := l.ring.register(26, unsafe.Pointer(&status), 1); err != nil {
		t.Logf("buffers not counted: %v", err)
		return
	}
	// What has come with the turn that this is in is not served yet.
	with := 0
	for _, e := range l.ring.batch {
		if e.flags&cqeBuffer != 0 {
			with++
		}
	}
	if n := int(l.ring.bufTail-uint16(status.head)) + with; n != ringBufs {
		t.Errorf("%d buffers are there, want %d", n, ringBufs)
	}
}

// soak is the clients' side of TestSoak.
type soak struct {
	t     *testing.T
	tls   *tls.Config
	doors []soakDoor

	visits, whole, heap atomic.Int64
}

type soakDoor struct {
	ln     *Listener
	secure bool
}

// serve opens servers of each kind, and relays to each.
func (k *soak) serve(g *Group, server *tls.Config, slots, dialSlots *Handshakes) {
	for i, network := range []string{"tcp", "unix", "tcp"} {
		secure := i == 2
		direct := serve(k.t, g, network, accepts(func(c *Conn, _ netip.AddrPort) Handler {
			s := &soakServer{}
			s.accepted(c)
			if secure {
				c.StartServerTLS(server, slots, func(err error) {
					if err != nil {
						c.Loop().StopTimer(&s.timer)
					}
				})
			}
			return s
		}))
		to, err := Resolve(k.t.Context(), direct.Addr())
		if err != nil {
			k.t.Fatal(err)
		}
		relayed := serve(k.t, g, network, accepts(func(c *Conn, _ netip.AddrPort) Handler {
			if secure {
				return relayTo(to, c, k.tls, dialSlots)
			}
			return relayTo(to, c, nil, nil)
		}))
		k.doors = append(k.doors, soakDoor{direct, secure}, soakDoor{relayed, false})
	}
}

// visit is one client.
func (k *soak) visit(r *rand.Rand) {
	door := k.doors[r.IntN(len(k.doors))]
	if r.IntN(3) > 0 { // TLS takes most of the time
		door = k.doors[r.IntN(4)]
	}
	network, addr := "tcp", door.ln.Addr()
	if door.ln.Proto() == "unix" {
		network, addr = "unix", addr[len("unix:"):]
	}
	raw, err := net.Dial(network, addr)
	if err != nil {
		k.t.Errorf("dial: %v", err)
		return
	}
	defer raw.Close() //nolint:errcheck // a client's
	k.visits.Add(1)
	_ = raw.SetDeadline(time.Now().Add(6 * patient)) // passes only if the test fails
	if r.IntN(4) == 0 {
		if tcp, ok := raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // leaves with a reset
		}
	}
	if r.IntN(20) == 0 { // leaves at once, or in the middle of a hello
		_, _ = raw.Write(clientHello(k.t)[:r.IntN(100)])
		return
	}
	c := raw.(halfCloser)
	if door.secure {
		s := tls.Client(raw, k.tls)
		if err := s.Handshake(); err != nil {
			k.t.Errorf("handshake: %v", err)
			return
		}
		c = s
	}
	k.talk(c, r)
}

// halfCloser is a connection of which one side can be ended.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// talk says something that begins with what the server is to do with it.
func (k *soak) talk(c halfCloser, r *rand.Rand) {
	how := r.IntN(soakHow + 4) // echoes are the rule
	if how >= soakHow {
		how %= 2
	}
	say := noise(r.Uint64(), 2+r.IntN(3000))
	if r.IntN(5) == 0 {
		say = noise(r.Uint64(), 1+r.IntN(300_000))
	}
	say[0] = byte(how)
	faithful := how == soakEcho || how == soakLazy
	var err error
	switch r.IntN(5) {
	case 0: // leaves without having read
		_, _ = c.Write(say)
		time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		return
	case 1: // leaves in the middle
		_, _ = c.Write(say)
		_, err = io.ReadFull(c, make([]byte, 1+r.IntN(len(say))))
		if err != nil && faithful {
			k.t.Errorf("%s: read: %v", manners(how, len(say)), err)
		}
		return
	case 2: // line by line
		for part := range bytes.SplitSeq(say[:min(len(say), 1000)], []byte{1}) {
			part = append(bytes.Clone(part), byte(how))
			if len(part) > 1 {
				part[0] = byte(how)
			}
			if _, err = c.Write(part); err != nil {
				break
			}
			got := make([]byte, len(part))
			if _, err = io.ReadFull(c, got); err != nil {
				break
			}
			if how < soakHalf && !bytes.Equal(got, part) {
				k.t.Errorf("%s: not its own words came back", manners(how, len(say)))
			}
		}
		if err != nil && faithful {
			k.t.Errorf("%s: line by line: %v", manners(how, len(say)), err)
		}
		return
	}
	k.exchange(c, say, how, faithful)
}

func manners(how, n int) string { return fmt.Sprintf("server %d, %d bytes", how, n) }

// exchange reads while it writes, and ends its side.
func (k *soak) exchange(c halfCloser, say []byte, how int, faithful bool) {
	sent := make(chan error, 1)
	go func() { // ends at the deadline at the latest
		_, err := c.Write(say)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	got, err := io.ReadAll(c)
	if !faithful {
		_ = c.SetDeadline(time.Now()) // the server listens no more
	}
	err = errors.Join(err, <-sent)
	switch {
	case faithful && (err != nil || !bytes.Equal(got, say)):
		k.t.Errorf("%s: %d came back, %v", manners(how, len(say)), len(got), err)
	case faithful:
		k.whole.Add(1)
	case how < soakHalf && !bytes.HasPrefix(say, got):
		k.t.Errorf("%s: %d came back that were not sent", manners(how, len(say)), len(got))
	}
}
