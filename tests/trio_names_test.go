package tests

import (
	"net"
	"strings"
	"testing"
)

// Each address of a name is a server, with the same name at both peers: so the
// table fits. One that leaves the answer loses its users, the same way at both.
func TestTrioNames(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	ns := runNameserver(t)
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	ips := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}
	for i, ip := range ips {
		forward(t, ip+":"+port, all[i].addr)
	}
	ns.set("trio.disc.test", ips...)
	o := clustered(t)
	o.servers = []server{{"d", "trio.disc.test:" + port, `resolve = "all"`}}
	o.global = `nameservers = ["` + ns.addr + `"]` + "\nshutdown_spread = \"0s\""
	f := runFleet(t, 2, o)
	for _, ip := range ips {
		f.both("d-"+ip, "status", "UP")
	}
	homes := map[string]string{}
	for i := 0; len(homes) < 12; i++ {
		user := newUser()
		loggedIn(t, f.lbs[i%2].plain, user).logout()
		homes[user] = f.lbs[i%2].home(user)
	}
	f.agree(patience, f.lbs...)
	for user, home := range homes {
		for _, l := range f.lbs {
			loggedIn(t, l.plain, user).logout()
		}
		if n := all.at(t, user, 3); n == 0 || home != "d-"+ips[n-1] {
			t.Errorf("%s is on Dovecot %d, the table says %s", user, n, home)
		}
	}
	ns.set("trio.disc.test", ips[2], ips[0])
	for _, l := range f.lbs {
		within(t, patience, "the server is gone", func() bool { return !strings.Contains(l.ask("show stat"), "mail,d-127.0.0.3,") })
	}
	for user, home := range homes {
		for _, l := range f.lbs {
			loggedIn(t, l.plain, user).logout()
		}
		f.agree(patience, f.lbs...)
		now := f.lbs[0].home(user)
		if moved := home == "d-127.0.0.3"; now == "d-127.0.0.3" || !moved && now != home {
			t.Errorf("%s lived on %s and lives on %s", user, home, now)
		}
	}
}
