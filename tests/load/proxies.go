package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	startPatience = 10 * time.Second // from the start of a process to its greeting
	stopPatience  = 5 * time.Second  // from SIGTERM to SIGKILL
	firstPort     = 21000            // below Linux' range for outgoing connections
	lastPort      = 32000
)

// proxyKind is one kind of proxy that can be measured.
type proxyKind struct {
	name   string
	binary string
	hint   string // how to get the binary
	// write makes the configuration in dir and returns the command that runs
	// it in the foreground.
	write func(k proxyKind, dir string, s site) ([]string, error)
	// collect makes the process give back memory it does not use; nil is
	// nothing to do.
	collect func(k proxyKind, dir string) error
	// peer does for one of two peers what write does; nil is a kind that has
	// no peers.
	peer func(k proxyKind, dir string, v peerValues) ([]string, error)
}

// site is what a proxy stands in: its own ports and the server's.
type site struct {
	plain, tls int // ports of the proxy
	cert       string
	server     imapdAddrs
	limit      int // descriptors
}

// running is a started proxy. It is owned by the goroutine that started it.
type running struct {
	kind       proxyKind
	dir        string
	plain, tls string // addresses
	cmd        *exec.Cmd
	stdin      io.Closer // the light server ends when it is closed
	pids       []int
	exited     chan struct{}
}

// newSite finds ports for a server.
func newSite(cert string, limit int) (site, error) {
	s := site{cert: cert, limit: limit}
	var err error
	if s.plain, err = freePort(firstPort); err != nil {
		return s, err
	}
	s.tls, err = freePort(s.plain + 1)
	return s, err
}

// start runs a proxy in a folder of its own below root and waits until it
// greets on both ports and has all its processes.
func (k proxyKind) start(ctx context.Context, root string, s site) (*running, error) {
	dir, err := os.MkdirTemp(root, k.name+"-")
	if err != nil {
		return nil, err
	}
	argv, err := k.write(k, dir, s)
	if err != nil {
		return nil, fmt.Errorf("%s: configure: %w", k.name, err)
	}
	r := &running{kind: k, dir: dir, plain: loopback(s.plain), tls: loopback(s.tls), exited: make(chan struct{})}
	if err := r.launch(argv); err != nil {
		return nil, fmt.Errorf("%s: start: %w", k.name, err)
	}
	if err := r.await(ctx); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: start: %w%s", k.name, err, r.lastWords())
	}
	return r, nil
}

// launch starts the process. Its output goes to a file, read only if it fails.
func (r *running) launch(argv []string) error {
	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = r.dir, log, log
	// Ctrl-C goes to the driver alone, which then stops its processes in order.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.stdin, err = r.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	go r.wait()
	return nil
}

func (r *running) wait() {
	_ = r.cmd.Wait() // how it ended is seen from its log
	close(r.exited)
}

func (r *running) alive() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

func (r *running) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := r.greets()
		if err == nil {
			break
		}
		if !r.alive() {
			return errors.New("the process ended")
		}
		if ctx.Err() != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
	var err error
	r.pids, err = processTree(r.cmd.Process.Pid)
	return err
}

// greets logs in and out on both ports: the way to the server must be there.
func (r *running) greets() error {
	for _, t := range []target{{addr: r.plain}, {addr: r.tls, tls: clientTLS(nil)}} {
		c, err := openSession(context.Background(), t, 0, (*client).ready)
		if err != nil {
			return err
		}
		if err := c.sameTLS(); err != nil {
			return err
		}
		if err := c.logout(); err != nil {
			return err
		}
	}
	return nil
}

func (r *running) stop() {
	r.stdin.Close()
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.exited:
		return
	case <-time.After(stopPatience):
	}
	for _, pid := range append(r.pids, r.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-r.exited
}

// lastWords is the end of what the process printed.
func (r *running) lastWords() string {
	const most = 2000
	b, err := os.ReadFile(filepath.Join(r.dir, "log"))
	if err != nil || len(b) == 0 {
		return ""
	}
	return "; it said:\n" + string(b[max(0, len(b)-most):])
}

func (r *running) collect() error {
	if r.kind.collect == nil {
		return nil
	}
	return r.kind.collect(r.kind, r.dir)
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// freePort returns the first port from the given one on that nobody listens
// on. It stays below the ports that the kernel gives to outgoing connections,
// of which a benchmark has many.
func freePort(from int) (int, error) {
	for port := from; port <= lastPort; port++ {
		l, err := net.Listen("tcp4", loopback(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port from %d to %d", from, lastPort)
}
