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

// move user: his sessions at both peers end, a login of his waits until the
// last one is gone, and goes on to the new server. At no time is he on both.
func TestClusterMove(t *testing.T) {
	t.Parallel()
	began := time.Now()
	all := sharedTrio(t)
	f := runFleet(t, 2, all.peers())
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	b.wantHome(user, "s1")
	here, there := loggedIn(t, a.plain, user), loggedIn(t, b.plain, user)
	f.agree(patience, a, b)

	b.signal(syscall.SIGSTOP) // so that it does not confirm yet
	answer := make(chan string, 1)
	go ask(a, "move user "+user+" mail/s2", answer) // ends with the answer
	here.bye(patience, "[UNAVAILABLE]")
	waiting := greeted(t, a.plain)
	waiting.send("w LOGIN " + user + " " + password + "\r\n")
	if said := waiting.silent(500 * time.Millisecond); said != "" {
		t.Errorf("a login during the move was answered with %q", said)
	}
	b.signal(syscall.SIGCONT)
	there.bye(patience, "[UNAVAILABLE]")
	waiting.expect("w OK")
	if said := strings.TrimSpace(<-answer); said != "" {
		t.Errorf("move user = %q, want no answer", said)
	}
	b.wantHome(user, "s2")
	again := loggedIn(t, b.plain, user)
	f.agree(patience, a, b)
	waiting.logout()
	again.logout()
	within(t, patience, "all logins in the logs", func() bool { return all[0].logins(user) == 2 && all[1].logins(user) == 2 })
	wantOneHome(t, []string{user}, began, all[:]...)
	for _, l := range f.lbs {
		if events := l.ask("show events"); !strings.Contains(events, `move of user "`+user+`" in users to mail/s2, by admin uid=`) {
			t.Errorf("show events = %q, want the move", events)
		}
	}
}

// ask sends the answer to a command that takes its time.
func ask(l *lb, command string, answer chan<- string) {
	said, err := l.tryAsk(command)
	if err != nil {
		said = err.Error()
	}
	answer <- said
}

// A user without sessions moves at once, at whichever peer he is moved.
func TestClusterMoveIdle(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, sharedTrio(t).peers())
	for user, home := range f.settle(6) {
		other := map[string]string{"s1": "s2", "s2": "s3", "s3": "s1"}[home]
		f.lbs[1].tell("move user " + user + " mail/" + other)
		for _, l := range f.lbs {
			l.wantHome(user, other)
		}
		loggedIn(t, f.lbs[0].plain, user).logout()
		f.lbs[1].wantHome(user, other)
	}
}

// Nobody is moved to a server that does not exist or takes nobody, by either peer.
func TestClusterMoveRefused(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.servers = append(o.servers, server{name: "s4", addr: freeAddr(t)})
	o.backend = `check = { inter = "200ms", fastinter = "100ms", downinter = "200ms", rise = 1, fall = 2, timeout = "5s" }`
	f := runFleet(t, 2, o)
	a := f.lbs[0]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	c := loggedIn(t, a.plain, user)
	a.tell("set server mail/s2 state maint")
	f.agree(patience, f.lbs...)
	for _, l := range f.lbs {
		within(t, patience, "s4 is down, s2 in maint", func() bool {
			return strings.HasPrefix(l.stat("mail", "s4", "status"), "DOWN") && l.stat("mail", "s2", "status") == "MAINT"
		})
		for to, want := range map[string]string{
			"mail/s9": "No such server.", "mails/s1": "No such backend.", "mail/s4": "not usable", "mail/s2": "not usable",
			"mail/s1 local": "A move holds for all peers",
		} {
			if said := l.ask("move user " + user + " " + to); !strings.Contains(said, want) {
				t.Errorf("move user to %s = %q, want %q", to, said, want)
			}
		}
		c.alive()
		if got := l.home(user); got != "s1" {
			t.Errorf("home = %q, want s1 still", got)
		}
	}
	c.logout()
}

// A hook that hangs is killed, at whichever peer the move was ordered; the answer,
// the events of both peers and the log say so, and the user is moved: his login at
// the other one has waited for it, and for kick_delay.
func TestTrioHookHangs(t *testing.T) {
	t.Parallel()
	const timeout, delay = 2 * time.Second, 700 * time.Millisecond // the hook begins and writes long before the timeout
	began := time.Now()
	all := sharedTrio(t)
	hook, out := filepath.Join(t.TempDir(), "hook"), filepath.Join(t.TempDir(), "out")
	script(t, hook, "echo waiting for nothing; echo $1 >> "+out+"; sleep 1000")
	o := all.peers()
	o.backend = fmt.Sprintf("on_move = %q\nmove_hook_timeout = %q\nkick_delay = %q", hook, timeout, delay)
	f := runFleet(t, 2, o)
	users, sessions := f.on(2)
	for i, l := range f.lbs {
		user, other := users[i], f.lbs[1-i]
		ordered := time.Now()
		answer := make(chan string, 1)
		go ask(l, "move user "+user+" mail/s3", answer) // ends with the answer
		for _, c := range sessions[2*i : 2*i+2] {
			c.bye(patience, "[UNAVAILABLE]")
		}
		loggedIn(t, other.plain, user).logout()
		if took := time.Since(ordered); took < timeout+delay {
			t.Errorf("he was let in after %v, want the timeout and the delay, %v", took, timeout+delay)
		}
		if said, want := strings.TrimSpace(<-answer), `moved, but hook failed: killed at its timeout of 2s: "waiting for nothing"`; said != want {
			t.Errorf("move user = %q, want %q", said, want)
		}
		for _, l := range f.lbs {
			l.wantHome(user, "s3")
			within(t, patience, "the event tells of it", func() bool {
				return regexp.MustCompile(`move of user "` + user + `".* done, hook failed: killed at its timeout`).MatchString(l.ask("show events"))
			})
		}
	}
	if got, want := fileText(t, out), users[0]+"\n"+users[1]+"\n"; got != want {
		t.Errorf("the hook was run for %q, want %q", got, want)
	}
	within(t, patience, "two lines in the logs about hooks that failed", func() bool {
		return len(f.lbs[0].records("hook of a move failed"))+len(f.lbs[1].records("hook of a move failed")) == 2
	})
	within(t, patience, "all logins in the logs", func() bool { return all[2].logins(users[0]) == 1 && all[2].logins(users[1]) == 1 })
	wantOneHome(t, users, began, all[:]...)
}
