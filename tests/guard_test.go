package tests

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// learning is a peer that has begun to start and waits for another one, which
// takes connections and says nothing.
func learning(t *testing.T) *lb {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	f := &fleet{t: t, key: newKey(), addrs: []string{freeAddr(t), silent.Addr().String()}}
	l := f.add(0, clustered(t))
	l.begin()
	within(t, patience, "the runtime socket answers", func() bool {
		said, err := l.tryAsk("show peers")
		return err == nil && strings.Contains(said, "has not learned yet")
	})
	return l
}

// A reload that comes while a peer learns is refused; by signal it waits, as
// nobody could be told.
func TestReloadWhileStarting(t *testing.T) {
	t.Parallel()
	l := learning(t)
	l.signal(syscall.SIGHUP)
	if said := l.ask("reload"); !strings.Contains(said, "imaplb is starting") {
		t.Errorf("reload = %q, want that imaplb is starting", said)
	}
	if strings.Contains(l.log(), "configuration reloaded") || strings.Contains(l.log(), "frontend open") {
		t.Fatal("it has started or loaded its configuration again; the test came too late, or the reload too early")
	}
	l.ready()
	within(t, patience, "the reload by signal", func() bool { return strings.Contains(l.log(), "configuration reloaded") })
	loggedIn(t, l.plain, newUser()).logout()
}

// A peer that is told to stop while it learns does so at once, and opens nothing
// before.
func TestStopWhileLearning(t *testing.T) {
	t.Parallel()
	l := learning(t)
	l.signal(syscall.SIGTERM)
	began := time.Now()
	if err := l.waitExit(patience); err != nil {
		t.Errorf("imaplb ended with %v", err)
	}
	if log := l.log(); !strings.Contains(log, "msg=stopping") || strings.Contains(log, "frontend open") || strings.Contains(log, "msg=started") {
		t.Errorf("it did not stop but start, after %v: %s", time.Since(began), log)
	}
}

// A reload that comes while imaplb stops is refused: it would open again what
// was closed.
func TestReloadWhileStopping(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	c := loggedIn(t, l.plain, newUser())
	l.signal(syscall.SIGTERM)
	within(t, patience, "Stopping", func() bool { return l.info("Stopping") == 1 })
	if said := l.ask("reload"); !strings.Contains(said, "imaplb is stopping") {
		t.Errorf("reload = %q, want that imaplb is stopping", said)
	}
	if conn, err := net.DialTimeout("tcp", l.plain, time.Second); err == nil {
		conn.Close()
		t.Error("somebody gets in")
	}
	c.alive()
	c.logout()
	if err := l.waitExit(patience); err != nil {
		t.Errorf("imaplb ended with %v", err)
	}
}

// A server that leaves the file keeps its sessions; when it comes back they end,
// since their users would go to what is another server for imaplb.
func TestReloadServerComesBack(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	o := options{servers: serversOf(pair[:]...)}
	l := runLB(t, o)
	lost, other := newUser(), newUser()
	l.tell("set table users key " + lost + " server s1")
	l.tell("set table users key " + other + " server s2")
	c, stays := loggedIn(t, l.plain, lost), loggedIn(t, l.plain, other)
	without := o
	without.servers = o.servers[1:]
	reload(t, l, without)
	c.alive()
	reload(t, l, o)
	c.bye(patience, "[UNAVAILABLE]")
	stays.alive()
	loggedIn(t, l.plain, lost).logout()
	stays.logout()
}

// When a server has another address in the file, the sessions at the old one
// end at once, as their users' next logins go to the new one; the others stay.
func TestReloadAddress(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	old, fresh := freeAddr(t), freeAddr(t)
	forward(t, old, pair[0].addr)
	forward(t, fresh, pair[0].addr)
	o := options{servers: serversOf(pair[:]...), global: `shutdown_spread = "10s"`}
	o.servers[0].addr = old
	l := runLB(t, o)
	moved, other := newUser(), newUser()
	l.tell("set table users key " + moved + " server s1")
	l.tell("set table users key " + other + " server s2")
	c, stays := loggedIn(t, l.plain, moved), loggedIn(t, l.plain, other)
	o.servers[0].addr = fresh
	reload(t, l, o)
	c.bye(patience, "[UNAVAILABLE]")
	again := loggedIn(t, l.plain, moved)
	if home := l.home(moved); home != "s1" {
		t.Errorf("home is %s, want s1 at its new address", home)
	}
	if said := l.stat("mail", "s1", "addr"); said != fresh {
		t.Errorf("s1 is at %s, want %s", said, fresh)
	}
	stays.alive()
	stays.logout()
	again.logout()
}
