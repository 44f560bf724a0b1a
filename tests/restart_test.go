package tests

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The table is saved when imaplb stops and read when it starts: everybody is
// sent where he was.
func TestRestart(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...), global: fmt.Sprintf("state_dir = %q", t.TempDir())})
	homes := scatter(t, l)
	l.signal(syscall.SIGTERM)
	if err := l.waitExit(patience); err != nil {
		t.Fatal(err)
	}
	l.run()
	wantHomes(t, l, homes)
}

// Now and then the table is saved as well, for the end that nobody planned.
func TestRestartAfterKill(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	dir := t.TempDir()
	l := runLB(t, options{servers: serversOf(pair[:]...), global: fmt.Sprintf("state_dir = %q", dir)})
	homes := scatter(t, l)
	var last string
	for user := range homes {
		last = user
	}
	within(t, 100*time.Second, "the table is saved", func() bool { return savedIn(dir, last) })
	c := loggedIn(t, l.plain, last)
	l.kill()
	c.closed(patience)
	l.run()
	wantHomes(t, l, homes)
}

// A file that is damaged is told of and not used; imaplb starts without it.
func TestRestartDamaged(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	dir := t.TempDir()
	l := runLB(t, options{servers: serversOf(pair[:]...), global: fmt.Sprintf("state_dir = %q", dir)})
	l.wantErrors = true
	scatter(t, l)
	l.signal(syscall.SIGTERM)
	if err := l.waitExit(patience); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.table"))
	if err != nil || len(files) == 0 {
		t.Fatalf("saved tables = %q, %v, want one", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 {
			b[len(b)/2] ^= 0xff
		}
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.run()
	if err := login(l.plain, newUser()); err != nil {
		t.Error(err)
	}
	if answer := l.ask("show table"); number(t, answer, `used:(\d+)`) != 1 {
		t.Errorf("show table = %q, want the one new entry", answer)
	}
}

// scatter sends users where no algorithm would: the homes are set.
func scatter(t *testing.T, l *lb) map[string]string {
	t.Helper()
	homes := map[string]string{}
	for i := range 40 {
		user, home := newUser(), fmt.Sprintf("s%d", i%2+1)
		homes[user] = home
		l.tell("set table users key " + user + " server " + home)
	}
	return homes
}

func wantHomes(t *testing.T, l *lb, homes map[string]string) {
	t.Helper()
	for user, want := range homes {
		if got := l.home(user); got != want {
			t.Errorf("home of %s after the restart = %q, want %q", user, got, want)
		}
	}
	for user, want := range homes {
		loggedIn(t, l.plain, user).logout()
		if got := l.home(user); got != want {
			t.Errorf("home of %s after a login = %q, want %q", user, got, want)
		}
		break
	}
}

// savedIn tells whether a saved table, not one just being written, names the
// user.
func savedIn(dir, user string) bool {
	found, err := filepath.Glob(filepath.Join(dir, "*.table"))
	if err != nil {
		return false
	}
	for _, f := range found {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(user)) {
			return true
		}
	}
	return false
}

// An address that another process has is waited for: the kernel frees those of
// an imaplb that was killed a moment behind its end.
func TestStartAwaitsAddress(t *testing.T) {
	t.Parallel()
	for _, freed := range []bool{true, false} {
		t.Run(fmt.Sprintf("freed=%t", freed), func(t *testing.T) {
			t.Parallel()
			l := newLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
			other, err := net.Listen("tcp", l.plain)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			l.begin()
			within(t, patience, "it says that it waits", func() bool {
				return strings.Contains(l.log(), `msg="address in use, trying on" bind=`+l.plain)
			})
			if freed {
				other.Close()
				l.ready()
				loggedIn(t, l.plain, newUser()).logout()
				return
			}
			if err := l.waitExit(patience); err == nil {
				t.Error("it started without its address")
			}
			if log := l.log(); !strings.Contains(log, "frontend.plain.bind: ") || !strings.Contains(log, "address already in use") {
				t.Errorf("it does not say what is wrong: %s", log)
			}
		})
	}
}
