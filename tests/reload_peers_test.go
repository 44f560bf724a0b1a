package tests

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// second is a table more, and a backend that uses it.
func second(o *options) {
	o.more = "[stick_table.second]\nsize = 1000\n[backend.other]\nstick_table = \"second\"\n[backend.other.server.s1]\naddr = \"" + o.servers[0].addr + "\"\n"
}

// A table that a reload brings is shared without a restart: who reloads later
// has what the others know in it when the reload is over. One that a reload takes
// away leaves the others alone, and users of other tables notice nothing of it.
func TestReloadTable(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	stays := loggedIn(t, a.plain, newUser())
	knows := func(l *lb, user string) bool { return strings.Contains(l.ask("show table second"), "key="+user+" ") }
	f.reload(0, second)
	a.tell("set table second key early server s1")
	f.met(a, b)
	f.reload(1, second)
	if !knows(b, "early") {
		t.Errorf("lb2 does not know what was in the table: %s", b.ask("show table second"))
	}
	b.tell("set table second key late server s1")
	within(t, patience, "lb1 hears of it", func() bool { return knows(a, "late") })
	f.settle(2)

	f.reload(0, func(*options) {})
	f.met(a, b)
	f.settle(2)
	b.tell("set table second key alone server s1")
	f.reload(0, second)
	if !knows(a, "alone") {
		t.Errorf("lb1 does not know what came while it had no such table: %s", a.ask("show table second"))
	}
	f.met(a, b)
	stays.alive()
	stays.logout()
}

// A reload that gives a backend another stick table leaves the users where they
// are: the next login of each, at either peer, is at home, and nobody is sent away.
func TestReloadOtherTable(t *testing.T) {
	t.Parallel()
	f := runFleet(t, 2, clustered(t))
	a, b := f.lbs[0], f.lbs[1]
	homes := f.settle(4)
	var open []*client
	for user := range homes {
		open = append(open, loggedIn(t, a.plain, user))
	}
	for i := range f.lbs {
		f.reload(i, func(o *options) {
			o.backend, o.more = "stick_table = \"second\"", "[stick_table.second]\nsize = 1000\n"
		})
	}
	f.met(a, b)
	for user, home := range homes {
		within(t, patience, "the new table has "+user, func() bool { return b.residents()[user] == home+" 1 lb1" })
		c := loggedIn(t, b.plain, user)
		within(t, patience, user+" is at home twice", func() bool { return strings.HasPrefix(b.residents()[user], home+" 2 ") })
		c.logout()
	}
	for _, c := range open {
		c.alive()
		c.logout()
	}
}

// What of [peers] a reload can change holds at once; of what it cannot the log has
// the line.
func TestReloadPeers(t *testing.T) {
	t.Parallel()
	o := clustered(t)
	o.peers = ""
	f := runFleet(t, 2, o)
	a, b := f.lbs[0], f.lbs[1]
	b.kill()
	within(t, patience, "lb1 is frozen", func() bool { return frozen(a) })
	out := f.reload(0, func(o *options) {
		o.peers = "tie_breaker = \"serve\"\ncluster = \"other\""
		o.table = "peers = false"
	})
	if frozen(a) {
		t.Error("lb1 is frozen, though the tie breaker of the new file lets it serve")
	}
	for _, want := range []string{"peers, ", "peers (takes effect at the next start)", "stick_table.users.peers (takes effect at the next start)"} {
		if !strings.Contains(out, want) {
			t.Errorf("reload said %q, want %q in it", out, want)
		}
	}
	text, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	for key, path := range map[string]string{"\n[peers]": "peers", "\npeers = false": "stick_table.users.peers"} {
		before, _, _ := strings.Cut(string(text), key)
		want := fmt.Sprintf("%s:%d: %s: ", a.config, strings.Count(before, "\n")+2, path)
		within(t, patience, "a line of the log on "+want, func() bool { return strings.Contains(a.log(), want) })
	}
}

// Peers that a reload names are met without a restart, by those as well that do
// not name anybody.
func TestReloadJoin(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, clustered(t))
	for i, l := range f.lbs {
		o := f.optionsOf(i, l.web, f.o)
		o.peers = strings.Replace(o.peers, `join = ["`+strings.Join(f.addrs, `", "`)+`"]`, "join = []", 1)
		l.write(o)
		l.begin()
	}
	for _, l := range f.lbs {
		l.ready()
		if said := l.ask("show peers"); !strings.Contains(said, "1 of 1 peers alive") {
			t.Fatalf("a peer that knows nobody says %q", said)
		}
	}
	stays := loggedIn(t, f.lbs[0].plain, newUser())
	if said := f.reload(0, func(*options) {}); !strings.Contains(said, "peers") || strings.Contains(said, "next start") {
		t.Errorf("reload said %q, want that peers changed now", said)
	}
	f.met(f.lbs...)
	stays.alive()
	stays.logout()
}
