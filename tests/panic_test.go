package tests

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// The checks of all servers fail, and no server does: in panic nobody is sent
// away or refused, at either peer, and everybody keeps his home; when the checks
// are right again, all is as before.
func TestClusterPanic(t *testing.T) {
	t.Parallel()
	began := time.Now()
	pair := sharedDovecots(t)
	dovecots := []*dovecot{pair[0], pair[1], startDovecot(t)}
	f := newFleet(t, 2, options{servers: serversOf(dovecots...), peers: `tie_breaker = "serve"`,
		backend: "panic_threshold = 90\ncheck = { kind = \"login\", user = \"monitor\", password_file = \"pass\", " + quick + " }"})
	const wrong = "another-fake-password"
	for _, l := range f.lbs {
		l.secrets = append(l.secrets, wrong)
		l.writePassword(password)
	}
	f.start()
	f.met(f.lbs...)
	f.wantStatus("UP")
	homes := f.settle(6)
	var sessions []*client
	for user := range homes {
		for _, l := range f.lbs {
			sessions = append(sessions, loggedIn(t, l.plain, user))
		}
	}
	reload := func(secret, status string) {
		t.Helper()
		for _, l := range f.lbs {
			l.writePassword(secret)
			l.ask("reload")
		}
		f.wantStatus(status)
	}
	reload(wrong, "DOWN")
	for _, l := range f.lbs {
		within(t, patience, "the log tells of the panic", func() bool {
			return len(l.records("too few servers are up, health counts for nothing")) > 0
		})
		for user, home := range homes {
			loggedIn(t, l.plain, user).logout()
			l.wantHome(user, home)
		}
		fresh := newUser()
		l.explained(fresh, "note:     less than 90 % of the servers are up, so health counts for nothing (panic_threshold)", "!nowhere")
		loggedIn(t, l.plain, fresh).logout()
	}
	reload(password, "UP")
	for _, l := range f.lbs {
		within(t, patience, "the panic is over", func() bool { return !strings.Contains(l.ask("explain user x"), "panic_threshold") })
	}
	for _, c := range sessions {
		c.alive()
		c.logout()
	}
	wantOneHome(t, slices.Collect(maps.Keys(homes)), began, dovecots...)
}

// wantStatus waits until all peers give all servers that status.
func (f *fleet) wantStatus(status string) {
	f.t.Helper()
	for _, l := range f.lbs {
		for _, s := range f.o.servers {
			within(f.t, patience, s.name+" is "+status, func() bool { return l.stat("mail", s.name, "status") == status })
		}
	}
}
