// Package tests drives the built imaplb from outside: real Dovecot servers
// behind it, real clients before it, faults from a scriptable server where
// Dovecot does not show them. It imports nothing of imaplb and knows only what
// a user knows: the configuration file, the ports, the runtime socket, the log.
package tests

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// password is every test user's but the odd ones'. No log, error or answer of
// imaplb may contain it.
const password = "fake-password"

// suite is what the tests share: it costs seconds to make and changes nothing
// between them. Shared: any goroutine may call any method.
type suite struct {
	dir     string // removed by close
	certs   func() (*authority, error)
	cert    func() (pair, error)
	program func() (string, error)
	trio    func() (trio, error)
	ports   atomic.Int32
	users   atomic.Int32

	mu      sync.Mutex // guards the fields below
	running []*dovecot // of trio
}

// shared is made by TestMain and used by all tests.
var shared *suite

// The tests' ports lie below those which the kernel gives to clients, so that
// none of these can be in the way. Each run begins elsewhere, so that two at
// once do not take from each other what they have just found to be free.
const (
	firstPort = 21000
	lastPort  = 32767
	portRuns  = 100 // places to begin
)

func newSuite() (*suite, error) {
	dir, err := os.MkdirTemp("", "imaplb-tests-")
	if err != nil {
		return nil, err
	}
	// Dovecot's processes are of other users and have to reach their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	s := &suite{dir: dir}
	s.ports.Store(int32(firstPort + os.Getpid()%portRuns*(lastPort-firstPort)/portRuns))
	s.certs = sync.OnceValues(func() (*authority, error) { return newAuthority(dir) })
	s.cert = sync.OnceValues(func() (pair, error) {
		a, err := s.certs()
		if err != nil {
			return pair{}, err
		}
		return a.issue("imap.test")
	})
	s.program = sync.OnceValues(s.build)
	s.trio = sync.OnceValues(s.startTrio)
	return s, nil
}

// build makes the program once for all tests, with the race detector. With
// IMAPLB_PROGRAM set they test that file instead, such as an installed one.
func (s *suite) build() (string, error) {
	if path := os.Getenv("IMAPLB_PROGRAM"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(s.dir, "imaplb")
	out, err := exec.Command("go", "build", "-race", "-o", path, "imaplb/cmd/imaplb").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("tests: build imaplb: %w\n%s", err, out)
	}
	return path, nil
}

// startTrio runs the three Dovecots for all tests that do them no harm.
func (s *suite) startTrio() (all trio, err error) {
	for i := range all {
		d, err := s.newDovecot(filepath.Join(s.dir, fmt.Sprint("shared", i+1)), place{}, 1)
		if err == nil {
			err = d.start()
		}
		if err != nil {
			return all, err
		}
		s.mu.Lock()
		s.running = append(s.running, d)
		s.mu.Unlock()
		all[i] = d
	}
	return all, nil
}

// close ends what is shared. The tests' own things are gone by then.
func (s *suite) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.running {
		d.stop()
	}
	if err := os.RemoveAll(s.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// freePort returns a TCP port of 127.0.0.1 that nobody listens on and that no
// other test gets. No process is started meanwhile: it would have the listener,
// too, until it becomes another program, and the port in use.
func (s *suite) freePort() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for {
		port := firstPort + int(s.ports.Add(1)-firstPort)%(lastPort-firstPort)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("tests: no free port: %w", err)
		}
		return port, l.Close()
	}
}

// newUser returns a user that no other test has. Any name is a user of the
// Dovecots.
func newUser() string { return fmt.Sprintf("user%d", shared.users.Add(1)) }

// freeAddr is freePort as an address.
func freeAddr(t testing.TB) string {
	t.Helper()
	port, err := shared.freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// need fails the test when a program is missing; tests/install.sh installs
// them all.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is missing: run tests/install.sh", p)
		}
	}
}

// poll is how often something outside is looked at again.
const poll = 20 * time.Millisecond

// within asks again and again until ok, and fails the test after limit.
func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	if !waitFor(limit, ok) {
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// waitFor asks again and again until ok is true; it is false after limit.
func waitFor(limit time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(poll)
	defer again.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-deadline.C:
			return ok()
		case <-again.C:
		}
	}
}
