package tests

import (
	"regexp"
	"strings"
	"testing"
)

// Three full servers and two peers: whoever waits at a peer is taken in turn by
// the server that has room first; too many are refused; each is told why.
func TestTrioQueue(t *testing.T) {
	t.Parallel()
	all := sharedTrio(t)
	o := all.peers()
	o.backend = `timeout_queue = "1m"`
	for i := range o.servers {
		o.servers[i].extra = "maxconn = 2\nmaxqueue = 1" // one for each peer
	}
	f := runFleet(t, 2, o)
	f.run(t, "in the order they came", f.queueInOrder)
	f.run(t, "too many", f.queueTooMany)
	f.run(t, "too long", f.queueTooLong)
	f.run(t, "no queue", f.queueOff)
}

// fill takes all places of all servers, once those before have left.
func (f *fleet) fill(t *testing.T) (in map[*lb][]*client) {
	t.Helper()
	in = map[*lb][]*client{}
	for _, l := range f.lbs {
		within(t, patience, "nobody is there", func() bool { return l.info("CurrConns") == 0 })
		for _, s := range f.o.servers {
			l.wantClaim(s.name, "maxconn", "2", "1")
		}
		for range f.o.servers {
			in[l] = append(in[l], loggedIn(t, l.plain, newUser()))
		}
	}
	for _, s := range f.o.servers {
		if n := f.sum(s.name, "scur"); n != 2 {
			t.Fatalf("%s has %d sessions, want 2", s.name, n)
		}
	}
	return in
}

// waiter is a client whose login waits; n wait then in that row of "show stat".
func (l *lb) waiter(t *testing.T, user, row, n string) *client {
	t.Helper()
	c := greeted(t, l.plain)
	c.send("q LOGIN " + user + " " + password + "\r\n")
	within(t, patience, "he waits", func() bool { return l.stat("mail", row, "qcur") == n })
	return c
}

func (f *fleet) queueInOrder(t *testing.T) {
	in := f.fill(t)
	waiting := map[*lb][]*client{}
	for _, l := range f.lbs {
		for _, n := range []string{"1", "2", "3"} {
			waiting[l] = append(waiting[l], l.waiter(t, newUser(), "BACKEND", n))
		}
	}
	for _, l := range f.lbs {
		for i, server := range []int{2, 0, 1} { // wherever room is
			for _, c := range waiting[l][i:] {
				if c.hears(poll) {
					t.Fatal("somebody got something before his turn")
				}
			}
			in[l][server].logout()
			waiting[l][i].expect("q OK")
		}
		if got := l.stat("mail", "BACKEND", "qmax"); got != "3" {
			t.Errorf("qmax %s, want 3", got)
		}
		within(t, patience, "three lines of logins that waited", func() bool { return len(l.records("login waited")) == 3 })
	}
}

// atHome is a user of s1, known to all peers.
func (f *fleet) atHome() string {
	user := newUser()
	f.lbs[0].tell("set table users key " + user + " server s1")
	f.lbs[1].wantHome(user, "s1")
	return user
}

func (f *fleet) queueTooMany(t *testing.T) {
	user := f.atHome()
	f.fill(t)
	for _, l := range f.lbs {
		for _, n := range []string{"1", "2", "3"} { // maxqueue of each server
			l.waiter(t, newUser(), "BACKEND", n)
		}
		mine := l.waiter(t, user, "s1", "1")
		c := greeted(t, l.plain)
		c.refused("NO [UNAVAILABLE] All servers are full and too many are waiting, try again later.", "LOGIN %s %s", newUser(), password)
		c.refused("NO [UNAVAILABLE] Server is full and too many are waiting, try again later.", "LOGIN %s %s", user, password)
		mine.close()
		within(t, patience, "who leaves waits no more", func() bool { return l.stat("mail", "s1", "qcur") == "0" })
		c.send("q LOGIN " + user + " " + password + "\r\n")
		within(t, patience, "there is room in the queue", func() bool { return l.stat("mail", "s1", "qcur") == "1" })
		within(t, patience, "the log tells why", func() bool { return strings.Count(l.log(), "reason=queue_full state=SQ") == 2 })
	}
}

func (f *fleet) queueTooLong(t *testing.T) {
	f.retime("1s")
	user := f.atHome()
	f.fill(t)
	told := map[*client]string{}
	for _, l := range f.lbs {
		for name, who := range map[string]string{newUser(): "All servers are full", user: "Server is full"} {
			c := greeted(t, l.plain)
			c.send("q LOGIN " + name + " " + password + "\r\n")
			told[c] = who
		}
	}
	for c, who := range told {
		want := regexp.MustCompile(`^q NO \[UNAVAILABLE\] ` + who + `, waited \d+s, try again later\.$`)
		if got := c.line(); !want.MatchString(got) {
			t.Errorf("who waited too long was told %q, want %s", got, want)
		}
	}
	for _, l := range f.lbs {
		within(t, patience, "the log tells why", func() bool { return strings.Count(l.log(), "reason=queue_timeout state=sQ") == 2 })
	}
}

func (f *fleet) queueOff(t *testing.T) {
	f.retime("0s")
	user := f.atHome()
	in := f.fill(t)
	for _, l := range f.lbs {
		c := greeted(t, l.plain)
		c.refused("NO [UNAVAILABLE] All servers are full, try again later.", "LOGIN %s %s", newUser(), password)
		c.refused("NO [UNAVAILABLE] Server is full, try again later.", "LOGIN %s %s", user, password)
		for _, one := range in[l] {
			one.logout()
		}
		within(t, patience, "a place", func() bool { return l.stat("mail", "s1", "scur") == "0" })
		c.ok("LOGIN %s %s", user, password)
		c.logout()
	}
}

// retime has all peers change timeout_queue.
func (f *fleet) retime(to string) {
	f.t.Helper()
	for i := range f.lbs {
		f.reload(i, func(o *options) { o.backend = `timeout_queue = "` + to + `"` })
	}
}
