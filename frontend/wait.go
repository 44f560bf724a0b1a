package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"imaplb/balancer"
	"imaplb/session"
)

// wait is a login's waiting for a place at a server. Owned by the loop of the
// connection, but for what the balancer guards.
type wait struct {
	w      balancer.Waiter
	on     bool // it waits
	ended  bool // it has waited too long
	begun  time.Time
	queued time.Duration    // how long it waited in all, when it got its place
	home   *balancer.Server // that it waits for, or would have; nil for any
}

// Reasons of logins that waited or would have had to.
const (
	reasonQueueTimeout = "queue_timeout"
	reasonQueueFull    = "queue_full"

	stateQueueTimeout = "sQ"
	stateQueueFull    = "SQ"
)

// got takes what the balancer says to the wish for a place.
func (l *login) got(now time.Time, place balancer.Placement, err error) {
	if err != nil {
		l.wait.home = place.Server
	}
	switch {
	case errors.Is(err, balancer.ErrWaiting):
		l.wait.on = true
		if l.wait.begun.IsZero() {
			l.wait.begun = now
		}
		l.lookLater(now)
	case err != nil:
		l.refuse(now, err)
	default:
		l.place = place
		l.placed++
		if !l.wait.begun.IsZero() {
			l.waited(now)
		}
		l.try()
	}
}

// homeLook is how often a login that waits looks whether its user has another
// home by now: an operator, or another of his logins, may have moved him to
// where there is room.
const homeLook = time.Second

// waitEnd is until when a login waits.
func (l *login) waitEnd() time.Time {
	end := l.wait.begun.Add(l.be.Config().TimeoutQueue)
	if by := l.p.deadline(); end.After(by) {
		return by
	}
	return end
}

// lookLater sets the timer for the next look, or for the end of the wait.
func (l *login) lookLater(now time.Time) {
	at := now.Add(homeLook)
	if end := l.waitEnd(); end.Before(at) {
		at = end
	}
	l.p.timerAt(at)
}

// look is what a login that waits does when its timer rings.
func (l *login) look(now time.Time) {
	switch {
	case !now.Before(l.waitEnd()):
		l.waitedTooLong(now)
	case l.p.c.fe.e.isHeld(l.be.Table(), l.ask.Key) || l.be.HasMoved(now, l.ask, l.wait.home):
		l.leave(now) // it keeps its place in time
		l.placeUser(now)
	default:
		l.lookLater(now)
	}
}

// Woken is the end of the wait. It implements balancer.Waker.
func (l *login) Woken() { l.p.c.w().loop.Post(l.awake) }

// awake takes the place that was kept, if the client is still there and the
// place is still for him.
func (l *login) awake() {
	if l.p.login != l || !l.wait.on {
		return
	}
	now := time.Now()
	l.wait.on = false
	if l.p.c.fe.e.isHeld(l.be.Table(), l.ask.Key) || l.ask.Key != l.key() {
		l.be.Leave(now, &l.wait.w)
		l.placeUser(now)
		return
	}
	place, err := l.be.Claim(now, l.ask, &l.wait.w)
	if errors.Is(err, balancer.ErrAgain) {
		l.placeUser(now)
		return
	}
	l.got(now, place, err)
}

// leave ends the wait of a client that has left.
func (l *login) leave(now time.Time) {
	if l.wait.on {
		l.wait.on = false
		l.be.Leave(now, &l.wait.w)
	}
}

// waitedTooLong answers a login that found no place in time.
func (l *login) waitedTooLong(now time.Time) {
	l.leave(now)
	l.wait.ended, l.wait.queued = true, now.Sub(l.wait.begun)
	l.refuse(now, balancer.ErrFull)
}

// waited counts and logs a wait that came to its good end.
func (l *login) waited(now time.Time) {
	l.wait.queued = now.Sub(l.wait.begun)
	c := l.p.c
	c.fe.e.log.LogAttrs(context.Background(), slog.LevelInfo, "login waited",
		slog.String("sess", c.name()), slog.String("fe", c.fe.Name),
		slog.String("be", l.be.Name), slog.String("srv", l.place.Server.Name),
		slog.String("src", c.srcName()), slog.String("user", l.req.User),
		slog.String("queued", duration(l.wait.queued.Milliseconds())),
		slog.Int("srv_queue", l.wait.w.AheadServer), slog.Int("be_queue", l.wait.w.AheadBackend))
}

// redispatch goes on at another server if the rule of one home allows it. If
// all others are full, a login whose server is away waits for one of them.
func (l *login) redispatch(now time.Time) bool {
	away := l.place.Server.Away()
	l.ask.Key = l.key() // a reload may have changed the stick table
	switch err := l.be.Redispatch(now, &l.place, l.ask); {
	case err == nil:
		l.moved, l.retries = true, 0
		l.try()
	case errors.Is(err, balancer.ErrFull) && away:
		l.moved, l.retries = true, 0
		l.place.End(now)
		l.placeUser(now)
	default:
		return false
	}
	return true
}

// fullFailure is what the client is told when there was no place.
func (l *login) fullFailure(err error) session.Failure {
	text := "All servers are full"
	if l.wait.home != nil {
		text = "Server is full"
	}
	switch {
	case errors.Is(err, balancer.ErrQueueFull):
		text += " and too many are waiting"
	case l.wait.ended:
		text += fmt.Sprintf(", waited %ds", int(l.wait.queued.Round(time.Second).Seconds()))
	}
	return session.Saying(session.Unavailable, text+", try again later.")
}
