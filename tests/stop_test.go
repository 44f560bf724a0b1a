package tests

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGTERM: nobody new gets in, who is in stays until he leaves, then the
// process ends well.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	c := loggedIn(t, l.plain, newUser())
	l.signal(syscall.SIGTERM)
	within(t, patience, "the listener is closed", func() bool {
		conn, err := net.DialTimeout("tcp", l.plain, time.Second)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if got := l.info("Stopping"); got != 1 {
		t.Errorf("Stopping = %d, want 1", got)
	}
	c.alive()
	c.ok("SELECT INBOX")
	if l.dead() {
		t.Fatal("the process ended with a session open")
	}
	c.logout()
	if err := l.waitExit(patience); err != nil {
		t.Errorf("imaplb ended with %v", err)
	}
}

// After hard_stop_after the rest is told BYE, not cut off.
func TestStopHard(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{
		servers: serversOf(sharedDovecots(t)[0]),
		global:  "hard_stop_after = \"1s\"\nshutdown_spread = \"1s\"",
	})
	var all []*client
	for range 20 {
		all = append(all, loggedIn(t, l.plain, newUser()))
	}
	waiting := greeted(t, l.plain)
	began := time.Now()
	l.signal(syscall.SIGTERM)
	for _, c := range all {
		c.bye(patience, "[UNAVAILABLE]")
	}
	waiting.closed(patience)
	if err := l.waitExit(patience); err != nil {
		t.Errorf("imaplb ended with %v", err)
	}
	if spent := time.Since(began); spent < time.Second || spent > 8*time.Second {
		t.Errorf("stopped after %v, want 1 to 2 s", spent)
	}
}

// A second SIGTERM does not wait, but says BYE still.
func TestStopNow(t *testing.T) {
	t.Parallel()
	l := runLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	user := newUser()
	c := loggedIn(t, l.plain, user)
	l.signal(syscall.SIGTERM)
	within(t, patience, "Stopping", func() bool { return l.info("Stopping") == 1 })
	c.alive()
	l.signal(syscall.SIGTERM)
	if said := c.closed(patience); !strings.Contains(said, "* BYE") {
		t.Errorf("the last words were %q, want a BYE", said)
	}
	if err := l.waitExit(patience); err != nil {
		t.Errorf("imaplb ended with %v", err)
	}
	l.sessionEnd("user=" + user)
}

// A port that is taken is told at the start, with status 1 and no stack.
func TestStartFails(t *testing.T) {
	t.Parallel()
	l := newLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
	taken, err := net.Listen("tcp", l.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	out, err := l.output("run", "-f", l.config)
	if err == nil || !strings.Contains(out, l.plain) || strings.Contains(out, "goroutine ") || strings.Contains(out, "Usage:") {
		t.Errorf("run on a taken port: %v: %q, want an error that names %s", err, out, l.plain)
	}
}
