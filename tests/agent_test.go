package tests

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// runAgent answers each connection with what is in the pointer.
func runAgent(t *testing.T) (addr string, answer *atomic.Pointer[string]) {
	t.Helper()
	addr, answer = freeAddr(t), new(atomic.Pointer[string])
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends when the cleanup closes the listener
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer conn.Close()
				fmt.Fprint(conn, *answer.Load())
				// Closed with what was sent to the agent unread, the connection would
				// be reset, and the answer lost.
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return addr, answer
}

// An agent on a server's host changes its weight and limit, drains it, takes
// it down and back up; nonsense changes nothing and is logged once.
func TestAgent(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	addr, answer := runAgent(t)
	say := func(s string) { answer.Store(&s) }
	say("up ready 100%\n")
	servers := serversOf(pair[:]...)
	servers[0].extra = `agent = { addr = "` + addr + `", inter = "20ms" }`
	l := runLB(t, options{servers: servers, global: `shutdown_spread = "0s"`})
	want := func(column, value string) {
		t.Helper()
		if !waitFor(patience, func() bool { return l.stat("mail", "s1", column) == value }) {
			t.Fatalf("the agent says %q: %s = %q, want %q", *answer.Load(), column, l.stat("mail", "s1", column), value)
		}
	}
	want("agent_status", "L7OK")
	say("25% maxconn:7\n")
	want("weight", "25")
	want("uweight", "100")
	want("slim", "7")
	say("drain # for the night\n")
	want("status", "DRAIN (agent)")
	want("agent_desc", "for the night")
	user := newUser()
	loggedIn(t, l.plain, user)
	if home := l.home(user); home != "s2" {
		t.Errorf("a new user lives on %s while the agent drains s1", home)
	}
	say("what?\n")
	want("agent_status", "L7RSP")
	want("status", "DRAIN (agent)")
	say("ready 100%\n")
	want("status", "UP")
	l.tell("set table users key " + user + " server s1")
	c := loggedIn(t, l.plain, user)
	say("stopped\n")
	want("status", "DOWN (agent)")
	c.bye(patience, "")
	say("up\n")
	want("status", "UP")
	if n := strings.Count(l.log(), "agent not understood"); n != 1 {
		t.Errorf("nonsense was logged %d times, want once", n)
	}
}

// Peers vote with what an agent says; one that does not hear it is outvoted.
func TestAgentInTheCluster(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	addr, answer := runAgent(t)
	up, down := "up\n", "down # disk\n"
	answer.Store(&up)
	servers := serversOf(pair[:]...)
	servers[0].extra = `agent = { addr = "` + addr + `", inter = "50ms" }`
	f := runFleet(t, 2, options{servers: servers})
	answer.Store(&down)
	for _, l := range f.lbs {
		within(t, patience, "down at "+l.config, func() bool { return strings.HasPrefix(l.stat("mail", "s1", "status"), "DOWN") })
	}
	answer.Store(&up)
	for _, l := range f.lbs {
		within(t, patience, "up at "+l.config, func() bool { return l.stat("mail", "s1", "status") == "UP" })
	}
}

// With on_marked_down = "none" sessions stay on a server that went down, until
// their user is placed elsewhere; and one that is back begins slowly.
func TestOnMarkedDown(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	addr, answer := runAgent(t)
	up, down := "up\n", "down\n"
	answer.Store(&up)
	servers := serversOf(pair[:]...)
	servers[0].extra = `agent = { addr = "` + addr + `", inter = "20ms" }` + "\non_marked_down = \"none\"\nslowstart = \"1h\""
	l := runLB(t, options{servers: servers, global: `shutdown_spread = "0s"`})
	user, other := newUser(), newUser()
	for _, u := range []string{user, other} {
		l.tell("set table users key " + u + " server s1")
	}
	c, stays := loggedIn(t, l.plain, user), loggedIn(t, l.plain, other)
	if got := l.stat("mail", "s1", "throttle"); got != "" {
		t.Errorf("throttle at the start is %s, want none", got)
	}
	answer.Store(&down)
	within(t, patience, "down", func() bool { return l.stat("mail", "s1", "status") == "DOWN (agent)" })
	c.alive()
	loggedIn(t, l.plain, user)
	if home := l.home(user); home != "s2" {
		t.Errorf("a login while s1 is down went to %s, want s2", home)
	}
	c.bye(patience, "")
	stays.alive()
	answer.Store(&up)
	within(t, patience, "up, and slow", func() bool {
		return l.stat("mail", "s1", "status") == "UP" && l.stat("mail", "s1", "throttle") == "5" && l.stat("mail", "s1", "weight") == "5"
	})
}
