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

// A server whose name stands for another address keeps its name and its users
// at both peers, and their sessions at the old address end.
func TestTrioNameMoves(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	ns := runNameserver(t)
	_, port, err := net.SplitHostPort(freeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	forward(t, "127.0.0.2:"+port, all[0].addr)
	forward(t, "127.0.0.3:"+port, all[1].addr)
	ns.set("moves.disc.test", "127.0.0.2")
	o := clustered(t)
	o.servers = []server{{"s1", "moves.disc.test:" + port, ""}, {"s2", all[2].addr, ""}}
	o.global = `nameservers = ["` + ns.addr + `"]` + "\nshutdown_spread = \"0s\""
	f := runFleet(t, 2, o)
	f.both("s1", "addr", "127.0.0.2:"+port)
	users, sessions := f.on(3)
	ns.set("moves.disc.test", "127.0.0.3")
	for _, c := range sessions {
		c.bye(patience, "[UNAVAILABLE]")
	}
	f.both("s1", "addr", "127.0.0.3:"+port)
	f.both("s1", "status", "UP")
	for _, user := range users {
		for _, l := range f.lbs {
			loggedIn(t, l.plain, user).logout()
			l.wantHome(user, "s1")
		}
		all.at(t, user, 4)
		if old, now := all[0].logins(user), all[1].logins(user); old != 2 || now != 2 {
			t.Errorf("%s logged in %d times at the old address and %d times at the new one, want 2 and 2", user, old, now)
		}
	}
}
