package tests

import (
	"fmt"
	"strings"
	"testing"
)

// Routes before three Dovecots and through two peers: by user, domain, name
// asked for, source and listener; the first that holds, else the default.
func TestTrioRoutes(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.more = fmt.Sprintf(`[frontend.routed]
bind = ["127.0.0.1:0", "127.0.0.2:0"]
tls = "implicit"
%s
route = [
  { user = "vip-*", backend = "one" },
  { domain = "two.test", backend = "two" },
  { domain = "*.two.test", sni = "imap.three.test", backend = "three" },
  { sni = "IMAP.two.test", backend = "two" },
  { src = ["127.0.0.30/32", "2001:db8::/32"], backend = "three" },
  { bind = "127.0.0.2:0", backend = "two" },
]
backend = "one"
`, certsText(t))
	for i, name := range []string{"one", "two", "three"} {
		o.more += backendText(name, "", all[i].addr)
	}
	f := runFleet(t, 2, o)
	for _, l := range f.lbs {
		bound := strings.Fields(l.boundTo("routed"))
		for _, c := range []struct {
			user, name, from string
			bind, want       int
		}{
			{"", "imap.test", "127.0.0.1", 0, 1},
			{"@other.test", "", "127.0.0.1", 0, 1},
			{"@two.test", "imap.test", "127.0.0.1", 0, 2},
			{"@TWO.test", "imap.test", "127.0.0.1", 0, 2},
			{"@a.two.test", "imap.test", "127.0.0.1", 0, 1},
			{"@a.two.test", "imap.three.test", "127.0.0.1", 0, 3},
			{"", "imap.three.test", "127.0.0.1", 0, 1},
			{"", "imap.TWO.test", "127.0.0.30", 0, 2},
			{"", "imap.test", "127.0.0.30", 0, 3},
			{"", "imap.test", "127.0.0.31", 0, 1},
			{"", "imap.test", "127.0.0.30", 1, 3},
			{"", "imap.test", "127.0.0.31", 1, 2},
			{"vip@two.test", "imap.two.test", "127.0.0.30", 1, 1},
		} {
			user := newUser()
			if strings.HasPrefix(c.user, "vip") {
				user = "vip-" + user + strings.TrimPrefix(c.user, "vip")
			} else {
				user += c.user
			}
			in := dialNamed(t, c.from, bound[c.bind], c.name)
			in.ok("LOGIN %s %s", user, password)
			in.logout()
			if got := all.at(t, strings.ToLower(user), 1); got != c.want {
				t.Errorf("%+v is on Dovecot %d", c, got)
			}
		}
	}
}

// A table by domain, and one by template, keep those together who belong
// together, at both peers.
func TestTrioKeys(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := clustered(t)
	o.more = "[stick_table.domains]\nkey = \"domain\"\n[stick_table.names]\nkey = \"{user|local|before '-'}@{user|domain}\"\n" +
		frontendText("bydomain", `backend = "bydomain"`) + frontendText("byname", `backend = "byname"`) +
		backendText("bydomain", "balance = \"roundrobin\"\nstick_table = \"domains\"", all.clear()...) +
		backendText("byname", "balance = \"roundrobin\"\nstick_table = \"names\"", all.clear()...)
	f := runFleet(t, 2, o)
	for _, c := range []struct{ name, table, frontend string }{{"domain", "domains", "bydomain"}, {"template", "names", "byname"}} {
		f.run(t, c.name, func(t *testing.T) {
			used := map[int]bool{}
			for i := range 6 {
				a, b := f.lbs[i%2], f.lbs[1-i%2]
				user, domain := newUser(), newUser()+".test"
				names, key := []string{user, newUser(), newUser()}, domain
				if c.name == "template" {
					names, key = []string{user, user + "-work", user + "-a-b"}, user+"@"+domain
				}
				home := 0
				for n, name := range names {
					l := []*lb{a, b, a}[n]
					name += "@" + domain
					loggedIn(t, l.boundTo(c.frontend), name).logout()
					got := all.at(t, name, 1)
					if n == 0 {
						home = got
						used[home] = true
						b.wantKey(c.table, key, fmt.Sprint("s", home))
					}
					if got != home {
						t.Errorf("%s is on Dovecot %d, the first of %s on %d", name, got, key, home)
					}
				}
			}
			if len(used) != len(all) {
				t.Errorf("only the Dovecots %v were used", used)
			}
		})
	}
}
