package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clustered is what the fleets of the tests have: the shared servers; and a
// peer that is left alone goes on.
func clustered(t testing.TB) options {
	t.Helper()
	pair := sharedDovecots(t)
	return options{servers: serversOf(pair[:]...), peers: `tie_breaker = "serve"`}
}

// What one peer learns of a user the other one knows, and obeys.
func TestClusterFollows(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	for user, home := range f.settle(6) {
		first := loggedIn(t, a.plain, user)
		within(t, patience, "lb2 counts the session", func() bool { return b.residents()[user] == home+" 1 lb1" })
		second := loggedIn(t, b.plain, user)
		at := slices.IndexFunc(f.o.servers, func(s server) bool { return s.name == home })
		within(t, patience, "both logins in one log", func() bool { return pair[at].logins(user) == 2 })
		if n := pair[1-at].logins(user); n != 0 {
			t.Errorf("%s logged in %d times at the other server", user, n)
		}
		f.agree(patience, a, b)
		first.logout()
		second.logout()
	}
	user := newUser() // placed by lb1
	loggedIn(t, a.plain, user).logout()
	b.wantHome(user, a.home(user))
	f.agree(patience, a, b)
}

// A kick and a clear are carried out at all peers, each with a record of who
// gave the order where; told "local", at one alone.
func TestClusterKick(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	here, there := loggedIn(t, a.plain, user), loggedIn(t, b.plain, user)
	if said := strings.TrimSpace(a.ask("kick user " + user + " local")); said != "1 session closed." {
		t.Errorf("kick local = %q", said)
	}
	here.bye(patience, "[UNAVAILABLE]")
	here = loggedIn(t, a.plain, user)
	there.alive()
	if said := strings.TrimSpace(a.ask("kick user " + user)); said != "1 session closed here; the other peers close theirs." {
		t.Errorf("kick = %q", said)
	}
	here.bye(patience, "[UNAVAILABLE]")
	there.bye(patience, "[UNAVAILABLE]")
	for _, l := range f.lbs {
		within(t, patience, "the order in the events", func() bool {
			return strings.Contains(l.ask("show events"), fmt.Sprintf("order: kick user %q, by admin uid=%d at lb1 ", user, syscall.Getuid()))
		})
	}
	if strings.Contains(b.ask("show events"), "local") {
		t.Error("lb2 has heard of an order that was for lb1 alone")
	}
	within(t, patience, "no session is counted", func() bool { return strings.Contains(b.residents()[user], " 0 ") })
	a.tell("clear table users key " + user)
	b.wantHome(user, "")
	homes := f.settle(4)
	a.tell("clear table users")
	for other := range homes {
		b.wantHome(other, "")
	}
}

// kill -9 of a peer moves nobody: all come back through the other one to their
// old server. When it is started again it takes nobody before it has learned.
func TestClusterKilled(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.global = `login_timeout = "60s"` // no state_dir: what it knows it has from lb2
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	homes := f.settle(20)
	var open []*client
	for user := range homes {
		open = append(open, loggedIn(t, a.plain, user))
	}
	f.agree(patience, a, b)
	a.kill()
	for _, c := range open {
		c.closed(patience)
	}
	for user, home := range homes {
		loggedIn(t, b.plain, user).logout()
		if got := b.home(user); got != home {
			t.Errorf("home of %s with lb1 dead = %q, want %q", user, got, home)
		}
	}
	within(t, patience, "lb1 is found dead", func() bool { return b.peer("lb1")["state"] == "dead" })

	f.restartUnready(a, b)
	a.ready()
	within(t, patience, "lb1 is ready", func() bool { return a.readyz() == 200 })
	f.met(a, b)
	if said := a.ask("show peers"); number(t, said, `serving; learned (\d+) entries from lb2`) < len(homes) {
		t.Errorf("show peers = %q, want %d entries learned at least", said, len(homes))
	}
	for user, home := range homes {
		if got := a.home(user); got != home {
			t.Errorf("home of %s after the restart = %q, want %q", user, got, home)
		}
	}
	f.agree(patience, a, b)
}

// restartUnready starts a and sees that it takes nobody while b, who sleeps,
// has told it nothing. On a slow machine a may take b for dead meanwhile, and
// is started again.
func (f *fleet) restartUnready(a, b *lb) {
	f.t.Helper()
	for range 5 {
		b.signal(syscall.SIGSTOP)
		a.begin()
		within(f.t, patience, "lb1 is there", func() bool { return a.readyz() != 0 })
		status := a.readyz()
		early := dial(f.t, a.plain) // a client may come, and waits
		said := early.silent(100 * time.Millisecond)
		b.signal(syscall.SIGCONT)
		a.ready()
		if strings.HasSuffix(strings.TrimSpace(a.ask("show peers")), "started alone, nobody answered") {
			a.kill()
			continue
		}
		if status != 503 || said != "" {
			f.t.Errorf("before it had learned: readyz = %d, want 503; a client was told %q, want nothing", status, said)
		}
		early.expect("* OK")
		early.close()
		return
	}
	f.t.Fatal("lb1 started alone each time")
}

// A peer that is stopped says so: it is not taken for dead, and its sessions
// are off the books at once.
func TestClusterLeave(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	user := newUser()
	lost := loggedIn(t, a.plain, user)
	stays := loggedIn(t, b.plain, user)
	home := b.home(user)
	within(t, patience, "both sessions are counted", func() bool { return strings.HasPrefix(b.residents()[user], home+" 2 ") })
	a.signal(syscall.SIGTERM)
	lost.bye(patience, "[UNAVAILABLE]")
	if err := a.waitExit(patience); err != nil {
		t.Fatal(err)
	}
	within(t, patience, "lb1 has left", func() bool { return b.peer("lb1")["state"] == "left" })
	within(t, patience, "one session is counted, long before peer_grace is over", func() bool { return strings.HasPrefix(b.residents()[user], home+" 1 ") })
	if said := b.ask("show peers"); !strings.Contains(said, "lb2: 1 of 1 peers alive; serving") {
		t.Errorf("show peers = %q, want 1 of 1 peers", said)
	}
	stays.alive()
	stays.logout()
}

// A peer that is started while it is cut off from the others remembers them:
// it does not take itself for the whole cluster.
func TestClusterStartedAlone(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.peers = ""
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	saved := filepath.Join(a.dir, "state", "peers")
	within(t, patience, "lb1 has saved whom it knows", func() bool {
		b, _ := os.ReadFile(saved)
		return strings.HasSuffix(string(b), " lb2\n")
	})
	a.kill()
	b.kill()
	a.run()
	if !frozen(a) {
		t.Errorf("lb1 is not frozen without lb2:\n%s", a.ask("show peers"))
	}
	b.run()
	f.met(a, b)
	within(t, patience, "both go on", func() bool { return !frozen(a) && !frozen(b) })
}
