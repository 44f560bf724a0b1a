package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is a line of "show servers" in words.
func (l *lb) served(server string) []string {
	l.t.Helper()
	for line := range strings.Lines(l.ask("show servers mail")) {
		w := strings.Fields(strings.ReplaceAll(line, `\ `, "_")) // as in UP 2/3
		if len(w) == 10 && w[1] == server {
			return w
		}
	}
	l.t.Fatalf("show servers has no %s", server)
	return nil
}

// on puts n users on s1, each with a session at both peers.
func (f *fleet) on(n int) (users []string, sessions []*client) {
	f.t.Helper()
	a, b := f.lbs[0], f.lbs[1]
	for range n {
		user := newUser()
		a.tell("set table users key " + user + " server s1")
		b.wantHome(user, "s1")
		users = append(users, user)
		sessions = append(sessions, loggedIn(f.t, a.plain, user), loggedIn(f.t, b.plain, user))
	}
	f.agree(patience, a, b)
	return users, sessions
}

// flush server: those who are left on a draining server are moved, a few at a
// time, all peers know of it, and the log tells when nobody is left.
func TestClusterFlush(t *testing.T) {
	t.Parallel()
	began := time.Now()
	all := sharedTrio(t)
	f := runFleet(t, 2, all.peers())
	a, b := f.lbs[0], f.lbs[1]
	users, sessions := f.on(12)
	if said := a.ask("flush server mail/s1"); !strings.Contains(said, "is not in drain") {
		t.Errorf("flush of a ready server = %q", said)
	}
	stays := users[0]
	a.tell("pin user " + stays + " mail/s1")
	a.tell("set server mail/s1 state drain")
	within(t, patience, "s1 drains at lb2", func() bool { return strings.HasPrefix(b.stat("mail", "s1", "status"), "DRAIN") })
	if got := b.served("s1"); got[5] != "12" || got[6] != "24" {
		t.Errorf("show servers = %q, want 12 users with 24 sessions", got)
	}
	if said := b.ask("flush server mail/s1 max-parallel 3"); !strings.Contains(said, "3 at once") {
		t.Fatalf("flush server = %q", said)
	}
	for _, c := range sessions[2:] {
		c.bye(patience, "[UNAVAILABLE]")
	}
	within(t, patience, "lb1 knows that the flush has ended", func() bool {
		return strings.Contains(a.ask("show flushes"), "mail s1 ended lb2 3 11 0 1 ")
	})
	if said := a.ask("show flushes"); !strings.Contains(said, "1 stay, as they are pinned to it") {
		t.Errorf("show flushes = %q, want who stays", said)
	}
	sessions[0].alive()
	for _, user := range users[1:] {
		within(t, patience, user+" has left s1", func() bool { return a.home(user) != "s1" })
		b.wantHome(user, a.home(user))
		loggedIn(t, a.plain, user).logout()
	}
	a.tell("unpin user " + stays)
	for _, c := range sessions[:2] {
		c.logout()
	}
	for _, l := range f.lbs {
		within(t, patience, "the log tells that nobody is left", func() bool {
			return strings.Contains(l.log(), `msg="server has no users left" be=mail srv=s1`)
		})
		if events := l.ask("show events"); !strings.Contains(events, "mail/s1 has no users left") || !strings.Contains(events, "flush of mail/s1 ended: 11 moved, 0 failed, 1 left") {
			t.Errorf("show events = %q", events)
		}
	}
	wantOneHome(t, users, began, all[:]...)
}

// A flush ends when its backend gets another stick table: who is on the server
// was in the one before.
func TestFlushOfAnotherTable(t *testing.T) {
	t.Parallel()
	hook := filepath.Join(t.TempDir(), "hook")
	script(t, hook, "sleep 0.5")
	o := options{
		servers: []server{{"s1", runIMAPd(t, acceptAll).addr, ""}, {"s2", runIMAPd(t, acceptAll).addr, ""}},
		backend: fmt.Sprintf("on_move = %q\n", hook), more: "[stick_table.other]\n",
	}
	l := runLB(t, o)
	for range 8 {
		user := newUser()
		l.tell("set table users key " + user + " server s1")
		loggedIn(t, l.plain, user)
	}
	l.tell("set server mail/s1 state drain")
	l.ask("flush server mail/s1 max-parallel 1")
	o.backend += "stick_table = \"other\"\n"
	l.write(o)
	l.ask("reload")
	within(t, patience, "the flush has ended", func() bool {
		said := l.ask("show flushes")
		return strings.Contains(said, "mail s1 ended") && strings.Contains(said, "another stick table")
	})
}

// A flush that is stopped, at the other peer, leaves the rest where they are.
func TestClusterFlushStop(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	dir := t.TempDir()
	hook := filepath.Join(dir, "hook")
	script(t, hook, "while [ ! -e "+dir+"/go ]; do sleep 0.05; done")
	o.backend = fmt.Sprintf("on_move = %q\nmove_hook_timeout = \"20s\"", hook)
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	users, sessions := f.on(4)
	a.tell("set server mail/s1 state drain")
	a.ask("flush server mail/s1 max-parallel 1")
	within(t, patience, "lb2 knows of the flush", func() bool { return strings.Contains(b.ask("show flushes"), "mail s1 runs lb1 1 0 0 4 ") })
	if said := b.ask("flush server mail/s1"); !strings.Contains(said, "lb1 flushes this server already") {
		t.Errorf("flush at the other peer = %q", said)
	}
	within(t, patience, "a first user is moved", func() bool { return strings.Contains(a.ask("show events"), "move of user") })
	b.tell("flush stop mail/s1")
	script(t, filepath.Join(dir, "go"), "")
	within(t, patience, "the flush has ended", func() bool {
		return strings.Contains(b.ask("show flushes"), "mail s1 ended lb1 1 1 0 3 ") && strings.Contains(b.ask("show flushes"), "stopped by order")
	})
	alive := 0
	for i := range users {
		if a.home(users[i]) == "s1" {
			sessions[2*i].alive()
			sessions[2*i+1].alive()
			alive++
		}
	}
	if alive != 3 {
		t.Errorf("%d users are left, want 3", alive)
	}
	for _, c := range sessions {
		c.close()
	}
}

// script writes a program for the shell.
func script(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// on_move is run once in the cluster, behind the user's last session and before
// his next one; a login waits for it.
func TestClusterHook(t *testing.T) {
	t.Parallel()
	o := sharedTrio(t).peers()
	dir := t.TempDir()
	hook, out := filepath.Join(dir, "hook"), filepath.Join(dir, "out")
	script(t, hook, `echo "$@" $IMAPLB_OLD_ADDR $IMAPLB_NEW_ADDR >> `+out+`; while [ ! -e `+dir+`/go ]; do sleep 0.05; done`)
	o.backend = fmt.Sprintf("on_move = %q", hook)
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	users, sessions := f.on(1)
	answer := make(chan string, 1)
	go ask(a, "move user "+users[0]+" mail/s2", answer) // ends with the answer
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	within(t, patience, "the hook runs", func() bool { _, err := os.Stat(out); return err == nil })
	waiting := greeted(t, b.plain)
	waiting.send("w LOGIN " + users[0] + " " + password + "\r\n")
	if said := waiting.silent(500 * time.Millisecond); said != "" {
		t.Errorf("a login while the hook runs was answered with %q", said)
	}
	if said := b.ask("explain user " + users[0]); !strings.Contains(said, "move:     under way to s2") {
		t.Errorf("explain = %q, want the move", said)
	}
	script(t, filepath.Join(dir, "go"), "")
	waiting.expect("w OK")
	if said := strings.TrimSpace(<-answer); said != "" {
		t.Errorf("move user = %q, want no answer", said)
	}
	b.wantHome(users[0], "s2")
	want := fmt.Sprintf("%s s1 s2 %s %s\n", users[0], o.servers[0].addr, o.servers[1].addr)
	if got := fileText(t, out); got != want {
		t.Errorf("the hook was told %q, want %q, once", got, want)
	}
	waiting.logout()
	fresh := newUser() // has no other home: no hook
	a.tell("move user " + fresh + " mail/s1")
	if got := fileText(t, out); got != want {
		t.Errorf("the hook was run for a user without a home: %q", got)
	}
}

func fileText(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// pin user: moved there, back there when the server is, at all peers and over a
// restart of all, until unpin.
func TestClusterPin(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, sharedTrio(t).peers())
	a, b := f.lbs[0], f.lbs[1]
	users, sessions := f.on(1)
	user := users[0]
	a.tell("pin user " + user + " mail/s2")
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	b.wantHome(user, "s2")
	if said := b.ask("show pins"); !regexp.MustCompile(`(?m)^` + user + ` users mail s2 \d+ admin\\ uid\\=\d+ lb1$`).MatchString(said) {
		t.Errorf("show pins at lb2 = %q", said)
	}
	b.tell("set server mail/s2 state maint") // he goes elsewhere meanwhile
	within(t, patience, "s2 is in maint at lb1", func() bool { return a.stat("mail", "s2", "status") == "MAINT" })
	loggedIn(t, a.plain, user).logout()
	other := a.home(user)
	if b.wantHome(user, other); other == "s2" {
		t.Errorf("he is on s2, which is in maint")
	}
	b.tell("set server mail/s2 state ready")
	within(t, patience, "s2 is ready at lb1", func() bool { return strings.HasPrefix(a.stat("mail", "s2", "status"), "UP") })
	within(t, patience, "his session is not counted any more", func() bool { return a.entry(user, "conn_cur") == "0" })
	loggedIn(t, a.plain, user).logout()
	a.wantHome(user, "s2")
	for _, l := range f.lbs {
		l.signal(syscall.SIGTERM)
	}
	for _, l := range f.lbs {
		if err := l.waitExit(patience); err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	f.met(a, b)
	b.tell("set table users key " + user + " server s1")
	loggedIn(t, b.plain, user).logout()
	a.wantHome(user, "s2")
	b.tell("unpin user " + user)
	within(t, patience, "no pin is left at lb1", func() bool { return !strings.Contains(a.ask("show pins"), user) })
	if said := strings.TrimSpace(b.ask("unpin user " + user)); said != "user is not pinned" {
		t.Errorf("unpin again = %q", said)
	}
}

// kick by mask, server and source, at both peers or at one.
func TestClusterKickMany(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, sharedTrio(t).peers())
	a, b := f.lbs[0], f.lbs[1]
	_, sessions := f.on(2)
	other := loggedIn(t, b.plain, "odd-one")
	if said := a.ask("kick user us?r* local"); !strings.HasPrefix(said, "2 sessions closed.") {
		t.Errorf("kick by mask, local = %q", said)
	}
	sessions[0].bye(patience, "[UNAVAILABLE]")
	sessions[2].bye(patience, "[UNAVAILABLE]")
	sessions[1].alive()
	if said := a.ask("kick user USER*"); !strings.HasPrefix(said, "0 sessions closed here") {
		t.Errorf("kick by mask = %q", said)
	}
	sessions[1].bye(patience, "[UNAVAILABLE]")
	sessions[3].bye(patience, "[UNAVAILABLE]")
	other.alive()
	home := b.home("odd-one")
	a.ask("kick server mail/" + map[string]string{"s1": "s2", "s2": "s3", "s3": "s1"}[home])
	other.alive()
	a.ask("kick src 192.0.2.0/24")
	other.alive()
	if said := a.ask("kick src 127.0.0.1/8"); !strings.Contains(said, `write "127.0.0.0/8"`) {
		t.Errorf("kick src with bits behind the prefix = %q", said)
	}
	a.ask("kick server mail/" + home)
	other.bye(patience, "[UNAVAILABLE]")
	last, early := loggedIn(t, b.plain, newUser()), greeted(t, b.plain)
	a.ask("kick src 127.0.0.0/8")
	last.bye(patience, "[UNAVAILABLE]")
	early.closed(patience)
}

// explain user knows the routes: the backends that this user's logins go to,
// and by which rule.
func TestExplainRoutes(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[0]),
		frontend: `route = [{ domain = "example.org", backend = "other" }, { src = ["192.0.2.0/24"], backend = "third" }]`,
		more:     fmt.Sprintf("\n[backend.other]\nstick_table = \"\"\nserver.o1.addr = %q\n[backend.third.server.o2]\naddr = %q\n", pair[1].addr, pair[1].tls),
	})
	for user, want := range map[string][]string{
		"a":             {`in backend mail (logins of frontend plain, starttls, implicit)`, "goes to:  s1", "in backend third (logins of frontend plain by its route 2 if src in [192.0.2.0/24]"},
		"a@example.org": {`in backend other (logins of frontend plain by its route 1`, "goes to:  o1", "there is no stick table, so the algorithm chooses"},
	} {
		said := l.ask("explain user " + user)
		for _, w := range want {
			if !strings.Contains(said, w) {
				t.Errorf("explain user %s = %q, want %q", user, said, w)
			}
		}
	}
}
