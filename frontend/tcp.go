package frontend

import (
	"log/slog"
	"time"

	"imaplb/loop"
	"imaplb/upstream"
)

// modeTCP is the word of Config.Mode for a frontend that moves bytes it does not
// understand. Its connections have a prelogin without a session machine, and a
// login without credentials: the server is chosen, waited for and given up in
// the same way.
const modeTCP = "tcp"

// tcp goes on where an IMAP client would be greeted.
func (p *prelogin) tcp(early []byte) {
	switch {
	case p.refuse:
		p.abort(time.Now(), reasonFull, stateProxy)
	case p.c.tls == 0 && p.set.readsSNI():
		p.await(awaitHello, p.c.fe.e.limits.Load().HandshakeTimeout)
		p.first.in = early
		if len(early) > 0 {
			p.readHello()
		}
	default:
		p.connect(early)
	}
}

// readHello takes the name out of a ClientHello that is passed on as it is. What
// is no TLS has no name.
func (p *prelogin) readHello() {
	f := p.first
	if !loop.HelloComplete(f.in) {
		if len(f.in) > loop.MaxHello {
			p.abort(time.Now(), reasonHandshake, stateProxy)
		}
		return
	}
	p.sni = loop.ServerName(f.in)
	p.first = nil
	p.connect(f.in)
}

// connect begins to look for a server. early is what the client has sent.
func (p *prelogin) connect(early []byte) {
	p.in = early
	if len(early) > 0 {
		p.c.cli.Pause()
	}
	p.c.w().loop.StopTimer(&p.timer)
	p.login = &login{p: p, raw: true}
	p.login.start()
}

// holdTCP keeps one read of what the client sends before there is a server; the
// rest waits in the kernel.
func (p *prelogin) holdTCP(b []byte) {
	p.in = append(p.in, b...)
	p.c.cli.Pause()
}

// deadline is when the client has waited for long enough.
func (p *prelogin) deadline() time.Time {
	if p.s == nil {
		return p.born.Add(p.set.session.LoginTimeout)
	}
	return p.s.Deadline()
}

// closeTCP ends a connection that found no server.
func (l *login) closeTCP(now time.Time, reason, state string, r *upstream.Result) {
	p := l.p
	p.login = nil
	p.c.place = l.place // for the log; it has ended
	var err error
	if r != nil {
		err = r.Err
	}
	p.c.cli.Close()
	p.end(now, reason, state, slog.LevelInfo, err)
}

// routing are the settings by which a backend is chosen: those of now, unless a
// reload has changed what the frontend speaks.
func (p *prelogin) routing() *settings {
	if now := p.c.fe.set.Load(); now.Config.Mode == p.set.Config.Mode {
		return now
	}
	return p.set
}
