package frontend

import (
	"log/slog"
	"time"

	"imaplb/session"
	"imaplb/sticktable"
)

// maxTarpit bounds the connections that are kept silent at once; it is a quarter
// of the hard maxconn if that is less. More are denied.
const maxTarpit = 1000

// byeDenied is said to clients that a rule denies.
const byeDenied = "* BYE [UNAVAILABLE] Connections from your address are not accepted now.\r\n"

// Reasons of what the rules do, with HAProxy's letters.
const (
	reasonDenied = "denied"
	reasonTarpit = "tarpit"

	stateDenied = "PR"
	stateTarpit = "PT"
)

// admit counts a connection whose client is known by now, and asks the rules.
// False: it has been dealt with.
func (p *prelogin) admit(now time.Time) bool {
	c, set := p.c, p.set
	if set.Track == nil && len(set.rules) == 0 || !c.src.Addr().IsValid() || p.refuse {
		return true
	}
	var v sticktable.Values
	if set.Track != nil {
		c.tracked = set.Track
		if !c.count(now, &sticktable.Counts{Conns: 1, Cur: 1}, &v) {
			c.tracked = nil // no room: nothing is to be taken back
		}
	}
	if set.trusted.covers(c.src) {
		return true
	}
	switch what, _ := judge(set.rules, c.src.Addr(), &v, false); what {
	case tarpit:
		if p.tarpit(now) {
			return false
		}
	case allow:
		return true
	}
	p.deny(now)
	return false
}

// deny closes a connection. Its line in the log is for debugging: who connects
// without end must not fill the log.
func (p *prelogin) deny(now time.Time) {
	p.countDenied()
	if p.set.Config.TLS != "implicit" && p.set.Config.Mode == "imap" {
		p.c.cli.Write([]byte(byeDenied))
		p.c.cli.FinishQuiet()
	} else {
		p.c.cli.Close()
	}
	p.end(now, reasonDenied, stateDenied, slog.LevelDebug, nil)
}

func (p *prelogin) countDenied() {
	for _, n := range p.counters() {
		n.Refused.Add(1)
	}
}

// tarpit keeps a connection silent for some time: it is not read, and costs no
// more than its record. False: there are too many of them.
func (p *prelogin) tarpit(now time.Time) bool {
	e := p.c.fe.e
	if e.tarpitted.Add(1) > int64(min(maxTarpit, e.limits.Load().HardMaxconn/4)) {
		e.tarpitted.Add(-1)
		return false
	}
	p.countDenied()
	p.inTarpit = true
	p.c.cli.Pause()
	p.timerAt(now.Add(p.set.Config.TarpitTimeout))
	return true
}

// tarpitOver closes it.
func (p *prelogin) tarpitOver(now time.Time) {
	p.c.cli.Close()
	p.end(now, reasonTarpit, stateTarpit, slog.LevelDebug, nil)
}

// count adds to the counters of a connection's source.
func (c *conn) count(now time.Time, x *sticktable.Counts, v *sticktable.Values) bool {
	if c.tracked == nil {
		return false
	}
	var key [48]byte
	return c.tracked.Count(now, string(c.tracked.AppendKeyOfAddr(key[:0], c.src.Addr())), x, v)
}

// tally adds to them where the sums do not matter.
func (c *conn) tally(now time.Time, x *sticktable.Counts) {
	if c.tracked != nil {
		var v sticktable.Values
		c.count(now, x, &v)
	}
}

// tallyLogin counts a login that has come through.
func (c *conn) tallyLogin(now time.Time) { c.tally(now, &sticktable.Counts{Sess: 1}) }

// untrack counts the end of a connection.
func (c *conn) untrack() {
	if c.tracked == nil {
		return
	}
	up, down := c.pair.Bytes()
	c.tally(time.Now(), &sticktable.Counts{Cur: -1, In: up, Out: down})
	c.tracked = nil
}

// ruledOut answers a login that the rules do not allow.
func (l *login) ruledOut(now time.Time) bool {
	p, c := l.p, l.p.c
	if len(p.set.rules) == 0 || c.tracked == nil || p.set.trusted.covers(c.src) {
		return false
	}
	v, _ := c.tracked.Values(now, c.tracked.KeyOfAddr(c.src.Addr()))
	f, reason, state := session.Failure{Kind: session.Limit}, reasonDenied, stateDenied
	switch what, _ := judge(p.set.rules, c.src.Addr(), &v, true); what {
	case allow:
		return false
	case tarpit:
		f.Delay, reason, state = p.set.Config.TarpitTimeout, reasonTarpit, stateTarpit
	}
	l.deny(now, reason, state, f)
	return true
}
