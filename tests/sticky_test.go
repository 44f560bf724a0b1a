package tests

import (
	"regexp"
	"strings"
	"testing"
)

// A user stays on one server over connections in parallel and one after the
// other, whichever server that is.
func TestStickyUser(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...)})
	homes := map[string]bool{}
	for i := 0; i < 10 || len(homes) < 2 && i < 100; i++ { // 10 users are all on one server in 1 of 512 runs
		user := newUser()
		var open []*client
		for range 5 {
			open = append(open, loggedIn(t, l.plain, user))
		}
		if got := l.entry(user, "conn_cur"); got != "5" {
			t.Errorf("conn_cur of %s = %s, want 5", user, got)
		}
		for _, c := range open {
			c.logout()
		}
		home := l.home(user)
		homes[home] = true
		loggedIn(t, l.plain, strings.ToUpper(user)).logout()
		within(t, patience, "6 logins in the logs", func() bool { return pair[0].logins(user)+pair[1].logins(user) >= 6 })
		want := map[string][2]int{"s1": {6, 0}, "s2": {0, 6}}[home]
		if got := [2]int{pair[0].logins(user), pair[1].logins(user)}; got != want {
			t.Errorf("logins of %s at s1 and s2 = %v, want %v: the table says %q", user, got, want, home)
		}
	}
	if len(homes) != 2 {
		t.Errorf("all users live on %v, want some on both servers", homes)
	}
}

// First connections at the same moment lead to one server as well.
func TestStickyFirstConnections(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...), backend: `balance = "roundrobin"`})
	for range 5 {
		user := newUser()
		const n = 10
		results := make(chan error, n)
		for range n {
			go report(results, func() error { return login(l.plain, user) }) // ends with the login
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		within(t, patience, "all logins in the logs", func() bool { return pair[0].logins(user)+pair[1].logins(user) >= n })
		if a, b := pair[0].logins(user), pair[1].logins(user); a != 0 && b != 0 {
			t.Errorf("%s logged in %d times at s1 and %d times at s2, want one of them 0", user, a, b)
		}
	}
}

// What the runtime socket says of users agrees with what they do.
func TestStickyShowUsers(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	l := runLB(t, options{servers: serversOf(pair[:]...)})
	user := newUser()
	c := loggedIn(t, l.plain, user)
	home := l.home(user)
	row := regexp.MustCompile(`(?m)^` + user + ` .*$`).FindString(l.ask("show users"))
	if !strings.Contains(row, " mail ") || !strings.Contains(row, " "+home+" ") {
		t.Errorf("show users has %q of %s, who lives on mail/%s", row, user, home)
	}
	for command, want := range map[string]bool{
		"show users " + user[:4] + "*": true, "show users nobody*": false, "show users server mail/" + home: true,
		"show sess": true, "show sess server mail/" + home: true,
	} {
		shown := user
		if strings.HasPrefix(command, "show sess") {
			shown = "srv=" + home
		}
		if got := strings.Contains(l.ask(command), shown); got != want {
			t.Errorf("%s shows %q: %v, want %v", command, shown, got, want)
		}
	}
	if got := l.stat("mail", home, "scur"); got != "1" {
		t.Errorf("scur of %s = %s, want 1", home, got)
	}
	c.logout()
	within(t, patience, "conn_cur 0", func() bool { return l.entry(user, "conn_cur") == "0" })
	if got := l.home(user); got != home {
		t.Errorf("home after the session = %q, want %q still", got, home)
	}
}

// An entry nobody uses expires.
func TestStickyExpire(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0]), table: `expire = "1s"`})
	used, unused := newUser(), newUser()
	c := loggedIn(t, l.plain, used)
	if err := login(l.plain, unused); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "the entry expires", func() bool { return l.home(unused) == "" })
	if got := l.home(used); got != "s1" {
		t.Errorf("home of a user with a session = %q, want s1: it must not expire", got)
	}
	c.logout()
}

// When a server dies its users go to the other at their next login, and stay
// there when it comes back. The others notice nothing.
func TestStickyServerDies(t *testing.T) {
	t.Parallel()
	first, second := startDovecot(t), startDovecot(t)
	l := runLB(t, options{
		servers: serversOf(first, second),
		backend: "check = { " + quick + " }",
	})
	var moved, stayed []string
	for len(moved) < 3 || len(stayed) < 3 {
		user := newUser()
		if err := login(l.plain, user); err != nil {
			t.Fatal(err)
		}
		if l.home(user) == "s1" {
			moved = append(moved, user)
		} else {
			stayed = append(stayed, user)
		}
	}
	lost, kept := loggedIn(t, l.plain, moved[0]), loggedIn(t, l.plain, stayed[0])
	first.kill()
	lost.bye(patience, "[UNAVAILABLE]")
	within(t, patience, "s1 is down", func() bool { return strings.HasPrefix(l.stat("mail", "s1", "status"), "DOWN") })
	for _, user := range append(moved, stayed...) {
		loggedIn(t, l.plain, user).logout()
		if got := l.home(user); got != "s2" {
			t.Errorf("home of %s with s1 dead = %q, want s2", user, got)
		}
	}
	kept.alive()

	if err := first.start(); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "s1 is up", func() bool { return l.stat("mail", "s1", "status") == "UP" })
	for _, user := range append(moved, stayed...) {
		loggedIn(t, l.plain, user).logout()
		if got := l.home(user); got != "s2" {
			t.Errorf("home of %s with s1 back = %q, want s2 still", user, got)
		}
	}
	kept.alive()
	kept.logout()
}

// report sends what f returns.
func report(results chan<- error, f func() error) { results <- f() }
