package tests

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What breaks between machines: three peers and three Dovecots, each in a
// network namespace of its own.
func TestMesh(t *testing.T) {
	if !asRoot(t) {
		return
	}
	m := runMesh(t)
	m.run(t, "Killed", meshKilled)
	m.run(t, "Stopped", meshStopped)
	m.run(t, "OneCannotReach", meshOneCannotReach)
	m.run(t, "Split", meshSplit)
	m.run(t, "Rolling", meshRolling)
	m.run(t, "Limits", meshLimits)
}

// outWithin is after how long a dead peer is out at the latest, agreeWithin
// after how long peers that have met again agree.
const (
	outWithin   = 3 * time.Second
	agreeWithin = 5 * time.Second
)

// kill -9 of a peer with 1000 sessions: all log in again through the others,
// and each lands on his old server.
func meshKilled(t *testing.T, m *mesh) {
	const users, each = 250, 4
	a, b, c := m.lbs[0], m.lbs[1], m.lbs[2]
	homes := m.place(a, users)
	conns := m.enter(homes, each, a)
	<-time.After(50 * time.Millisecond) // what the promise says
	a.kill()
	killed := time.Now()
	again := make(chan []error, 1)
	var back []net.Conn
	go func() { // ends when all are back
		var errs []error
		back, errs = enterAll(slices.Sorted(maps.Keys(homes)), each, b, c)
		again <- errs
	}()
	for _, l := range []*lb{b, c} {
		if !waitFor(outWithin-time.Since(killed), m.sees(l, "lb1", "dead")) {
			t.Errorf("%s does not know lb1 for dead %v after its end: %v", l.peer("lb1"), time.Since(killed), l.peer("lb1"))
		}
	}
	t.Logf("lb1 was out after %v", time.Since(killed))
	if errs := <-again; len(errs) > 0 {
		t.Errorf("%d of %d logins failed, the first with: %v", len(errs), users*each, errs[0])
	}
	t.Cleanup(func() { closeAll(back) })
	t.Logf("all were back after %v", time.Since(killed))
	if left := ended(conns, time.Second); left > 0 {
		t.Errorf("%d sessions of the dead peer are open yet", left)
	}
	m.wantLogins(homes, 2*each)
	m.agree(agreeWithin, b, c)
	within(t, 20*time.Second, "the dead peer's sessions are off the books", func() bool {
		all := b.residents()
		return !slices.ContainsFunc(slices.Collect(maps.Keys(homes)), func(u string) bool {
			return !strings.Contains(all[u], fmt.Sprintf(" %d ", each))
		})
	})
}

// A peer that was asleep for 20 s comes back: the others have gone on without
// it, and what they did holds.
func meshStopped(t *testing.T, m *mesh) {
	a, b, c := m.lbs[0], m.lbs[1], m.lbs[2]
	homes := m.settle(60)
	all := slices.Sorted(maps.Keys(homes))
	began := time.Now()
	m.enter(homes, 1, m.lbs...)
	m.agree(agreeWithin, m.lbs...)
	m.stop(b)
	awake := time.After(20 * time.Second)
	for _, l := range []*lb{a, c} {
		within(t, 2*outWithin, "lb2 is found dead", m.sees(l, "lb2", "dead"))
	}
	moved := map[string]string{}
	for _, user := range all[:6] {
		moved[user] = m.other(homes[user])
		said := strings.TrimSpace(a.ask("move user " + user + " mail/" + moved[user]))
		if said != "" && !strings.HasPrefix(said, "moved, but lb2 did not answer") {
			t.Errorf("move user = %q", said)
		}
	}
	maps.Copy(homes, moved)
	n := 0
	for asleep := true; asleep; n++ {
		select {
		case <-awake:
			asleep = false
		default:
			if err := login([]string{a.plain, c.plain}[n%2], all[n%len(all)]); err != nil {
				t.Errorf("login while lb2 sleeps: %v", err)
			}
		}
	}
	t.Logf("%d logins while lb2 slept", n)
	m.resume(b)
	woke := time.Now()
	m.met(m.lbs...)
	m.agree(agreeWithin, m.lbs...)
	t.Logf("agreed %v after lb2 woke", time.Since(woke))
	m.wantHomes(homes)
	m.enter(homes, 1, m.lbs...)
	wantOneHome(t, all[6:], began, m.dovecots...)
	wantOneHome(t, all[:6], time.Now(), m.dovecots...)
}

// wantHomes fails the test if a peer sends one of the users elsewhere.
func (m *mesh) wantHomes(homes map[string]string) {
	m.t.Helper()
	for i, l := range m.lbs {
		all := l.residents()
		for user, home := range homes {
			if !strings.HasPrefix(all[user], home+" ") {
				m.t.Errorf("lb%d says of %s: %q, want %s", i+1, user, all[user], home)
			}
		}
	}
}

// A server that one peer alone cannot reach stays up. That peer has its users
// come back later, and says which peers disagree; nobody is moved.
func meshOneCannotReach(t *testing.T, m *mesh) {
	a, b := m.lbs[0], m.lbs[1]
	homes := m.settle(6)
	lost := make([]string, 2)
	for user, home := range homes {
		switch home {
		case "s1":
			lost[0] = user
		case "s2":
			lost[1] = user
		}
	}
	m.block(0, 0)
	const disagreement = "# mail/s1 counts as up: up for lb2,lb3, down for lb1"
	for _, l := range m.lbs {
		within(t, patience, "the peers tell of the disagreement", func() bool {
			said := l.ask("show peers")
			return strings.Contains(said, disagreement) || strings.Contains(said, strings.Replace(disagreement, "lb2,lb3", "lb3,lb2", 1))
		})
	}
	refused := greeted(t, a.plain)
	refused.refused("NO [UNAVAILABLE]", "LOGIN %s %s", lost[0], password)
	refused.close()
	for user := range homes {
		loggedIn(t, b.plain, user).logout()
		if user != lost[0] && homes[user] != "s1" {
			loggedIn(t, a.plain, user).logout()
		}
	}
	for _, l := range m.lbs[1:] {
		if got := l.stat("mail", "s1", "status"); got != "UP" {
			t.Errorf("status of s1 = %q, want UP", got)
		}
	}
	m.wantHomes(homes)
	m.unblock(0, 0)
	m.blocked = nil
	within(t, 2*patience, "lb1 reaches s1 again", func() bool { return login(a.plain, lost[0]) == nil })
	within(t, patience, "no disagreement", func() bool { return !strings.Contains(b.ask("show peers"), "counts as") })
	m.wantHomes(homes)
}

// One peer is cut off from two, with clients at all of them: the one moves
// nobody, the two go on. When they meet again they agree, and everybody has one
// home.
func meshSplit(t *testing.T, m *mesh) {
	a, b, c := m.lbs[0], m.lbs[1], m.lbs[2]
	homes := m.settle(60)
	all := slices.Sorted(maps.Keys(homes))
	m.enter(homes, 1, m.lbs...)
	m.agree(agreeWithin, m.lbs...)
	m.part(0)
	healed := time.After(time.Minute)
	within(t, 4*outWithin, "lb1 is in the minority", func() bool { return frozen(a) })
	for _, l := range []*lb{b, c} {
		within(t, 4*outWithin, "lb1 is found dead", m.sees(l, "lb1", "dead"))
		if frozen(l) {
			t.Error("the two are frozen as well")
		}
	}
	if said := a.ask("move user " + all[59] + " mail/" + m.other(homes[all[59]])); strings.TrimSpace(said) == "" {
		t.Error("the one that is cut off has moved a user")
	}
	for _, user := range all[:6] {
		homes[user] = m.other(homes[user])
		if said := strings.TrimSpace(b.ask("move user " + user + " mail/" + homes[user])); said != "" && !strings.HasPrefix(said, "moved, but ") {
			t.Errorf("move user = %q", said)
		}
	}
	c.tell("set server mail/s3 weight 42")
	fresh, n := map[string]bool{}, 0
	for apart := true; apart; n++ {
		select {
		case <-healed:
			apart = false
		default:
			user := all[6+n%54]
			if n%10 == 0 {
				user = newUser()
				fresh[user] = true
			}
			for i, l := range m.lbs { // at all of them, at about the same time
				if err := login(l.plain, user); err != nil {
					t.Errorf("login of %s through lb%d while the peers are apart: %v", user, i+1, err)
				}
			}
		}
	}
	t.Logf("%d times 3 logins while the peers were apart", n)
	m.net.cable("lb1", "peers", "up")
	m.cut = nil
	up := time.Now()
	m.met(m.lbs...)
	t.Logf("met %v after the cable was back", time.Since(up))
	met := time.Now()
	m.agree(agreeWithin, m.lbs...)
	t.Logf("agreed %v after they had met", time.Since(met))
	m.wantHomes(homes)
	within(t, agreeWithin, "the order has come to lb1", func() bool { return strings.HasPrefix(a.ask("get weight mail/s3"), "42 ") })
	b.tell("set server mail/s3 weight 100")
	wantOneHome(t, append(all, slices.Collect(maps.Keys(fresh))...), time.Now().Add(-time.Second), m.dovecots...)
	m.wantSessionsHome()
}

// wantSessionsHome waits until no peer has a session that is not at its user's
// home.
func (m *mesh) wantSessionsHome() {
	m.t.Helper()
	for i, l := range m.lbs {
		var astray []string
		if !waitFor(agreeWithin, func() bool { astray = l.astray(); return len(astray) == 0 }) {
			m.t.Errorf("lb%d has sessions that are not at home: %q", i+1, astray)
		}
	}
}

// astray are the lines of "show sess" of sessions that are not at their users'
// homes.
func (l *lb) astray() (lines []string) {
	at := l.residents()
	for line := range strings.Lines(l.ask("show sess")) {
		r := record{}
		for _, w := range strings.Fields(line) {
			key, value, _ := strings.Cut(w, "=")
			r[key] = value
		}
		if u := r["user"]; u != "" && !strings.HasPrefix(at[u], r["srv"]+" ") {
			lines = append(lines, line+at[u])
		}
	}
	return lines
}

// All peers are started anew, one after the other, while clients come and go:
// no login fails of a client that tries once more through another peer.
func meshRolling(t *testing.T, m *mesh) {
	homes := m.settle(60)
	all := slices.Sorted(maps.Keys(homes))
	began := time.Now()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var logins, retries, failures atomic.Int64
	for i := range 4 {
		clients.Go(func() { // ends with stop
			for n := i; ; n += 7 {
				select {
				case <-stop:
					return
				default:
				}
				user := all[n%len(all)]
				err := login(m.lbs[n%meshSize].plain, user)
				if err != nil {
					retries.Add(1)
					err = login(m.lbs[(n+1)%meshSize].plain, user)
				}
				if err != nil {
					failures.Add(1)
					t.Logf("login failed twice: %v", err)
				}
				logins.Add(1)
			}
		})
	}
	for _, l := range m.lbs {
		l.signal(syscall.SIGTERM)
		if err := l.waitExit(patience); err != nil {
			t.Errorf("imaplb ended with %v", err)
		}
		l.run()
		m.met(m.lbs...)
	}
	close(stop)
	clients.Wait()
	t.Logf("%d logins, %d of them at the second try", logins.Load(), retries.Load())
	if n := failures.Load(); n > 0 {
		t.Errorf("%d of %d logins failed at both tries", n, logins.Load())
	}
	m.agree(agreeWithin, m.lbs...)
	m.wantHomes(homes)
	wantOneHome(t, all, began, m.dovecots...)
}
