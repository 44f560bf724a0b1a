package loop

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// urge sends bytes as urgent ones, one by one.
func urge(t *testing.T, c net.Conn, s string) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for i := range s {
			if err := unix.Send(int(fd), []byte(s[i:i+1]), unix.MSG_OOB); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestUrgentBytes are bytes like others. If they were not, each would wake a
// receive of a ring for nothing, and the kernel gives a receive that was woken
// so often a thread of its own.
func TestUrgentBytes(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	c := dial(t, serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil)))))
	urge(t, c, "help")
	mustRead(t, c, "help")

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's listener
	got := make(chan byte, 10)
	h := &script{data: func(_ *Conn, p []byte) {
		for _, b := range p {
			got <- b
		}
	}}
	g.Loops[0].Do(func() {
		to := AddrFrom(ln.Addr().(*net.TCPAddr).AddrPort())
		if _, err := g.Loops[0].Dial(to, netip.Addr{}, &SocketConfig{}, h); err != nil {
			t.Error(err)
		}
	})
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // a test's server
	urge(t, s, "help")
	for _, want := range []byte("help") {
		if b := wait(t, got, "an urgent byte"); b != want {
			t.Errorf("got %q, want %q", b, want)
		}
	}
}

// TestOneKernelThread: the kernel may not have more for a loop.
func TestOneKernelThread(t *testing.T) {
	t.Parallel()
	l := group(t, 1).Loops[0]
	l.Do(func() {
		if l.ring == nil {
			return
		}
		var is [2]uint32 // zero asks
		if err := l.ring.register(registerWorkers, unsafe.Pointer(&is), 2); err != nil || is != [2]uint32{1, 1} {
			t.Errorf("threads of the kernel: %d, %v; want 1 and 1", is, err)
		}
	})
}
