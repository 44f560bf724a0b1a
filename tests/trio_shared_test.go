package tests

import (
	"fmt"
	"testing"
	"time"
)

// Two backends with the same servers, one for webmail say, that share a table:
// a user is on one server by whichever he comes, at both peers, and an order
// about him is about his sessions of both.
func TestTrioTwoBackends(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	began := time.Now()
	o := all.peers()
	o.global = "shutdown_spread = \"0s\""
	o.more = frontendText("web", `backend = "web"`) + "[backend.web]\nbalance = \"roundrobin\"\nstick_table = \"users\"\n"
	for i, addr := range all.implicit() {
		o.more += fmt.Sprintf("[backend.web.server.s%d]\naddr = %q\ntls = \"implicit\"\ntls_verify = false\n", i+1, addr)
	}
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	var names []string
	for i := range 6 {
		user := newUser()
		names = append(names, user)
		addrs := []string{a.plain, b.boundTo("web"), a.boundTo("web"), b.plain}
		var open []*client
		for n := range addrs {
			open = append(open, loggedIn(t, addrs[(i+n)%len(addrs)], user))
			f.agree(patience, a, b)
		}
		if all.at(t, user, len(addrs)) == 0 {
			t.Errorf("%s is on several servers", user)
		}
		for _, c := range open {
			c.alive()
		}
		if i > 0 {
			continue
		}
		to := map[string]string{"s1": "s2", "s2": "s3", "s3": "s1"}[a.home(user)]
		a.tell("move user " + user + " mail/" + to)
		for _, c := range open {
			c.bye(patience, "[UNAVAILABLE]")
		}
		for _, addr := range addrs {
			loggedIn(t, addr, user).logout()
		}
		a.wantHome(user, to)
		b.wantHome(user, to)
	}
	// One server, as the operator sees it: out of service in both backends.
	for _, be := range []string{"mail", "web"} {
		a.tell("set server " + be + "/s1 state maint")
	}
	for _, user := range names {
		within(t, patience, user+" is let in elsewhere", func() bool { return login(b.boundTo("web"), user) == nil && login(a.plain, user) == nil })
		if home := a.home(user); home == "s1" {
			t.Errorf("%s lives on s1, which is in maint", user)
		}
	}
	f.agree(patience, a, b)
	wantOneHome(t, names, began, all[:]...)
}
