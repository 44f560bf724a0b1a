package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spoilBySignal makes a poller of a loop fail at SIGUSR1: another file takes its
// place.
func spoilBySignal() {
	if _, _, err := os.Pipe(); err != nil { // wakes the runtime's own poller
		panic(err)
	}
	own := pollers() // before there are others
	null, err := os.Open(os.DevNull)
	if err != nil {
		panic(err)
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() { <-c; spoil(own, null) }() // ends with the process
}

// spoil puts null in the place of a poller that is none of own.
func spoil(own map[int]bool, null *os.File) {
	for fd := range pollers() {
		if own[fd] {
			continue
		}
		if err := syscall.Dup3(int(null.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			panic(err)
		}
		return
	}
	panic("there is no poller")
}

// pollers are the descriptors of this process that are an epoll or an io_uring.
func pollers() map[int]bool {
	all := map[int]bool{}
	list, _ := os.ReadDir("/proc/self/fd")
	for _, e := range list {
		name, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if fd, err := strconv.Atoi(e.Name()); err == nil && (name == "anon_inode:[eventpoll]" || name == "anon_inode:[io_uring]") {
			all[fd] = true
		}
	}
	return all
}

// peer is an imaplb of a test, a process of its own.
type peer struct {
	dir, name string
	cmd       *exec.Cmd
	ended     chan error
}

const peerConfig = `[global]
state_dir = "state"
threads = 2
poller = %q
[stats]
socket = "sock"
[peers]
name = %q
bind = "127.0.0.1:%d"
join = ["127.0.0.1:%d", "127.0.0.1:%d"]
[stick_table.users]
[frontend.imap]
bind = ["unix:imap"]
tls = "none"
backend = "mail"
[backend.mail]
stick_table = "users"
check = { kind = "none" }
[backend.mail.server.m1]
addr = "127.0.0.1:1"
`

func newPeer(t *testing.T, name, poller string, mesh, other int) *peer {
	t.Helper()
	p := &peer{dir: t.TempDir(), name: name}
	text := fmt.Sprintf(peerConfig, poller, name, mesh, mesh, other)
	if err := os.WriteFile(filepath.Join(p.dir, "imaplb.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs it until it takes logins, and reports whether it does.
func (p *peer) start(t *testing.T) bool {
	t.Helper()
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // the process has its own
	p.cmd = exec.Command(os.Args[0], "run", "-f", "imaplb.toml")
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.ended = make(chan error, 1)
	go func() { p.ended <- p.cmd.Wait() }() // ends with the process
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	eventually(t, p.name+" is ready or has ended", func() bool {
		return len(p.ended) > 0 || strings.Contains(p.ask("show info"), "\nReady: 1\n")
	})
	return len(p.ended) == 0
}

// ask is the answer of its runtime socket.
func (p *peer) ask(command string) string {
	return cli("", "ctl", "-s", filepath.Join(p.dir, "sock"), command).out
}

// log is what it has said.
func (p *peer) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// firstPort is below the ports that the kernel chooses, which other tests get while
// a process that is to come back is away, and below those that tests/ takes.
const firstPort = 19_000

// freePort is the first port from one on that nobody listens on.
func freePort(from int) int {
	for ; ; from++ {
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", from)); err == nil {
			_ = ln.Close() // nobody has connected
			return from
		}
	}
}

// TestLoopFailure: when the poller of a loop fails for good, the process does
// not go on with clients that nobody serves. It says so once, saves its tables,
// leaves its peers, and ends in a way that has it started again.
func TestLoopFailure(t *testing.T) {
	port := firstPort + os.Getpid()%1000
	for _, poller := range []string{"epoll", "io_uring"} {
		var ports [2]int
		for i := range ports {
			port = freePort(port + 1)
			ports[i] = port
		}
		t.Run(poller, func(t *testing.T) {
			t.Parallel()
			a, b := newPeer(t, "a", poller, ports[0], ports[1]), newPeer(t, "b", poller, ports[1], ports[0])
			if !a.start(t) {
				if poller == "io_uring" && strings.Contains(a.log(t), "io_uring") {
					t.Skip("no io_uring here")
				}
				t.Fatalf("it did not start: %s", a.log(t))
			}
			if !b.start(t) {
				t.Fatalf("it did not start: %s", b.log(t))
			}
			eventually(t, "the peers have met", func() bool { return strings.Contains(b.log(t), `msg="peer up" peer=a`) })
			a.ask("set table users key alice server m1")
			a.spoil(t, a.clients(t))
			said := a.log(t)
			if strings.Count(said, `level=ERROR msg="event loop failed, stopping" err="loop: `) != 1 || strings.Contains(said, "goroutine ") {
				t.Errorf("it said %s", said)
			}
			eventually(t, "the other peer was told", func() bool { return strings.Contains(b.log(t), `msg="peer left" peer=a`) })
			if !a.start(t) || !strings.Contains(a.log(t), `msg="stick table loaded" table=users entries=1`) {
				t.Fatalf("the next process says %s", a.log(t))
			}
			// Nor does it wait for the clients of that loop when it is to stop.
			clients := a.clients(t)
			_ = a.cmd.Process.Signal(syscall.SIGTERM) // it runs
			eventually(t, "it waits for sessions", func() bool { return strings.Contains(a.log(t), `msg="waiting for sessions" sessions=4`) })
			a.spoil(t, clients)
		})
	}
}

// clients are connections to both loops.
func (p *peer) clients(t *testing.T) (all []net.Conn) {
	t.Helper()
	for range 4 {
		c, err := net.Dial("unix", filepath.Join(p.dir, "imap"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Read(make([]byte, 1000)); err != nil {
			t.Fatalf("no greeting: %v", err)
		}
		all = append(all, c)
	}
	return all
}

// spoil has a loop fail and waits for the end of the process.
func (p *peer) spoil(t *testing.T, clients []net.Conn) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGUSR1) // it runs
	eventually(t, p.name+" has ended", func() bool {
		for _, c := range clients { // each loop has something to do
			_, _ = c.Write([]byte("x NOOP\r\n")) // it may be gone
		}
		return len(p.ended) > 0
	})
	if err := <-p.ended; p.cmd.ProcessState.ExitCode() != exitError {
		t.Errorf("it ended with %v, want exit code %d", err, exitError)
	}
}
