package cluster_test

import (
	"fmt"
	"slices"
	"time"

	"imaplb/balancer"
)

// The way of a login and of its session, as package frontend goes it.

const (
	loginPatience = 20 * time.Second // login_timeout
	holdLook      = 100 * ms
	retryAfter    = time.Second
	maxPlaced     = 3
	maxRetries    = 1

	wrongPassword = "wrong password"
)

// simClient is a mail client of a user, which comes back when it is sent away.
// Owned by its world.
type simClient struct {
	w    *simWorld
	user string
}

// simLogin is a login and then a session. Owned by its process.
type simLogin struct {
	c       *simClient
	p       *simProc
	place   balancer.Placement
	until   time.Duration // the client waits
	placed  int
	retries int
	moved   bool
	over    bool // failed, or the session has ended
}

// beginClients has them come, a few of them strangers who guess.
func (w *simWorld) beginClients() {
	for i := range w.plan.clients {
		c := &simClient{w: w, user: fmt.Sprintf("u%d", i%w.plan.users)}
		w.after(w.between(time.Second, 8*time.Second), c.login)
	}
	w.after(8*time.Second, w.strangers) // a peer that learns may have an entry at third hand that was taken back
}

func (w *simWorld) strangers() {
	c := &simClient{w: w, user: fmt.Sprintf("x%d", w.count)}
	if p := w.anyServing(); p != nil && !w.stopped {
		w.pending++
		l := &simLogin{c: c, p: p, until: w.now + loginPatience}
		l.placeUser()
	}
	if !w.stopped {
		w.after(w.between(100*ms, 3*time.Second), w.strangers)
	}
}

func (c *simClient) stranger() bool { return c.user[0] == 'x' }

// anyServing is a peer that takes logins, nil if there is none.
func (w *simWorld) anyServing() *simProc {
	for range 2 * len(w.hosts) {
		if p := w.hosts[w.rng.IntN(len(w.hosts))].proc; p != nil && p.alive && p.serving {
			return p
		}
	}
	return nil
}

// login begins a login at some peer.
func (c *simClient) login() {
	w := c.w
	if w.stopped {
		return
	}
	p := w.anyServing()
	if p == nil {
		c.again(time.Second)
		return
	}
	w.pending++
	l := &simLogin{c: c, p: p, until: w.now + loginPatience}
	l.placeUser()
}

func (c *simClient) again(d time.Duration) { c.w.after(c.w.skewed(50*ms, d), c.login) }

func (l *simLogin) trace(format string, args ...any) {
	if l.c.w.traced {
		l.c.w.trace(l.c.user, "%s: %s", l.p.host.name, fmt.Sprintf(format, args...))
	}
}

// fail is the NO.
func (l *simLogin) fail(why any) {
	l.trace("login fails: %v", why)
	if l.c.w.plan.calm && why != wrongPassword {
		l.c.w.fail(l.c.user, "a login of %s at %s fails, though nothing breaks: %v", l.c.user, l.p.host.name, why)
	}
	l.over = true
	l.c.w.pending--
	if !l.c.stranger() {
		l.c.again(3 * time.Second)
	}
}

func (l *simLogin) placeUser() {
	if !l.p.alive {
		l.fail("peer is dead")
		return
	}
	if l.p.cluster.Held(simTable, l.c.user) {
		if l.c.w.now+holdLook > l.until {
			l.fail("being moved")
			return
		}
		l.c.w.after(holdLook, l.placeUser)
		return
	}
	l.placed++
	var err error
	if l.place, err = l.p.backend.Place(l.p.now(), balancer.Ask{Key: l.c.user}); err != nil {
		l.fail(err)
		return
	}
	l.trace("placed on %s (stuck %t, elsewhere %t)", l.place.Server.Name, l.place.Sticky, l.place.Elsewhere)
	l.try()
}

// try is an attempt at the server.
func (l *simLogin) try() {
	w := l.c.w
	if l.place.Elsewhere {
		l.p.closeMoved(l.c.user, l.place.Server.Name)
	}
	d := w.skewed(2*ms, 300*ms)
	if w.chance(5) {
		d = w.between(time.Second, 4*time.Second)
	}
	w.after(d, l.answered)
}

func (l *simLogin) answered() {
	w := l.c.w
	server := l.place.Server.Name
	switch {
	case !l.p.alive:
		l.fail("peer has died")
	case !w.up[server] || w.noRoute[[2]string{l.p.host.name, server}]:
		if !l.again() {
			l.end("no connection to " + server)
		}
	case l.c.stranger() || w.chance(4):
		l.end(wrongPassword)
	default:
		l.accepted()
	}
}

func (l *simLogin) end(why string) {
	l.place.End(l.p.now())
	l.fail(why)
}

// again is another attempt after a failed connect.
func (l *simLogin) again() bool {
	w := l.c.w
	if w.now+retryAfter > l.until {
		return false
	}
	if l.retries < maxRetries {
		l.retries++
		w.after(retryAfter, l.expired)
		return true
	}
	if l.moved || l.p.backend.Redispatch(l.p.now(), &l.place, balancer.Ask{Key: l.c.user}) != nil {
		return false
	}
	l.moved, l.retries = true, 0
	l.trace("placed anew on %s", l.place.Server.Name)
	l.try()
	return true
}

func (l *simLogin) expired() {
	if l.p.alive && l.place.Server.Away() && !l.moved && l.p.backend.Redispatch(l.p.now(), &l.place, balancer.Ask{Key: l.c.user}) == nil {
		l.moved, l.retries = true, 0
		l.trace("placed anew on %s, as the server is away", l.place.Server.Name)
	}
	l.try()
}

// accepted begins the session.
func (l *simLogin) accepted() {
	w, p, user := l.c.w, l.p, l.c.user
	if l.place.Server.Away() || l.place.Begin(p.now()) != nil || p.cluster.Held(simTable, user) {
		l.trace("not his home any more")
		l.place.End(p.now())
		if l.placed > maxPlaced {
			l.fail("moved too often")
			return
		}
		l.placeUser()
		return
	}
	w.pending--
	w.logins++
	p.sessions[user] = append(p.sessions[user], l)
	l.trace("session on %s", l.place.Server.Name)
	if !w.chance(30) || !w.ended {
		w.after(w.skewed(100*ms, 40*time.Second), func() {
			if !w.stopped { // what is there at the end stays
				l.ended("client logs out", 10*time.Second)
			}
		})
	}
}

// ended is the end of a session.
func (l *simLogin) ended(why string, pause time.Duration) {
	if l.over || !l.p.alive {
		return
	}
	l.over = true
	list := l.p.sessions[l.c.user]
	list = slices.DeleteFunc(list, func(o *simLogin) bool { return o == l })
	if l.p.sessions[l.c.user] = list; len(list) == 0 {
		delete(l.p.sessions, l.c.user)
	}
	l.place.End(l.p.now())
	l.trace("session on %s ends: %s", l.place.Server.Name, why)
	l.c.again(pause)
}

// close sends the client away; he has up to two seconds to read it.
func (l *simLogin) close(after time.Duration) {
	if l.c.w.chance(5) {
		after += l.c.w.between(0, 2*time.Second)
	}
	l.c.w.after(after, func() { l.ended("BYE", 3*time.Second) })
}

// closeMoved ends the sessions a user has on another server.
func (p *simProc) closeMoved(user, server string) {
	for _, l := range p.sessions[user] {
		if l.place.Server.Name != server {
			l.close(p.host.w.between(0, 5*ms))
		}
	}
}

func (p *simProc) elsewhere(user, server string) (n int) {
	for _, l := range p.sessions[user] {
		if l.place.Server.Name != server {
			n++
		}
	}
	return n
}

// sortedSessions has the sessions by user, in an order that does not change.
func (p *simProc) sortedSessions() (all [][]*simLogin) {
	for i := range p.host.w.plan.users {
		if list := p.sessions[fmt.Sprintf("u%d", i)]; len(list) > 0 {
			all = append(all, slices.Clone(list))
		}
	}
	return all
}

// dropSessions is for a process that has died: its clients come back.
func (p *simProc) dropSessions() {
	for _, list := range p.sortedSessions() {
		for _, l := range list {
			l.over = true
			l.c.again(5 * time.Second)
		}
	}
}
