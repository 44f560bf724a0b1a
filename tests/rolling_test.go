package tests

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const rollingUsers = 200

// worker is a mail client that keeps logging in and working, by turns at these
// addresses. Owned by its goroutine.
type worker struct {
	user   string
	addrs  []string
	stop   <-chan struct{}
	logins *atomic.Int64
	fail   func(user string, err error)
}

// work goes on until stop is closed, or a login fails.
func (w *worker) work() {
	for n := 0; ; n++ {
		addr := w.addrs[n%len(w.addrs)]
		conn, err := enter(addr, w.user)
		if err != nil {
			w.fail(w.user, err)
			return
		}
		w.logins.Add(1)
		ended := w.session(conn)
		conn.Close()
		if ended {
			return
		}
	}
}

// session sends commands for a while, or until the server says BYE; true if the
// test is over.
func (w *worker) session(conn net.Conn) bool {
	r := bufio.NewReader(conn)
	pause := time.NewTicker(300 * time.Millisecond)
	defer pause.Stop()
	for range 15 {
		select {
		case <-w.stop:
			return true
		case <-pause.C:
		}
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write([]byte("n NOOP\r\n")); err != nil || skipTo(r, "n OK") != nil {
			return false
		}
	}
	_, _ = conn.Write([]byte("z LOGOUT\r\n"))
	_ = skipTo(r, "z OK") // or it is moved at this moment
	return false
}

// examples/rolling-restart restarts three Dovecots in turn, while 200 users
// keep logging in through two peers and work: no login fails, and nobody is on
// two servers at once.
func TestRollingRestart(t *testing.T) {
	need(t, "awk")
	began := time.Now()
	var dovecots []*dovecot
	for range 3 {
		dovecots = append(dovecots, startDovecot(t))
	}
	f := runFleet(t, 2, options{servers: serversOf(dovecots...), peers: `tie_breaker = "serve"`,
		backend: `check = { inter = "500ms", fastinter = "100ms", downinter = "100ms", timeout = "5s" }`})
	var workers sync.WaitGroup
	stop := make(chan struct{})
	var logins atomic.Int64
	var users []string
	for i := range rollingUsers {
		w := &worker{user: newUser(), addrs: []string{f.lbs[i%2].plain, f.lbs[1-i%2].plain}, stop: stop, logins: &logins}
		w.fail = func(user string, err error) {
			t.Errorf("%s: %s: login failed: %v", time.Now().Format(time.TimeOnly), user, err)
		}
		users = append(users, w.user)
		workers.Go(w.work) // ends at stop
	}
	within(t, time.Minute, "all users are in", func() bool { return logins.Load() >= rollingUsers })
	out, err := rollingRestart(t, f.lbs[0], dovecots)
	close(stop)
	workers.Wait()
	if err != nil {
		t.Errorf("rolling-restart.sh: %v\n%s", err, out)
	}
	t.Logf("\n%s%d logins of %d users", out, logins.Load(), rollingUsers)
	for i, d := range dovecots {
		within(t, patience, fmt.Sprintf("s%d is up at the other peer", i+1), func() bool {
			return f.lbs[1].stat("mail", fmt.Sprint("s", i+1), "status") == "UP"
		})
		if n := strings.Count(d.log(), "starting up"); n != 2 {
			t.Errorf("s%d was started %d times, want 2", i+1, n)
		}
	}
	if wantOneHome(t, users, began, dovecots...); !t.Failed() {
		t.Log("no login failed, and nobody was on two servers at once")
	}
}

// rollingRestart runs the example's script with a command that has this process
// restart the Dovecots. It returns when a Dovecot has stopped, before it is back.
func rollingRestart(t *testing.T, l *lb, dovecots []*dovecot) (out string, err error) {
	t.Helper()
	dir := t.TempDir()
	command := filepath.Join(dir, "restart")
	text := fmt.Sprintf("#!/bin/sh\ntouch %s/$1.down\nwhile [ -e %s/$1.down ]; do sleep 0.1; done\n", dir, dir)
	if err := os.WriteFile(command, []byte(text), 0o700); err != nil {
		return "", err
	}
	program, err := shared.program()
	if err != nil {
		return "", err
	}
	script, err := filepath.Abs("../examples/rolling-restart/rolling-restart.sh")
	if err != nil {
		return "", err
	}
	cmd := exec.Command(script, "mail", command, "s1", "s2", "s3")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "IMAPLB_SOCKET="+l.socket, "PARALLEL=20")
	type result struct {
		out []byte
		err error
	}
	ended := make(chan result, 1)
	go func() { // ends with the script
		out, err := cmd.CombinedOutput()
		ended <- result{out, err}
	}()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	look := time.NewTicker(poll)
	defer look.Stop()
	for {
		select {
		case r := <-ended:
			return string(r.out), r.err
		case <-deadline.C:
			_ = cmd.Process.Kill()
			r := <-ended
			return string(r.out), errors.Join(errors.New("it takes too long"), r.err)
		case <-look.C:
		}
		for i, d := range dovecots {
			asked := filepath.Join(dir, fmt.Sprintf("s%d.down", i+1))
			if _, err := os.Stat(asked); err != nil {
				continue
			}
			d.stop()
			if err := os.Remove(asked); err != nil {
				t.Error(err)
			}
			if err := d.start(); err != nil {
				t.Error(err)
			}
		}
	}
}
