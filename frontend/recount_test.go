package frontend

import (
	"testing"
	"time"

	"imaplb/balancer"
	"imaplb/sticktable"
)

// retable gives the rig's backend another stick table, or none, as a reload does.
func (r *rig) retable(t *sticktable.Table) {
	setup := balancer.Setup{Config: r.be.Config(), Table: t}
	for _, s := range r.be.Servers() {
		setup.Servers = append(setup.Servers, balancer.ServerSpec{Name: s.Name, Config: balancer.DefaultServerConfig()})
	}
	r.be.Update(time.Now(), setup)
	r.e.Recount(r.be)
}

func newTable(key string) *sticktable.Table {
	return sticktable.New("others", sticktable.Config{Key: key, Size: 100, Expire: time.Hour}, "lb")
}

func (r *rig) counts(t *sticktable.Table, key string, sessions int, server string) {
	r.t.Helper()
	r.eventually(key+" is counted", func() bool {
		e, _ := t.Lookup(time.Now(), key)
		return e.Local == sessions && (server == "" || e.Server == server)
	})
}

// Sessions are counted in the stick table that a reload gives their backend, so
// that their users stay at home; who lives elsewhere by it is sent there.
func TestRecount(t *testing.T) {
	d1, d2 := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}, loops: 2})
	for _, user := range []string{"ann@a.test", "bob@b.test"} {
		if err := r.table.Set(time.Now(), user, "s1"); err != nil {
			t.Fatal(err)
		}
	}
	ann, ann2, bob := r.greeted(), r.greeted(), r.greeted()
	ann.login("ann@a.test")
	ann2.login("ann@a.test")
	bob.login("bob@b.test")

	domains := newTable("of-{user|domain}")
	if err := domains.Set(time.Now(), "of-b.test", "s2"); err != nil {
		t.Fatal(err)
	}
	r.retable(domains)
	bob.want("* BYE [UNAVAILABLE]")
	r.counts(domains, "of-a.test", 2, "s1")
	r.counts(domains, "of-b.test", 0, "s2")
	r.counts(r.table, "ann@a.test", 0, "s1")
	third := r.greeted()
	third.login("amy@a.test")
	r.counts(domains, "of-a.test", 3, "s1")
	ann.send("n NOOP\r\n")
	ann.want("n OK")

	r.retable(nil)
	r.counts(domains, "of-a.test", 0, "s1")
	if n := r.e.Kick("amy@a.test"); n != 1 { // found by her name again
		t.Errorf("%d sessions of amy ended, want 1", n)
	}
	third.want("* BYE")
	r.retable(r.table)
	r.counts(r.table, "ann@a.test", 2, "s1")
	for _, c := range []*client{ann, ann2} {
		c.send("x LOGOUT\r\n")
		c.want("* BYE")
	}
	r.counts(r.table, "ann@a.test", 0, "")
}

// A login that was under way is placed by the new table.
func TestRecountOfALogin(t *testing.T) {
	d1, d2 := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}})
	if err := r.table.Set(time.Now(), "ann", "s1"); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}), make(chan struct{})
	d1.onLogin(func(string, string) string { close(asked); <-answer; return "" })
	c := r.greeted()
	c.send("l LOGIN ann " + secretWord + "\r\n")
	<-asked
	others := newTable("user")
	if err := others.Set(time.Now(), "ann", "s2"); err != nil {
		t.Fatal(err)
	}
	r.retable(others)
	close(answer)
	c.want("l OK")
	r.counts(others, "ann", 1, "s2")
	r.counts(r.table, "ann", 0, "s1")
	c.send("x LOGOUT\r\n")
	c.want("* BYE")
	r.counts(others, "ann", 0, "s2")
}

// A session whose user is being moved, by the new table, ends: the move cannot
// have found it by the old one.
func TestRecountOfAMove(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.e.SetHold(func(table, key string) bool { return table == "others" && key == "ann" })
	ann, bob := r.greeted(), r.greeted()
	ann.login("ann")
	bob.login("bob")
	others := newTable("user")
	r.retable(others)
	ann.want("* BYE [UNAVAILABLE]")
	r.counts(others, "bob", 1, "s1")
	r.counts(others, "ann", 0, "s1")
	bob.send("n NOOP\r\n")
	bob.want("n OK")
}

// A login that waits meanwhile gets its place by the new table's key.
func TestRecountOfAWaiter(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.queues(1, patience, nil)
	first := r.greeted()
	first.login("ann@a.test")
	c := r.waiting("amy@a.test")
	domains := newTable("domain")
	r.retable(domains) // and there is room
	c.want("l OK")
	r.counts(domains, "a.test", 2, "s1")
	for _, c := range []*client{first, c} {
		c.send("x LOGOUT\r\n")
		c.want("* BYE")
	}
	r.counts(domains, "a.test", 0, "s1")
}

// A login that gets another server after the reload is counted by the new
// table's key.
func TestRecountOfARedispatch(t *testing.T) {
	t.Parallel()
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{closedPort(t), d.addr()}, balance: "first", retries: 2})
	c := r.greeted()
	c.send("l LOGIN ann@a.test " + secretWord + "\r\n")
	r.eventually("a retry is due", func() bool { return r.be.Server("s1").Wretr.Load() == 1 })
	domains := newTable("domain")
	r.retable(domains)
	c.want("l OK")
	r.counts(domains, "a.test", 1, "s2")
	if e, ok := domains.Lookup(time.Now(), "ann@a.test"); ok {
		t.Errorf("he is stored by his name: %+v", e)
	}
	c.send("x LOGOUT\r\n")
	c.want("* BYE")
	r.counts(domains, "a.test", 0, "s2")
}
