package tests

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// One of three Dovecots dies under 3,000 users of two peers. They are back at
// the others within shutdown_spread and 5 s, none on two servers, and no peer
// has more logins under way there than all may have. That the peers together
// have no more is seen by the server of TestClusterStorm.
func TestTrioStorm(t *testing.T) {
	t.Parallel()
	const (
		onOne, users = 3000, 3200 // on s1; in all
		maxlogins    = 20
		spread       = 5 * time.Second
	)
	began := time.Now()
	var all trio
	for i := range all {
		all[i] = startDovecotAt(t, place{}, manySessions)
	}
	o := all.peers()
	for i := range o.servers {
		o.servers[i].extra = fmt.Sprintf("maxlogins = %d", maxlogins)
	}
	o.global = fmt.Sprintf("shutdown_spread = %q", spread)
	o.backend = "check = { kind = \"imap\", inter = \"500ms\", fastinter = \"200ms\", timeout = \"5s\" }"
	f := runFleet(t, 2, o)
	var names []string
	for range users {
		names = append(names, newUser())
	}
	f.settleOn(names[:onOne], "s1")
	var in atomic.Int64
	var clients sync.WaitGroup
	stop := make(chan struct{})
	filling := time.Now()
	for i, user := range names {
		clients.Go(func() { returning(f.lbs[i%2].plain, user, &in, stop) })
	}
	defer clients.Wait()
	defer close(stop)
	const slow = 2 * time.Minute // on a machine that has much else to do
	back := func() bool { return in.Load() == users }
	within(t, slow, "all users are in", back)
	filled := time.Since(filling)
	within(t, patience, "3,000 are on s1", func() bool { return f.sum("s1", "scur") >= onOne })

	all[0].kill()
	killed := time.Now()
	within(t, patience, "users are out", func() bool { return !back() })
	within(t, slow, "all users are back", func() bool { return back() && f.sum("s1", "scur") == 0 })
	took := time.Since(killed)
	t.Logf("%d users were in after %v; %d are back after %v", users, filled, onOne, took)
	// Where the first logins took long the machine is slow.
	if limit := max(spread+5*time.Second, 4*filled); took > limit {
		t.Errorf("all are back after %v, want %v", took, limit)
	}
	for _, l := range f.lbs {
		if s := l.stat("mail", "s1", "status"); !strings.HasPrefix(s, "DOWN") {
			t.Errorf("the dead server is %s", s)
		}
		for _, s := range []string{"s2", "s3"} {
			if n := number(t, l.stat("mail", s, "login_max"), `(\d+)`); n > maxlogins || n == 0 {
				t.Errorf("%s had %d logins under way, at most %d", s, n, maxlogins)
			}
		}
	}
	f.agree(patience, f.lbs...)
	wantOneHome(t, names, began, all[1:]...) // the dead one's log has no ends
}

// sum is a number of "show stat" for a server, of all peers together.
func (f *fleet) sum(server, column string) (n int) {
	f.t.Helper()
	for _, l := range f.lbs {
		n += number(f.t, l.stat("mail", server, column), `(\d+)`)
	}
	return n
}
