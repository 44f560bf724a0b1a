package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/frontend"
	"imaplb/stats"
)

// What an explanation says of servers, limits and the client.

// serverWords is the state of a server with what led to it.
func (n *node) serverWords(b *backend, s *balancer.Server) string {
	state, now := s.State(), time.Now()
	text := fmt.Sprintf("%s %s, weight %d, %d", s.Name, state.Text(), s.Weight(), s.Scur.Load())
	if limit, some := s.Limit(); some && limit > 0 {
		text += fmt.Sprintf(" of %d", limit)
	}
	text += " sessions at this peer"
	if is := s.Share(now, balancer.MaxloginsLimit); is.Here > 0 {
		text += fmt.Sprintf(", %d of %d logins under way", is.Used, is.Here)
	}
	switch waiting := s.Qcur.Load(); {
	case waiting == 1:
		text += ", 1 login waits for it"
	case waiting > 1:
		text += fmt.Sprintf(", %d logins wait for it", waiting)
	}
	switch {
	case sharing(now, s):
		text += ", the peers are just sharing out its limits"
	case s.Full():
		text += ", full"
	}
	if s.Backup() {
		text += ", backup"
	}
	if tags := s.Tags(); len(tags) > 0 {
		text += ", tags " + strings.Join(tags, ",")
	}
	if state.Health.Check != "" {
		text += ", last check " + state.Health.Check
		if state.Health.Desc != "" {
			text += " (" + state.Health.Desc + ")"
		}
	}
	up, down := sides(n.cluster.Votes(b.Name, s.Name))
	if n.mesh != nil && len(up)+len(down) > 0 {
		text += fmt.Sprintf("; up for %s, down for %s", listOr(up), listOr(down))
	}
	if f, ok := n.cluster.FlushOf(now, b.Name, s.Name); ok && f.Phase == cluster.FlushRuns {
		text += "; its users are being moved away"
	}
	return text
}

func listOr(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ",")
}

// limitLine tells how near a limit is, and what happens there once it is reached.
// Without a limit there is nothing to tell.
func limitLine(dst []string, what string, now, limit int64, reached string) []string {
	if limit <= 0 {
		return dst
	}
	text := fmt.Sprintf("%s: %d of %d (%d %%)", what, now, limit, 100*now/limit)
	if now >= limit {
		text += ", reached: " + reached
	}
	return append(dst, text)
}

// limitWords tells how near the limits are that a login to a server would meet;
// nil is none in particular.
func (n *node) limitWords(now time.Time, b *backend, s *balancer.Server, frontends []*frontend.Frontend) (lines []string) {
	wait, no := "logins are refused, as there is no timeout_queue", "logins are refused"
	if d := b.Config().TimeoutQueue; d > 0 {
		wait = fmt.Sprintf("logins wait for a place, %s at most", d)
	}
	if s != nil {
		lines = serverLimitWords(now, s, wait)
		if d := s.LoginWait(now); d > 0 {
			lines = append(lines, fmt.Sprintf("login_rate of %s: the next login may begin in %s", s.Name, d.Round(time.Millisecond)))
		}
		if waiting := s.Qcur.Load(); waiting > 0 { // else there is no limit in sight
			lines = limitLine(lines, "logins waiting for "+s.Name, waiting, int64(s.Maxqueue()), no)
		}
	}
	if waiting := b.Qcur.Load(); waiting > 0 {
		what := "logins waiting for any server of " + b.Name
		if limit := int64(b.Maxqueue()); limit > 0 {
			lines = limitLine(lines, what, waiting, limit, no)
		} else {
			lines = append(lines, fmt.Sprintf("%s: %d", what, waiting))
		}
	}
	const pause = "new connections wait in the kernel's queue"
	for _, f := range frontends {
		lines = limitLine(lines, "connections of frontend "+f.Name, f.Conns.Load(), int64(f.Settings().Config.Maxconn), pause)
	}
	return limitLine(lines, "connections of this process", n.engine.Conns.Load(), int64(n.maxconn()), pause)
}

// userLimits adds the limits of the user's own sessions. what is what becomes of
// a login if one is reached, "" if none is.
func (n *node) userLimits(now time.Time, b *backend, q *stats.Question, e *stats.Explanation) (what, why string) {
	limits := b.UserLimits()
	all, here := n.engine.UserSessionsNow(now, b.Backend, q.User, q.From)
	check := func(of string, is, limit int, key string) {
		e.Limits = limitLine(e.Limits, of, int64(is), int64(limit), "a further login is answered NO [LIMIT]")
		if limit > 0 && is >= limit && what == "" {
			what, why = "the login is answered NO [LIMIT]", fmt.Sprintf("%s are as many as %s allows, %d", of, key, limit)
		}
	}
	check("sessions of the user", all, limits.MaxUserSessions, "max_user_sessions")
	switch limit := limits.MaxUserSessionsPerSource; {
	case q.From.IsValid():
		check(fmt.Sprintf("sessions of the user from %s at this peer", q.From), here, limit, "max_user_sessions_per_source")
	case limit > 0:
		e.Notes = append(e.Notes, fmt.Sprintf("from one address he may have %d sessions: ask 'explain user … from ADDRESS'", limit))
	}
	return what, why
}

// client adds what the frontends' rules say of the client, and what his wrong
// passwords cost him. what is what becomes of him if all of the frontends refuse
// him, else "".
func (n *node) client(now time.Time, q *stats.Question, frontends []*frontend.Frontend, e *stats.Explanation) (what, why string) {
	refused := 0
	for _, f := range frontends {
		if !q.From.IsValid() {
			if rules := len(f.Settings().Config.Rules); rules > 0 {
				e.Notes = append(e.Notes, fmt.Sprintf("frontend %s has %d rules about clients: ask 'explain user … from ADDRESS'", f.Name, rules))
			}
			continue
		}
		r := f.Ruling(now, q.From)
		e.Client = append(e.Client, clientWords(f, &r, q.From)...)
		if w, rule := refusal(&r); w != "" {
			refused++
			what, why = w, fmt.Sprintf("rule %d of frontend %s says so: %s", rule.Rule, f.Name, rule.Words)
		}
	}
	if refused < len(frontends) {
		return "", ""
	}
	return what, why
}

// refusal is what becomes of a client or his login by the rules, "" for nothing,
// and the rule.
func refusal(r *frontend.Ruling) (what string, rule *frontend.Judged) {
	switch {
	case r.Connect.Action == "deny":
		return "the connection is closed", &r.Connect
	case r.Connect.Action == "tarpit":
		return "the connection is kept silent and then closed", &r.Connect
	case r.Login.Action == "deny":
		return "the login is answered NO [LIMIT]", &r.Login
	case r.Login.Action == "tarpit":
		return "the login is answered NO [LIMIT], late", &r.Login
	}
	return "", nil
}

func clientWords(f *frontend.Frontend, r *frontend.Ruling, src netip.Addr) (lines []string) {
	line := func(format string, a ...any) {
		lines = append(lines, fmt.Sprintf("frontend "+f.Name+": "+format, a...))
	}
	if r.Counters != "" {
		line("%s in table %s: %s", src, r.Table, r.Counters)
	}
	switch {
	case r.Trusted:
		line("he is in trusted_networks, so no rule holds and no wrong password makes him wait")
		return lines
	case r.Rules == 0:
		line("no rules")
	case r.Connect.Rule == 0 && r.Login.Rule == 0:
		line("none of %d rules holds: he is let in", r.Rules)
	case r.Connect.Rule > 0:
		line("when he connects rule %d decides: %s", r.Connect.Rule, r.Connect.Words)
	}
	if r.Login.Rule > 0 && r.Login.Rule != r.Connect.Rule {
		line("when he logs in rule %d decides: %s", r.Login.Rule, r.Login.Words)
	}
	if r.Level > 0 || r.Delay > 0 {
		line("level of wrong passwords %d: another one is answered after %s", r.Level, r.Delay)
	}
	return lines
}
