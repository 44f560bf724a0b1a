package tests

import (
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
	pair := sharedDovecots(t)
	f := runFleet(t, 2, clustered(t))
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
	within(t, patience, "all logins in the logs", func() bool { return pair[0].logins(user) == 2 && pair[1].logins(user) == 2 })
	wantOneHome(t, []string{user}, began, pair[:]...)
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
	f := runFleet(t, 2, clustered(t))
	for user, home := range f.settle(4) {
		other := map[string]string{"s1": "s2", "s2": "s1"}[home]
		f.lbs[1].tell("move user " + user + " mail/" + other)
		for _, l := range f.lbs {
			l.wantHome(user, other)
		}
		loggedIn(t, f.lbs[0].plain, user).logout()
		f.lbs[1].wantHome(user, other)
	}
}

// Nobody is moved to a server that does not exist or takes nobody.
func TestClusterMoveRefused(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.servers = append(o.servers, server{name: "s3", addr: freeAddr(t)})
	o.backend = `check = { inter = "200ms", fastinter = "100ms", downinter = "200ms", rise = 1, fall = 2, timeout = "1s" }`
	f := runFleet(t, 2, o)
	a := f.lbs[0]
	user := newUser()
	a.tell("set table users key " + user + " server s1")
	c := loggedIn(t, a.plain, user)
	within(t, patience, "s3 is down", func() bool { return strings.HasPrefix(a.stat("mail", "s3", "status"), "DOWN") })
	a.tell("set server mail/s2 state maint")
	for to, want := range map[string]string{
		"mail/s9": "No such server.", "mails/s1": "No such backend.", "mail/s3": "not usable", "mail/s2": "not usable",
		"mail/s1 local": "A move holds for all peers",
	} {
		if said := a.ask("move user " + user + " " + to); !strings.Contains(said, want) {
			t.Errorf("move user to %s = %q, want %q", to, said, want)
		}
	}
	c.alive()
	if got := a.home(user); got != "s1" {
		t.Errorf("home = %q, want s1 still", got)
	}
	c.logout()
}
