package tests

import (
	"crypto/tls"
	"strings"
	"syscall"
	"testing"
)

// A configuration with faults is refused, as a whole and with its faults in the
// answer and in the log; what runs goes on.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	o := options{servers: serversOf(sharedDovecots(t)[0])}
	l := runLB(t, o)
	l.wantErrors = true
	c := loggedIn(t, l.plain, newUser())
	bad := o
	bad.frontend = `timeuot_client = "5m"`
	bad.more = "[frontend.other]\nbind = [\"127.0.0.1:1\"]\nbackend = \"mial\"\n"
	l.write(bad)
	out, err := l.ctl("reload")
	if err == nil {
		t.Error("ctl reload of a bad configuration ended with 0")
	}
	for _, want := range []string{"timeuot_client", "timeout_client", `"mial"`, l.config + ":"} {
		if !strings.Contains(out, want) {
			t.Errorf("ctl reload said %q, want %q in it", out, want)
		}
	}
	if checked, err := l.check(); err == nil || !strings.Contains(checked, "mial") {
		t.Errorf("check: %v: %q, want the same faults", err, checked)
	}
	before := strings.Count(l.log(), "timeuot_client")
	l.signal(syscall.SIGHUP)
	within(t, patience, "the faults in the log", func() bool { return strings.Count(l.log(), "timeuot_client") > before })
	c.alive()
	if err := login(l.plain, newUser()); err != nil {
		t.Error(err)
	}
	l.write(o)
	if out, err := l.ctl("reload"); err != nil {
		t.Errorf("ctl reload of a good configuration: %v: %s", err, out)
	}
	c.alive()
	c.logout()
}

// New certificates are served after SIGHUP, to new connections; the sessions
// under the old ones live on.
func TestReloadCertificate(t *testing.T) {
	t.Parallel()
	o := options{servers: serversOf(sharedDovecots(t)[0]), certs: []pair{newCert(t, "old.test")}}
	l := runLB(t, o)
	old := dialTLS(t, l.implicit, trust(t, "old.test"))
	old.expect("* OK")
	old.ok("LOGIN %s %s", newUser(), password)
	o.certs = []pair{newCert(t, "new.test")}
	l.write(o)
	l.signal(syscall.SIGHUP)
	within(t, patience, "the new certificate", func() bool {
		conn, err := tls.Dial("tcp", l.implicit, trust(t, "new.test"))
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	old.ok("SELECT INBOX")
	old.logout()
	c := greeted(t, l.starttls)
	c.startTLS(trust(t, "new.test"))
	c.ok("LOGIN %s %s", newUser(), password)
	c.logout()
}

// Servers come and go, weights and timeouts change, and no session is lost.
func TestReloadServers(t *testing.T) {
	t.Parallel()
	pair := sharedDovecots(t)
	o := options{servers: serversOf(pair[0])}
	l := runLB(t, o)
	user := newUser()
	c := loggedIn(t, l.plain, user)

	o.servers = serversOf(pair[:]...)
	o.servers[0].extra = "weight = 0"
	o.frontend = `timeout_client = "40m"`
	reload(t, l, o)
	c.alive()
	if got := l.stat("mail", "s1", "weight"); got != "0" {
		t.Errorf("weight of s1 = %s, want 0", got)
	}
	fresh := newUser()
	loggedIn(t, l.plain, fresh).logout()
	if got := l.home(fresh); got != "s2" {
		t.Errorf("home of a new user = %q, want s2: s1 has weight 0", got)
	}
	again := loggedIn(t, l.plain, user)
	if got := l.home(user); got != "s1" {
		t.Errorf("home of a user with a session = %q, want s1 still", got)
	}
	again.logout()
	c.alive()

	o.servers = serversOf(pair[:]...)[1:]
	reload(t, l, o)
	if err := login(l.plain, newUser()); err != nil {
		t.Errorf("login after s1 was taken out: %v", err)
	}
	if answer := l.ask("show servers state mail"); strings.Contains(answer, " s1 ") {
		t.Errorf("s1 is still there: %q", answer)
	}
	c.close()
	o.servers = serversOf(pair[0]) // as at the start: each server has a goroutine that checks it
	reload(t, l, o)
	if err := login(l.plain, newUser()); err != nil {
		t.Errorf("login after s1 came back and s2 was taken out: %v", err)
	}
}

func reload(t *testing.T, l *lb, o options) {
	t.Helper()
	l.write(o)
	if out, err := l.ctl("reload"); err != nil {
		t.Fatalf("reload: %v: %s", err, out)
	}
}
