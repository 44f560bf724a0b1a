package loop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListenAddresses(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	for _, tc := range []struct{ addr, proto, prefix string }{
		{"127.0.0.1:0", "tcpv4", "127.0.0.1:"},
		{"0.0.0.0:0", "tcpv4", "0.0.0.0:"},
		{"[::1]:0", "tcpv6", "[::1]:"},
		{":0", "tcpv6", "[::]:"},
		{"unix:" + path, "unix", "unix:" + path},
	} {
		ln, err := Listen(t.Context(), tc.addr, &SocketConfig{})
		if err != nil {
			t.Errorf("Listen(%q): %v", tc.addr, err)
			continue
		}
		if ln.Proto() != tc.proto || !strings.HasPrefix(ln.Addr(), tc.prefix) {
			t.Errorf("Listen(%q) is %s %s, want %s %s…", tc.addr, ln.Proto(), ln.Addr(), tc.proto, tc.prefix)
		}
		ln.Close()
	}
	for _, addr := range []string{"nowhere", "127.0.0.1:99999", "unix:/nonexistent/s"} {
		if ln, err := Listen(t.Context(), addr, &SocketConfig{}); err == nil {
			t.Errorf("Listen(%q) = %s, want an error", addr, ln.Addr())
			ln.Close()
		} else if !strings.HasPrefix(err.Error(), "loop: ") {
			t.Errorf("Listen(%q): %q does not begin with the package", addr, err)
		}
	}
}

// TestUnixPathIsTakenOver when nobody listens there any more, and only then.
func TestUnixPathIsTakenOver(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	path := filepath.Join(t.TempDir(), "s")
	old, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path, &SocketConfig{}); err == nil {
		t.Fatal("took a path on which another listens")
	}
	old.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = old.Close()
	ln, err := Listen(t.Context(), "unix:"+path, &SocketConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Start(g, accepts(with(echo(new(atomic.Int64), nil)))); err != nil {
		t.Fatal(err)
	}
	c := dial(t, ln)
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	ln.Close()
	ln.Close()
	if _, err := os.Lstat(path); err == nil {
		t.Error("the path is still there behind Close")
	}
	mustWrite(t, c, "the connection lives on")
	mustRead(t, c, "the connection lives on")
}

func TestUnixPathOfAFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path, &SocketConfig{}); err == nil {
		t.Error("listens on a file")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("the file is gone")
	}
}

// TestAcceptSpreads connections over the loops and tells each its client.
func TestAcceptSpreads(t *testing.T) {
	t.Parallel()
	const n = 40
	g := group(t, 4)
	from := make(chan netip.AddrPort, n)
	a := accepts(func(c *Conn, f netip.AddrPort) Handler {
		if local := c.LocalAddr(); local.Addr() != f.Addr() {
			t.Errorf("local address %v, want that of loopback", local)
		}
		from <- f
		return new(script)
	})
	ln := serve(t, g, "tcp", a)
	want := make(map[string]bool)
	for range n {
		want[dial(t, ln).LocalAddr().String()] = true
	}
	for range n {
		if f := wait(t, from, "a connection").String(); !want[f] {
			t.Errorf("accepted from %s, which is nobody", f)
		}
	}
	if a.opened.Load() != n || conns(g) != n {
		t.Errorf("Opened %d times, %d connections; want %d", a.opened.Load(), conns(g), n)
	}
	for _, l := range g.Loops {
		if l.Conns() < n/4/2 {
			t.Errorf("loop %d has %d of %d connections", l.ID, l.Conns(), n)
		}
	}
}

func TestAcceptedMayRefuse(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	ln := serve(t, g, "tcp", accepts(func(*Conn, netip.AddrPort) Handler { return nil }))
	if got := readAll(t, dial(t, ln)); got != "" {
		t.Errorf("read %q, want the end", got)
	}
	eventually(t, "no connection is left", func() bool { return conns(g) == 0 })
}

func TestAdmitPausesUntilResume(t *testing.T) {
	t.Parallel()
	g := group(t, 2)
	var limit atomic.Int64
	limit.Store(2)
	asked := make(chan bool, 100)
	a := accepts(with(echo(new(atomic.Int64), nil)))
	a.admit = func() bool {
		ok := a.opened.Load() < limit.Load()
		asked <- ok
		return ok
	}
	ln := serve(t, g, "tcp", a)
	var cs []net.Conn
	for range 5 {
		cs = append(cs, dial(t, ln)) // the kernel takes them all
	}
	for wait(t, asked, "Admit") {
	}
	for _, c := range cs[:2] {
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	none(t, asked, "a question though the listener is paused")
	ln.Resume() // nothing has changed: asks once and rests again
	if wait(t, asked, "Admit") {
		t.Error("admitted over the limit")
	}
	limit.Store(4)
	ln.Resume()
	for wait(t, asked, "Admit") {
	}
	for _, c := range cs[2:4] {
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
	}
	if n := a.opened.Load(); n != 4 {
		t.Errorf("accepted %d, want 4", n)
	}
}

// child runs the test of that name in a process of its own, and returns its
// standard input and output. In the child it returns nil.
func child(t *testing.T) (io.WriteCloser, *bufio.Reader) {
	t.Helper()
	if os.Getenv("LOOP_TEST_CHILD") != "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patient) // t's own is over before the clean-up
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "LOOP_TEST_CHILD="+string(poller))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		rest, _ := io.ReadAll(out)
		if err := cmd.Wait(); err != nil {
			lines := strings.SplitAfterN(string(rest)+stderr.String(), "\n", 20)
			t.Errorf("the child: %v\n%s", err, strings.Join(lines[:len(lines)-1], ""))
		}
	})
	return in, bufio.NewReader(out)
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(s, "\n")
}

func openFiles(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d) - 1 // without the directory itself
}

// TestExhausted runs out of descriptors in a process of its own.
func TestExhausted(t *testing.T) {
	t.Parallel()
	const room = 5
	if _, out := child(t); out != nil {
		clientsOfExhausted(t, line(t, out), room)
		return
	}
	var told atomic.Int64
	a := accepts(with(&script{
		data: func(c *Conn, p []byte) { c.Write(p) },
		eof:  func(c *Conn) { c.Close() },
	}))
	a.exhausted = func(err error) []byte {
		if !IsExhausted(err) {
			t.Errorf("Exhausted(%v)", err)
		}
		told.Add(1)
		return []byte("* BYE full\r\n")
	}
	ln := serve(t, group(t, 2), "tcp", a)
	limit := unix.Rlimit{Cur: uint64(openFiles(t) + room), Max: uint64(openFiles(t) + room)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println(ln.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has seen enough
	if told.Load() == 0 {
		t.Error("Exhausted was never called")
	}
}

func clientsOfExhausted(t *testing.T, addr string, room int) {
	connect := func() net.Conn {
		c, err := net.DialTimeout("tcp", addr, patient)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patient))
		return c
	}
	var good []net.Conn
	for {
		c := connect()
		mustWrite(t, c, "x")
		b := make([]byte, 1)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		if b[0] == '*' {
			mustRead(t, c, " BYE full\r\n")
			break
		}
		// The limit is on the numbers of descriptors, of which some below it
		// may be free.
		if good = append(good, c); len(good) > 4*room {
			t.Fatalf("%d connections where %d descriptors were left", len(good), room)
		}
	}
	if len(good) == 0 {
		t.Fatal("refused the first connection")
	}
	for _, c := range good { // the loops go on
		mustWrite(t, c, "y")
		mustRead(t, c, "y")
	}
	_ = good[0].Close()
	// The one that left makes room; until the loop has seen it, clients are
	// still refused.
	eventually(t, "a client is taken again", func() bool {
		c := connect()
		defer c.Close() //nolint:errcheck // a test's client
		mustWrite(t, c, "z")
		b := make([]byte, 1)
		_, err := io.ReadFull(c, b)
		return err == nil && b[0] == 'z'
	})
}

// TestResetBeforeAccept: a client that is gone before it was accepted, as port
// scanners are, costs nothing, though the acceptor speaks first.
func TestResetBeforeAccept(t *testing.T) {
	t.Parallel()
	if _, out := child(t); out != nil {
		_ = line(t, out)
		return
	}
	ln, err := Listen(t.Context(), "127.0.0.1:0", &SocketConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c := dial(t, ln)
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	g := group(t, 1)
	accepted := make(chan bool, 3)
	h := new(script)
	err = ln.Start(g, accepts(func(c *Conn, _ netip.AddrPort) Handler {
		accepted <- true
		c.Write([]byte("* OK ready\r\n"))
		return h
	}))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wait(t, accepted, "the connection that is gone")
	}
	eventually(t, "no connection is left", func() bool { return conns(g) == 0 })
	mustRead(t, dial(t, ln), "* OK ready\r\n")
	fmt.Println("alive")
}

// TestAcceptorPanics: a fault in the acceptor costs the connection it met.
func TestAcceptorPanics(t *testing.T) {
	t.Parallel()
	if _, out := child(t); out != nil {
		_ = line(t, out)
		return
	}
	g := groupExpecting(t, 1, "this acceptor fails")
	var calls atomic.Int64
	ln := serve(t, g, "tcp", accepts(func(*Conn, netip.AddrPort) Handler {
		if calls.Add(1) == 1 {
			panic("this acceptor fails")
		}
		return echo(new(atomic.Int64), nil)
	}))
	first := dial(t, ln)
	_, _ = first.Read(make([]byte, 1)) // ends by our end or a reset
	c := dial(t, ln)
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	fmt.Println("alive")
}

// TestClosedPanics: the handler that has failed may well fail again when it is
// told that its connection is closed.
func TestClosedPanics(t *testing.T) {
	t.Parallel()
	if _, out := child(t); out != nil {
		_ = line(t, out)
		return
	}
	g := groupExpecting(t, 1, "this handler fails")
	h := &script{
		data:   func(*Conn, []byte) { panic("this handler fails") },
		closed: func(*Conn, error) { panic("this handler fails again") },
	}
	bad := dial(t, serve(t, g, "tcp", accepts(with(h))))
	mustWrite(t, bad, "x")
	_, _ = bad.Read(make([]byte, 1)) // ends by our end or a reset
	c := dial(t, serve(t, g, "tcp", accepts(with(echo(new(atomic.Int64), nil)))))
	mustWrite(t, c, "x")
	mustRead(t, c, "x")
	fmt.Println("alive")
}
