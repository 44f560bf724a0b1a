package tests

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// The algorithms before three Dovecots and through two peers, seen by where
// the users' sessions are.
func TestTrioBalance(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	var visit atomic.Int32
	proxied := "accept_proxy = [\"127.0.0.1\"]\n"
	unlike := func(name, balance string, extra [3]string) string {
		text := fmt.Sprintf("[backend.%s]\nbalance = %q\n", name, balance)
		for i, d := range all {
			text += fmt.Sprintf("[backend.%s.server.s%d]\naddr = %q\n%s\n", name, i+1, d.addr, extra[i])
		}
		return text
	}
	o.more = backendText("hash", "stick_table = \"\"", all.clear()...) +
		backendText("source", "balance = \"source\"\nstick_table = \"\"", all.clear()...) +
		backendText("bounded", "balance = \"source\"\nbalance_factor = 110", all.clear()...) +
		backendText("random", "balance = \"random\"", all.clear()...) +
		unlike("roundrobin", "roundrobin", [3]string{"weight = 150", "weight = 100", "weight = 50"}) +
		unlike("leastconn", "leastconn", [3]string{"weight = 100", "weight = 200", "weight = 100"}) +
		unlike("first", "first", [3]string{"maxconn = 2", "maxconn = 2", ""}) + // one for each peer
		unlike("backup", "hash", [3]string{"state = \"maint\"", "state = \"maint\"", "backup = true"})
	for _, name := range []string{"hash", "bounded", "random", "roundrobin", "leastconn", "first", "backup"} {
		o.more += frontendText(name, fmt.Sprintf("backend = %q", name))
	}
	o.more += frontendText("source", proxied+"backend = \"source\"")
	f := runFleet(t, 2, o)
	f.run(t, "hash", func(t *testing.T) {
		f.chooseAlike(t, all, func(i int, l *lb) *client { return greeted(t, l.boundTo("hash")) })
	})
	f.run(t, "source", func(t *testing.T) {
		f.chooseAlike(t, all, func(i int, l *lb) *client {
			src := fmt.Sprintf("192.0.2.%d", i)
			if i%2 == 0 { // the /64 counts, not the rest
				src = fmt.Sprintf("2001:db8:0:%d::%d", i, visit.Add(1))
			}
			c := dialAs(t, src, l.boundTo("source"))
			c.expect("* OK")
			return c
		})
	})
	for _, l := range f.lbs {
		l.wantClaim("s1", "maxconn", "2", "1")
		l.wantClaim("s2", "maxconn", "2", "1")
	}
	for _, c := range []spread{
		{"roundrobin", 12, [3]int{6, 4, 2}, [3]int{6, 4, 2}},
		{"leastconn", 8, [3]int{2, 4, 2}, [3]int{2, 4, 2}},
		{"first", 5, [3]int{1, 1, 1}, [3]int{2, 2, 3}}, // with both places, if the other peer seemed dead
		{"backup", 5, [3]int{0, 0, 5}, [3]int{0, 0, 5}},
		{"random", 24, [3]int{4, 4, 4}, [3]int{14, 14, 14}},
		{"bounded", 12, [3]int{2, 2, 2}, [3]int{5, 5, 5}},
	} {
		f.run(t, c.frontend, func(t *testing.T) { f.chooseSome(t, all, c) })
	}
}

// spread is how many of some users' sessions each server is to have.
type spread struct {
	frontend    string
	users       int
	least, most [3]int
}

// chooseSome has users log in at each peer and stay.
func (f *fleet) chooseSome(t *testing.T, all trio, want spread) {
	for _, l := range f.lbs {
		count := [3]int{}
		var open []*client
		for range want.users {
			user := newUser()
			open = append(open, loggedIn(t, l.boundTo(want.frontend), user))
			if n := all.at(t, user, 1); n > 0 {
				count[n-1]++
			}
		}
		for i, n := range count {
			if n < want.least[i] || n > want.most[i] {
				t.Errorf("%v users on the Dovecots, want %v to %v", count, want.least, want.most)
				break
			}
		}
		for _, in := range open {
			in.logout()
		}
	}
}

// chooseAlike: without a table both peers choose the same server for the same
// user, or for the same number behind the connection, and use them all.
func (f *fleet) chooseAlike(t *testing.T, all trio, connect func(i int, l *lb) *client) {
	used := map[int]bool{}
	for i := 0; i < 12 || len(used) < len(all) && i < 100; i++ { // of 12 users none is on one of the Dovecots in 1 of 43 runs
		user := newUser()
		for range 2 {
			for _, l := range f.lbs {
				c := connect(i, l)
				c.ok("LOGIN %s %s", user, password)
				c.logout()
			}
		}
		home := all.at(t, user, 4)
		if home == 0 {
			t.Errorf("the logins of %s are on several Dovecots", user)
		}
		used[home] = true
	}
	if len(used) != len(all) {
		t.Errorf("only the Dovecots %v were used", used)
	}
}
