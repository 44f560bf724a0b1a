package frontend

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"imaplb/balancer"
)

// queues makes the rig's servers take n sessions each, and logins wait.
func (r *rig) queues(n int, wait time.Duration, change func(*balancer.ServerConfig)) {
	r.t.Helper()
	setup := balancer.Setup{Config: r.be.Config(), Table: r.table}
	setup.Config.TimeoutQueue = wait
	for _, s := range r.be.Servers() {
		cfg := balancer.DefaultServerConfig()
		cfg.Maxconn = n
		if change != nil {
			change(&cfg)
		}
		setup.Servers = append(setup.Servers, balancer.ServerSpec{Name: s.Name, Config: cfg})
	}
	r.be.Update(time.Now(), setup)
}

// waiting begins a login that has to wait, and returns when it does.
func (r *rig) waiting(user string) *client {
	r.t.Helper()
	var before int64
	count := func() (n int64) {
		n = r.be.Qcur.Load()
		for _, s := range r.be.Servers() {
			n += s.Qcur.Load()
		}
		return n
	}
	before = count()
	c := r.greeted()
	c.send("l LOGIN " + user + " " + secretWord + "\r\n")
	r.eventually(user+" waits", func() bool { return count() > before })
	return c
}

// Those who wait are let in in the order they came when others leave, and the
// log tells how long that took.
func TestLoginsWait(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	var order []string
	d.onLogin(func(user, _ string) string { order = append(order, user); return "" }) // one at a time
	r := newRig(t, plan{addrs: []string{d.addr()}, loops: 2})
	r.queues(1, patience, nil)
	first := r.greeted()
	first.login("user0")
	var all []*client
	for i := range 4 {
		all = append(all, r.waiting(fmt.Sprint("user", i+1)))
	}
	if one, ok := r.session(func(s Session) bool { return s.State == "queue" }); !ok || one.Backend != "mail" || one.Server != "" {
		t.Errorf("listed as %+v", one)
	}
	for _, c := range all {
		first.send("x LOGOUT\r\n")
		first.gone()
		c.want("l OK ")
		first = c
	}
	if want := []string{"user0", "user1", "user2", "user3", "user4"}; !slices.Equal(order, want) {
		t.Errorf("in the order %v, want %v", order, want)
	}
	lines := r.logs.lines(t)
	i := slices.IndexFunc(lines, func(l map[string]any) bool { return l["msg"] == "login waited" && l["user"] == "user3" })
	if i < 0 || lines[i]["be_queue"] != float64(2) || lines[i]["srv_queue"] != float64(0) || lines[i]["srv"] != "s1" {
		t.Errorf("no line of user3's wait: %v", lines)
	}
	if r.be.Qmax.Load() != 4 {
		t.Errorf("qmax %d, want 4", r.be.Qmax.Load())
	}
}

// A client that leaves while it waits leaves the queue.
func TestWaitingClientLeaves(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, loops: 2})
	r.queues(1, patience, nil)
	first := r.greeted()
	first.login("alice")
	gone, next := r.waiting("bob"), r.waiting("carol")
	_ = gone.Close()
	r.eventually("one waits", func() bool { return r.be.Qcur.Load() == 1 })
	killed := r.waiting("dave")
	one, _ := r.session(func(s Session) bool { return s.State == "queue" && s.User == "dave" })
	if !r.e.Shutdown(one.ID) {
		t.Error("no such session")
	}
	killed.want("* BYE")
	_ = first.Close()
	next.want("l OK ")
}

// Who has waited too long is told why, and may try again.
func TestWaitEnds(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	for _, c := range []struct{ user, text string }{
		{"alice", "l NO [UNAVAILABLE] Server is full, waited "},
		{"bob", "l NO [UNAVAILABLE] All servers are full, waited "},
	} {
		for name, limits := range map[string]Limits{"timeout_queue": {}, "login_timeout": {LoginTimeout: 400 * time.Millisecond}} {
			t.Run(name+" "+c.user, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, plan{addrs: []string{d.addr()}, limits: limits})
				wait := patience
				if name == "timeout_queue" {
					wait = 300 * time.Millisecond
				}
				r.queues(1, wait, nil)
				first := r.greeted()
				first.login("alice")
				next := r.waiting(c.user)
				next.want(c.text)
				lines := r.logs.lines(t)
				i := slices.IndexFunc(lines, func(l map[string]any) bool { return l["reason"] == "queue_timeout" })
				if i < 0 || lines[i]["state"] != "sQ" || !strings.HasPrefix(fmt.Sprint(lines[i]["queued"]), "0.") {
					t.Errorf("logged %v", lines)
				}
				_ = first.Close()
				r.eventually("room", func() bool { return r.be.Scur.Load() == 0 })
				if name == "timeout_queue" {
					next.login(c.user)
				}
			})
		}
	}
}

// Who would be one too many in a line is told which one.
func TestQueueFull(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}})
	r.queues(1, patience, func(c *balancer.ServerConfig) { c.Maxqueue = 1 })
	first := r.greeted()
	first.login("alice")
	for user, want := range map[string]string{
		"alice": "a NO [UNAVAILABLE] Server is full and too many are waiting, try again later.",
		"bob":   "a NO [UNAVAILABLE] All servers are full and too many are waiting, try again later.",
	} {
		r.waiting(user)
		c := r.greeted()
		c.send("a LOGIN " + user + " " + secretWord + "\r\n")
		c.want(want)
	}
}

// The server that a user waits for goes down: he need not wait any longer.
func TestServerGoesWhileWaiting(t *testing.T) {
	d1, d2 := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}, loops: 2})
	r.queues(1, patience, nil)
	for user, srv := range map[string]string{"alice": "s1", "bob": "s1", "carol": "s2"} {
		if err := r.table.Set(time.Now(), user, srv); err != nil {
			t.Fatal(err)
		}
	}
	r.greeted().login("alice")
	bob := r.waiting("bob")
	r.be.Server("s1").SetHealth(time.Now(), balancer.Health{Text: "DOWN"})
	bob.want("l OK ")
	carol := r.waiting("carol")
	r.be.Server("s2").SetHealth(time.Now(), balancer.Health{Text: "DOWN"})
	carol.want("l NO [UNAVAILABLE] Account is temporarily unavailable.")
}

// While a user is being moved he does not take the place that he waited for.
func TestMovedWhileWaiting(t *testing.T) {
	d1, d2 := newServer(t, "127.0.0.1:0"), newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d1.addr(), d2.addr()}})
	r.queues(1, patience, nil)
	held := false
	r.e.SetHold(func(_, key string) bool { return held && key == "bob" })
	for _, user := range []string{"alice", "bob"} {
		if err := r.table.Set(time.Now(), user, "s1"); err != nil {
			t.Fatal(err)
		}
	}
	alice := r.greeted()
	alice.login("alice")
	bob := r.waiting("bob")
	r.e.workers[0].loop.Do(func() { held = true })
	_ = alice.Close()
	r.eventually("the place is given back", func() bool { return r.be.Server("s1").Scur.Load() == 0 })
	if err := r.table.Set(time.Now(), "bob", "s2"); err != nil {
		t.Fatal(err)
	}
	r.e.workers[0].loop.Do(func() { held = false })
	bob.want("l OK ")
	if d2.logins.Load() != 1 {
		t.Error("not logged in at the new home")
	}
}

// At most maxlogins are under way, and login_rate is kept by the alarm.
func TestLoginsAreAdmitted(t *testing.T) {
	d, asked, answer := gated(t)
	r := newRig(t, plan{addrs: []string{d.addr()}, loops: 2})
	r.queues(0, patience, func(c *balancer.ServerConfig) { c.Maxlogins = 2 })
	var all []*client
	for i := range 4 {
		c := r.greeted()
		c.send(fmt.Sprintf("l LOGIN user%d %s\r\n", i, secretWord))
		all = append(all, c)
	}
	for range 2 {
		<-asked
	}
	r.eventually("two wait", func() bool { return r.be.Qcur.Load() == 2 })
	for i := range all {
		answer <- ""
		if i < 2 {
			<-asked
		}
	}
	for _, c := range all {
		c.want("l OK ")
	}
	if n := r.be.Server("s1").LoginMax.Load(); n != 2 {
		t.Errorf("%d logins at once, want 2", n)
	}
}

func TestLoginRate(t *testing.T) {
	t.Parallel()
	d := newServer(t, "127.0.0.1:0")
	r := newRig(t, plan{addrs: []string{d.addr()}, loops: 2})
	r.queues(0, patience, func(c *balancer.ServerConfig) { c.LoginRate = 10 })
	var all []*client
	begun := time.Now()
	for i := range 16 {
		c := r.greeted()
		c.send(fmt.Sprintf("l LOGIN user%d %s\r\n", i, secretWord))
		all = append(all, c)
	}
	for _, c := range all {
		c.want("l OK ")
	}
	if took := time.Since(begun); took < 500*time.Millisecond {
		t.Errorf("16 logins in %v, at 10 per second", took)
	}
}

// A connection of mode tcp waits for a place as a login does, and is closed
// when it has waited for too long.
func TestTCPWaits(t *testing.T) {
	r := newRig(t, raw(echo(t, "hello\n")))
	r.queues(1, patience, nil)
	first := r.dial()
	first.want("hello")
	second := r.dial()
	r.eventually("it waits", func() bool { return r.be.Server("s1").Qcur.Load() == 1 })
	_ = first.Close()
	second.want("hello")
	r.queues(1, 200*time.Millisecond, nil)
	third := r.dial()
	if got := third.gone(); got != "" {
		t.Errorf("who waited too long got %q", got)
	}
	if end := r.ended("queue_timeout"); end["state"] != "sQ" {
		t.Errorf("logged %v", end)
	}
}
