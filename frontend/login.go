package frontend

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"time"

	"imaplb/auth"
	"imaplb/balancer"
	"imaplb/relay"
	"imaplb/session"
	"imaplb/upstream"
)

// retryAfter is the pause before a server that did not answer a connect is
// tried again, HAProxy's.
const retryAfter = time.Second

// holdLook is how often a login that waits for its user to be moved looks
// whether he has been.
const holdLook = 100 * time.Millisecond

// usualOK is room for the tagged OK as it is most of the time, in bytes.
const usualOK = 384

// maxPlaced is how often a user is placed again because each time his home
// moved while he logged in.
const maxPlaced = 3

// login is a login under way: from the client's command to the server's
// answer, over all attempts. Owned by the loop of its connection.
type login struct {
	p       *prelogin
	be      *Backend
	req     upstream.Request
	user    string // normalised
	ask     balancer.Ask
	place   balancer.Placement
	target  *upstream.Target // of the last attempt
	attempt *upstream.Attempt
	begun   time.Time
	retries int
	started bool
	raw     bool // mode tcp: there are no credentials, the client talks to the server himself
	held    bool // waits while its user is being moved
	moved   bool // redispatched once
	placed  int  // times that the user was placed
	wait    wait
	counted bool          // among the sessions of its user
	delay   time.Duration // of the answer, for the log
}

// Login notes what the client wants; it is begun behind the session machine's
// call. It implements session.Effects.
func (p *prelogin) Login(l *session.Login) {
	p.login = &login{p: p}
	r := &p.login.req
	r.Credentials, r.ID, r.TTL = l.Credentials, l.ID, l.TTL
}

// start places the user and begins the first attempt.
func (l *login) start() {
	p, now := l.p, time.Now()
	l.started, l.begun = true, now
	c := p.c
	for _, n := range p.counters() {
		n.SessTot.Add(1)
		n.SessRate.Add(now, 1)
	}
	r := &l.req
	r.SessionID, r.ClientAddr, r.ServerName, r.TLS = c.name(), c.src, p.sni, c.tls != 0
	r.TLSVersion, r.ALPN = c.tlsName(), p.alpn
	r.ClientCert = p.cert
	if r.LocalAddr = p.dest; !r.LocalAddr.IsValid() {
		r.LocalAddr = p.ln.AddrPort()
	}
	if r.LocalAddr.IsValid() && r.LocalAddr.Addr().IsUnspecified() {
		r.LocalAddr = c.cli.LocalAddr()
	}
	l.user = auth.NormalizeUser(r.User)
	set, route := p.routing(), 0
	l.be, route = set.backend(&Question{User: l.user, SNI: p.sni, Bind: p.bind, Source: c.src.Addr()})
	l.ask = balancer.Ask{Source: c.src.Addr(), Tag: set.tag(route)}
	if !l.ruledOut(now) && !l.overLimit(now) {
		l.placeUser(now)
	}
}

// placeUser asks the balancer for a server and begins the attempt.
func (l *login) placeUser(now time.Time) {
	l.place = balancer.Placement{}
	l.ask.Key = l.key()
	if l.hold(now) {
		return
	}
	place, err := l.be.PlaceOrWait(now, l.ask, &l.wait.w, l)
	l.got(now, place, err)
}

// hold makes the login wait while its user is being moved to another server,
// until the sessions he has have ended everywhere. A client that waits too long
// is told to come back.
func (l *login) hold(now time.Time) bool {
	if l.held = l.p.c.fe.e.isHeld(l.be.Table(), l.ask.Key); !l.held {
		return false
	}
	next := now.Add(holdLook)
	if next.After(l.p.deadline()) {
		l.refuse(now, errHeld)
		return true
	}
	l.p.timerAt(next)
	return true
}

var errHeld = errors.New("frontend: user is being moved")

// refuse answers a login for which there is no server.
func (l *login) refuse(now time.Time, err error) {
	reason, state, failure := "no_server", "SC", session.Failure{Kind: session.Unavailable}
	switch {
	case l.wait.ended:
		reason, state, failure = reasonQueueTimeout, stateQueueTimeout, l.fullFailure(err)
	case errors.Is(err, balancer.ErrQueueFull):
		reason, state, failure = reasonQueueFull, stateQueueFull, l.fullFailure(err)
	case errors.Is(err, balancer.ErrFull):
		reason, failure = "server_full", l.fullFailure(err)
	case errors.Is(err, balancer.ErrFrozen):
		reason = "frozen"
	case errors.Is(err, errHeld):
		reason = "being_moved"
	}
	l.deny(now, reason, state, failure)
}

// deny ends a login that no server was asked about.
func (l *login) deny(now time.Time, reason, state string, f session.Failure) {
	for _, n := range l.p.counters() {
		n.Denied.Add(1)
	}
	l.giveUp(now, reason, state, nil, f)
}

// try begins one attempt at the placed server.
func (l *login) try() {
	c := l.p.c
	target := l.be.Target(l.place.Server)
	if target == nil { // it left the configuration this moment
		l.leftBehind(time.Now())
		return
	}
	if l.place.Elsewhere {
		// Now, not when this login has been accepted: if it is not, the next one
		// finds the user at home here and knows nothing of the others.
		c.fe.e.closeElsewhere(l.place.Key, l.place.Server)
	}
	l.count(func(n *balancer.Counters) { n.Connect.Add(1) })
	l.target = target
	begin := upstream.Start
	if l.raw {
		begin = upstream.Connect
	}
	l.attempt = begin(c.w().loop, target, &l.req, c.fe.e.slots, l)
}

// leftBehind places a user again whose server left the configuration between
// the choice and the attempt.
func (l *login) leftBehind(now time.Time) {
	l.place.End(now)
	if l.placed > maxPlaced {
		l.refuse(now, balancer.ErrNoServer)
		return
	}
	l.placeUser(now)
}

// count adds to the counters of the server and its backend.
func (l *login) count(f func(*balancer.Counters)) {
	f(&l.place.Server.Counters)
	f(&l.place.Server.Backend.Counters)
}

// LoginDone takes the outcome of an attempt. It implements upstream.Done.
func (l *login) LoginDone(_ *upstream.Attempt, r *upstream.Result) {
	now := time.Now()
	l.attempt = nil
	l.note(r)
	switch {
	case r.Outcome == upstream.OK:
		l.accepted(now, r)
	case r.Outcome.Retry() && l.again(now):
	default:
		l.place.End(now)
		f := failureOf(r)
		f.Delay = l.punish(now, r)
		l.giveUp(now, r.Outcome.String(), r.Outcome.Termination(), r, f)
	}
}

// note counts an outcome.
func (l *login) note(r *upstream.Result) {
	observe(l.place.Server, r.Outcome)
	l.count(func(n *balancer.Counters) {
		n.Ctime.Add(r.Connect)
		switch r.Outcome {
		case upstream.OK:
			n.Qtime.Add(l.wait.queued)
			if !l.raw {
				n.AuthOK.Add(1)
			}
		case upstream.AuthFailed, upstream.Refused:
			n.AuthFail.Add(1)
		case upstream.Temporary:
			n.AuthTemp.Add(1)
		case upstream.Limit:
			n.AuthLimit.Add(1)
		case upstream.LoginTimeout:
			n.LoginTimeout.Add(1)
		case upstream.ConnectRefused, upstream.ConnectTimeout, upstream.TLSFailed, upstream.LocalFailure:
			n.Econ.Add(1)
		case upstream.Protocol, upstream.Lost, upstream.Looping, upstream.NeedsTLS:
			n.LoginProto.Add(1)
			n.Eresp.Add(1)
		}
	})
}

// failureOf is what the client is told of an outcome.
func failureOf(r *upstream.Result) session.Failure {
	switch r.Outcome {
	case upstream.AuthFailed:
		return session.Failure{Kind: session.AuthFailed}
	case upstream.Refused:
		return session.Forward(r.Code, r.Text)
	case upstream.Limit:
		return session.Failure{Kind: session.Limit}
	case upstream.Looping, upstream.TLSFailed, upstream.NeedsTLS:
		return session.Failure{Kind: session.ConfigError}
	}
	return session.Failure{Kind: session.Unavailable}
}

// again arranges for another attempt: at the same server while there are
// retries, then at another one if the rule of one home allows it.
func (l *login) again(now time.Time) bool {
	cfg := l.be.Config()
	if now.Add(retryAfter).After(l.p.deadline()) {
		return false // the client has waited long enough
	}
	if l.retries < cfg.Retries {
		l.retries++
		l.count(func(n *balancer.Counters) { n.Wretr.Add(1) })
		l.p.timerAt(now.Add(retryAfter))
		return true
	}
	return !l.moved && l.redispatch(now)
}

// expired is the end of the pause before a retry. If the server was found down
// meanwhile, the user need not wait for it.
func (l *login) expired(now time.Time) {
	if l.attempt != nil {
		return
	}
	switch {
	case l.held:
		l.placeUser(now)
	case l.wait.on:
		l.look(now)
	case l.place.Server.Away() && !l.moved && l.redispatch(now):
	default:
		l.try()
	}
}

// giveUp ends a login that came to nothing.
func (l *login) giveUp(now time.Time, reason, state string, r *upstream.Result, f session.Failure) {
	if l.raw {
		l.closeTCP(now, reason, state, r)
		return
	}
	l.delay = f.Delay
	l.logFailed(reason, state, r)
	l.failed(now, f)
}

// failed tells the client and lets the connection go on.
func (l *login) failed(now time.Time, f session.Failure) {
	p := l.p
	l.uncount()
	p.login = nil
	p.s.LoginFailed(now, f)
	p.goOn()
}

// cancel ends a login whose client has left.
func (l *login) cancel(now time.Time) {
	if l.attempt != nil {
		l.attempt.Cancel()
		l.attempt = nil
	}
	l.leave(now)
	l.uncount()
	if l.place.Server != nil {
		l.place.End(now)
	}
	l.p.login = nil
}

// accepted hands the connection over to the relay.
func (l *login) accepted(now time.Time, r *upstream.Result) {
	p, c := l.p, l.p.c
	// That the user is being moved is asked when his session counts already:
	// so either the move finds the session or the session finds the move.
	if l.place.Server.Away() || l.readdressed() || l.place.Outdated() || l.place.Begin(now) != nil || p.c.fe.e.isHeld(l.be.Table(), l.ask.Key) {
		// Moved, or the server went away, between the choice and the login:
		// this is not home any more. The next attempt asks again.
		r.Conn.Close()
		l.place.End(now)
		if l.placed > maxPlaced {
			l.refuse(now, balancer.ErrNoServer)
			return
		}
		l.placeUser(now)
		return
	}
	var toClient []byte
	if !l.raw {
		toClient = p.s.AppendLoginOK(make([]byte, 0, usualOK+len(r.Untagged)+len(r.Rest)), r.Untagged, r.Caps, r.Text)
		toClient = append(toClient, r.Rest...)
	}
	p.done()
	c.pre, c.place, c.user, c.counted = nil, l.place, l.user, l.counted
	c.w().link(c)
	c.tallyLogin(now)
	c.logBegin()
	c.pair.Start(c.cli, r.Conn, c.fe.set.Load().timeoutsOf(l.be), c,
		relay.Waiting{ToClient: toClient, ToServer: p.in, Raw: l.raw})
}

// readdressed reports whether a reload gave the server another address while
// the login was under way at the old one.
func (l *login) readdressed() bool {
	t := l.be.Target(l.place.Server)
	return t != nil && t != l.target && t.Addr.String() != l.target.Addr.String()
}

// logFailed writes a line for a login that came to nothing; fail2ban and
// administrators read it.
func (l *login) logFailed(reason, state string, r *upstream.Result) {
	c := l.p.c
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("sess", c.name()), slog.String("fe", c.fe.Name), slog.String("be", l.be.Name))
	if l.place.Server != nil {
		attrs = append(attrs, slog.String("srv", l.place.Server.Name))
	}
	attrs = append(attrs, slog.String("src", c.srcName()), slog.String("user", l.req.User),
		slog.String("mech", l.req.Mechanism.String()), slog.String("reason", reason), slog.String("state", state))
	attrs = c.appendCN(attrs)
	if r != nil {
		attrs = append(attrs, slog.String("where", r.Where))
		if l.mayLog(r) {
			attrs = append(attrs, slog.String("answer", string(r.Text)))
		}
		if r.Err != nil {
			attrs = append(attrs, slog.String("err", cause(r.Err)))
		}
	}
	if l.wait.queued > 0 {
		attrs = append(attrs, slog.String("queued", duration(l.wait.queued.Milliseconds())))
	}
	if l.delay > 0 {
		attrs = append(attrs, slog.String("delay", duration(l.delay.Milliseconds())))
	}
	attrs = append(attrs, slog.String("dur", duration(time.Since(l.begun).Milliseconds())))
	c.fe.e.log.LogAttrs(context.Background(), slog.LevelInfo, "login failed", attrs...)
}

// mayLog reports whether the server's text can stand in the log: one that
// repeats the command may repeat the password.
func (l *login) mayLog(r *upstream.Result) bool {
	secret := l.req.Secret.Reveal()
	return len(r.Text) > 0 && r.Outcome != upstream.Protocol && !l.req.Mechanism.OAuth() &&
		(len(secret) == 0 || !bytes.Contains(r.Text, secret))
}
