package tests

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One of three Dovecots dies under users of two peers. They are back at the
// others soon, none on two servers, none refused for long, and no more logins
// are under way there than they may have.
func TestTrioKilled(t *testing.T) {
	t.Parallel()
	const users, maxlogins = 90, 4
	began := time.Now()
	dies := startDovecot(t)
	pair := sharedDovecots(t)
	all := trio{dies, pair[0], pair[1]}
	o := clustered(t)
	o.servers = serversOf(all[:]...)
	for i := range o.servers {
		o.servers[i].extra = fmt.Sprintf("maxlogins = %d", maxlogins)
	}
	o.global = "shutdown_spread = \"1s\""
	o.backend = "retries = 0\ncheck = { kind = \"imap\", inter = \"200ms\", fastinter = \"100ms\", timeout = \"2s\" }"
	f := runFleet(t, 2, o)
	var names []string
	var in atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range users {
		user := newUser()
		names = append(names, user)
		clients.Go(func() { returning(f.lbs[i%2].plain, user, &in, stop) })
	}
	defer clients.Wait()
	defer close(stop)
	back := func() bool { return in.Load() == users }
	within(t, 30*time.Second, "all users are in", back)
	for _, l := range f.lbs {
		if l.stat("mail", "s1", "scur") == "0" {
			t.Error("nobody is on the Dovecot that will die")
		}
	}
	dies.kill()
	killed := time.Now()
	within(t, patience, "users are out", func() bool { return !back() })
	for _, l := range f.lbs {
		within(t, patience, "it is found dead", func() bool { return strings.HasPrefix(l.stat("mail", "s1", "status"), "DOWN") })
	}
	within(t, patience, "all users are back", back)
	t.Logf("all are back after %v", time.Since(killed))
	for _, l := range f.lbs {
		if n := l.stat("mail", "s1", "scur"); n != "0" {
			t.Errorf("%s sessions are on the dead server", n)
		}
		for _, s := range []string{"s2", "s3"} {
			if n := number(t, l.stat("mail", s, "login_max"), `(\d+)`); n > maxlogins || n == 0 {
				t.Errorf("%s had %d logins under way, at most %d", s, n, maxlogins)
			}
		}
	}
	f.agree(patience, f.lbs...)
	wantOneHome(t, names, began, pair[:]...) // the dead one's log has no ends
}
