package tests

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// flushing is a fleet before three Dovecots whose first one is being emptied, by
// lb2, slowly.
type flushing struct {
	*fleet
	dovecots []*dovecot
	users    []string
	began    time.Time
}

// startFlush puts users on s1, each with a session at every peer, has it drain
// and lb2 move them, two at once, and waits until some are moved.
func startFlush(t *testing.T, peers, users int) *flushing {
	t.Helper()
	pair := sharedDovecots(t)
	f := &flushing{began: time.Now(), dovecots: []*dovecot{pair[0], pair[1], startDovecot(t)}}
	hook := filepath.Join(t.TempDir(), "hook")
	script(t, hook, "sleep 0.8")
	f.fleet = runFleet(t, peers, options{
		servers: serversOf(f.dovecots...), peers: "tie_breaker = \"serve\"\nmove_timeout = \"2s\"",
		backend: fmt.Sprintf("on_move = %q\nmove_hook_timeout = \"2s\"\nkick_delay = \"0s\"", hook),
	})
	carrier := f.lbs[1]
	for range users {
		user := newUser()
		f.users = append(f.users, user)
		carrier.tell("set table users key " + user + " server s1")
	}
	for _, l := range f.lbs {
		l.wantHome(f.users[users-1], "s1")
		conns, errs := enterAll(f.users, 1, l)
		t.Cleanup(func() { closeAll(conns) })
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
	}
	f.agree(patience, f.lbs...)
	carrier.tell("set server mail/s1 state drain")
	carrier.ask("flush server mail/s1 max-parallel 2")
	within(t, patience, "some users are moved, and all peers know of it", func() bool {
		for _, l := range f.lbs {
			if l.flushed() < 1 {
				return false
			}
		}
		return true
	})
	return f
}

// flushed is how many users the flush of s1 has moved, as this peer knows.
func (l *lb) flushed() int {
	l.t.Helper()
	m := regexp.MustCompile(`(?m)^mail s1 \w+ lb\d+ 2 (\d+) `).FindStringSubmatch(l.ask("show flushes"))
	if m == nil {
		return 0
	}
	return number(l.t, m[1], `(\d+)`)
}

// wantEmptied waits until that peer has ended the flush with nobody left, and
// looks where the users are.
func (f *flushing) wantEmptied(by string, lbs ...*lb) {
	f.t.Helper()
	ended := regexp.MustCompile(`(?m)^mail s1 ended ` + by + ` 2 (\d+) 0 0 `)
	for _, l := range lbs {
		within(f.t, time.Minute, "the server is empty", func() bool { return ended.MatchString(l.ask("show flushes")) })
		if moved := l.flushed(); moved < len(f.users)-4 || moved > len(f.users) {
			f.t.Errorf("%d users moved, want about %d", moved, len(f.users))
		}
		if got := l.served("s1"); got[5] != "0" {
			f.t.Errorf("show servers = %q, want nobody on s1", got)
		}
		if !strings.Contains(l.ask("show events"), "flush of mail/s1: "+by+" goes on with it") {
			f.t.Error("no event tells who went on")
		}
		for _, user := range f.users {
			loggedIn(f.t, l.plain, user).logout() // one whose move was cut short has no session, and is placed now
			if home := l.home(user); home != "s2" && home != "s3" {
				f.t.Errorf("home of %s = %q", user, home)
			}
		}
	}
	wantOneHome(f.t, f.users, f.began, f.dovecots...)
}

// The peer that carries a flush is killed in the middle: the first of the others
// goes on, and nobody is on two servers.
func TestClusterFlushCarrierIsKilled(t *testing.T) {
	t.Parallel()
	f := startFlush(t, 3, 16)
	f.lbs[1].kill()
	f.wantEmptied("lb1", f.lbs[0], f.lbs[2])
}

// It stops in order: the other one goes on at once.
func TestClusterFlushCarrierStops(t *testing.T) {
	t.Parallel()
	f := startFlush(t, 2, 12)
	f.lbs[1].signal(syscall.SIGTERM)
	if err := f.lbs[1].waitExit(patience); err != nil {
		t.Fatal(err)
	}
	f.wantEmptied("lb1", f.lbs[0])
	if strings.Contains(f.lbs[0].ask("show events"), "nothing was heard of its end") {
		t.Error("a move was cut short")
	}
}

// It sleeps until another one goes on, and wakes up: for a moment both carry the
// flush, then one, and nobody is moved to and fro.
func TestClusterFlushCarrierSleeps(t *testing.T) {
	t.Parallel()
	f := startFlush(t, 3, 20)
	f.lbs[1].signal(syscall.SIGSTOP)
	within(t, time.Minute, "lb1 goes on", func() bool {
		return strings.Contains(f.lbs[0].ask("show events"), "flush of mail/s1: lb1 goes on with it")
	})
	f.lbs[1].signal(syscall.SIGCONT)
	f.wantEmptied("lb1", f.lbs...)
	moved := regexp.MustCompile(`move of user "(\w+)" in users to mail/s\d+, .*: done`)
	times := map[string]int{}
	for _, m := range moved.FindAllStringSubmatch(f.lbs[2].ask("show events 1000"), -1) {
		if times[m[1]]++; times[m[1]] > 1 {
			t.Errorf("%s was moved %d times", m[1], times[m[1]])
		}
	}
	if len(times) < len(f.users)/2 {
		t.Errorf("%d users were moved, want about %d", len(times), len(f.users))
	}
}

// A flush that cannot go on waits and says why, a second one is refused, and it
// ends when another server takes users again.
func TestFlushWaits(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...)})
	l.wantErrors = true // no server takes new users for a while
	user := newUser()
	l.tell("set table users key " + user + " server s1")
	c := loggedIn(t, l.plain, user)
	l.tell("set server mail/s2 state maint")
	l.tell("set server mail/s1 state drain")
	if said := l.ask("flush server mail/s1"); !strings.Contains(said, "are being moved away, 100 at once") {
		t.Fatalf("flush = %q", said)
	}
	within(t, patience, "show servers tells that it waits", func() bool { return l.served("s1")[8] == "0/1,waits" })
	if said := l.ask("show flushes"); !strings.Contains(said, "waits: no other server takes users") {
		t.Errorf("show flushes = %q, want why it waits", said)
	}
	if said := strings.TrimSpace(l.ask("flush server mail/s1 max-parallel 5")); said != "a flush of this server is under way (see 'show flushes')" {
		t.Errorf("a second flush = %q", said)
	}
	c.alive()
	l.tell("set server mail/s2 state ready")
	c.bye(patience, "[UNAVAILABLE]")
	within(t, patience, "the flush has ended", func() bool { return l.served("s1")[8] == "-" })
	if got := l.home(user); got != "s2" {
		t.Errorf("home = %q, want s2", got)
	}
	if said := strings.TrimSpace(l.ask("flush stop mail/s1")); said != "no flush of this server is under way" {
		t.Errorf("flush stop of one that has ended = %q", said)
	}
}
