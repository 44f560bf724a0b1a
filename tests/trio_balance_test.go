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
	o := clustered(t)
	var visit atomic.Int32
	proxied := "accept_proxy = [\"127.0.0.1\"]\n"
	weighted := func(name, balance string, weights [3]int) string {
		text := fmt.Sprintf("[backend.%s]\nbalance = %q\n", name, balance)
		for i, d := range all {
			text += fmt.Sprintf("[backend.%s.server.s%d]\naddr = %q\nweight = %d\n", name, i+1, d.addr, weights[i])
		}
		return text
	}
	o.more = backendText("hash", "stick_table = \"\"", all.clear()...) +
		backendText("source", "balance = \"source\"\nstick_table = \"\"", all.clear()...) +
		backendText("bounded", "balance = \"source\"\nbalance_factor = 110", all.clear()...) +
		backendText("random", "balance = \"random\"", all.clear()...) +
		weighted("roundrobin", "roundrobin", [3]int{150, 100, 50}) + weighted("leastconn", "leastconn", [3]int{100, 200, 100})
	for _, name := range []string{"hash", "bounded", "random", "roundrobin", "leastconn"} {
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
	for _, c := range []struct {
		name        string
		users       int
		least, most [3]int // sessions at the end
	}{
		{"roundrobin", 12, [3]int{6, 4, 2}, [3]int{6, 4, 2}},
		{"leastconn", 8, [3]int{2, 4, 2}, [3]int{2, 4, 2}},
		{"random", 24, [3]int{4, 4, 4}, [3]int{14, 14, 14}},
		{"bounded", 12, [3]int{2, 2, 2}, [3]int{5, 5, 5}},
	} {
		f.run(t, c.name, func(t *testing.T) {
			for _, l := range f.lbs {
				count := [3]int{}
				var open []*client
				for range c.users {
					user := newUser()
					open = append(open, loggedIn(t, l.boundTo(c.name), user))
					if n := all.at(t, user, 1); n > 0 {
						count[n-1]++
					}
				}
				for i, n := range count {
					if n < c.least[i] || n > c.most[i] {
						t.Errorf("%d, %d and %d users on the Dovecots, want %v to %v", count[0], count[1], count[2], c.least, c.most)
						break
					}
				}
				for _, in := range open {
					in.logout()
				}
			}
		})
	}
}

// chooseAlike: without a table both peers choose the same server for the same
// user, or for the same number behind the connection, and use them all.
func (f *fleet) chooseAlike(t *testing.T, all trio, connect func(i int, l *lb) *client) {
	used := map[int]bool{}
	for i := range 12 {
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
