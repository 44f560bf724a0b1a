package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/frontend"
	"imaplb/stats"
)

// maxRanked is how many servers an explanation lists.
const maxRanked = 8

// Explain tells where a user would go, without a login. It changes nothing.
func (n *node) Explain(user, backend string) (list []stats.Explanation, err error) {
	user = auth.NormalizeUser(user)
	for _, b := range n.parts.Load().backends {
		if backend != "" && b.Name != backend {
			continue
		}
		ways := n.waysTo(b, user)
		if backend != "" && len(ways) == 0 {
			ways = []taggedWay{{words: "no frontend leads there"}}
		}
		for _, w := range ways {
			list = append(list, n.explain(b, user, w))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no frontend leads to a backend")
	}
	return list, nil
}

// taggedWay is how logins come to a backend that want servers with one tag.
type taggedWay struct{ tag, words string }

// waysTo names the frontends whose logins of a user go to a backend, and the
// routes by which they do: an element for each tag.
func (n *node) waysTo(b *backend, user string) (list []taggedWay) {
	for _, f := range n.engine.Frontends() {
		for _, w := range f.Ways(user) {
			if w.Backend != b.Backend {
				continue
			}
			words := wayWords(f.Name, w)
			i := slices.IndexFunc(list, func(t taggedWay) bool { return t.tag == w.Tag })
			if i < 0 {
				list = append(list, taggedWay{w.Tag, "logins of frontend " + words})
				continue
			}
			list[i].words += ", " + words
		}
	}
	for i := range list {
		if list[i].tag != "" {
			list[i].words += ", to servers with the tag " + list[i].tag
		}
	}
	return list
}

func wayWords(name string, w frontend.Way) string {
	if w.Route > 0 {
		name += fmt.Sprintf(" by its route %d", w.Route)
	}
	if w.If != "" {
		name += " if " + w.If
	}
	return name
}

func (n *node) explain(b *backend, user string, way taggedWay) stats.Explanation {
	now := time.Now()
	cfg := b.Config()
	e := stats.Explanation{Backend: b.Name, Table: cfg.StickTable, Algo: cfg.Balance, Key: user, Way: way.words}
	if t := b.Table(); t != nil {
		e.Key = t.KeyOf(user)
	}
	is := b.Backend.Explain(now, balancer.Ask{Key: e.Key, Tag: way.tag})
	e.Verdict, e.Why = verdict(b, &is, way.tag)
	if is.Found {
		e.Entry = entryWords(now, &is)
	} else {
		e.Entry = "no entry"
	}
	if p, ok := n.cluster.PinOf(e.Table, e.Key); ok {
		e.Pin = fmt.Sprintf("to %s/%s, by %s at %s, %s ago", p.Backend, p.Server, p.By, p.Peer, ago(now, p.When))
		if !is.Pinned {
			e.Pin += "; it does not decide now"
		}
	}
	if to, held := n.cluster.MovedTo(e.Table, e.Key); held {
		e.Move = "under way to " + to + ": logins wait until his sessions elsewhere have ended"
	}
	servers := b.Servers()
	switch cfg.Balance {
	case "hash":
		servers = b.HashOrder(e.Key)
		e.Algo = "hash: for this user the servers stand in this order, and the first that takes new users gets him"
		if way.tag != "" {
			e.Algo = "hash: for this user the servers stand in this order, and the first with the tag " + way.tag + " that takes new users gets him"
		}
	default:
		e.Algo = cfg.Balance + ": its choice depends on the moment"
	}
	for _, s := range servers[:min(len(servers), maxRanked)] {
		e.Servers = append(e.Servers, n.serverWords(b, s))
	}
	if more := len(servers) - maxRanked; more > 0 {
		e.Servers = append(e.Servers, fmt.Sprintf("and %d more", more))
	}
	e.Limits = n.limitWords(b, is.Server, user)
	if reason, frozen := n.cluster.Frozen(); n.mesh != nil && frozen {
		e.Notes = append(e.Notes, "frozen, nobody is moved: "+reason)
	}
	return e
}

// verdict is where the user goes and the rule that says so.
func verdict(b *backend, is *balancer.Explained, tag string) (goes, why string) {
	home := b.Server(is.Entry.Server)
	switch {
	case is.Server != nil:
		goes = is.Server.Name
	case errors.Is(is.Err, balancer.ErrFull) && b.Config().TimeoutQueue > 0:
		goes = fmt.Sprintf("nowhere at once, it waits up to %s for a place", b.Config().TimeoutQueue)
	case is.Err != nil:
		goes = "nowhere, the login is refused: " + strings.TrimPrefix(is.Err.Error(), "balancer: ")
	default:
		goes = "whichever server the algorithm chooses at that moment"
	}
	switch {
	case is.Pinned:
		why = "he is pinned to it"
	case is.Sticky && is.Entry.Sessions > 0:
		why = "the table says that he lives there, and he has sessions there"
	case is.Sticky:
		why = "the table says that he lives there"
	case !is.Found:
		why = "the table does not know him, so the algorithm chooses"
		if b.Table() == nil {
			why = "there is no stick table, so the algorithm chooses"
		}
	case errors.Is(is.Err, balancer.ErrFull) && home != nil && !home.Away():
		why = "the table says that he lives on " + home.Name + ", which is full"
	case home == nil:
		why = "he lived on " + is.Entry.Server + ", which is not in the configuration any more"
	case !home.Fits(tag):
		why = fmt.Sprintf("he lived on %s, which has not the tag %s, and has no session there", home.Name, tag)
	default:
		state := home.State()
		why = fmt.Sprintf("he lived on %s, which is %s and does not take him now", home.Name, state.Text())
	}
	return goes, why
}

// entryWords is what the table says of a user.
func entryWords(now time.Time, is *balancer.Explained) string {
	e := &is.Entry
	text := fmt.Sprintf("lives on %s since %s, by %s; ", e.Server, ago(now, e.Stamp.When()), e.Writer)
	if e.Sessions > 0 {
		return text + fmt.Sprintf("%d sessions, %d of them at this peer", e.Sessions, e.Local)
	}
	return text + fmt.Sprintf("no session, forgotten in %s", e.Expires.Sub(now).Round(time.Second))
}

func ago(now, t time.Time) string { return max(now.Sub(t), 0).Round(time.Second).String() }

// serverWords is the state of a server with what led to it.
func (n *node) serverWords(b *backend, s *balancer.Server) string {
	state := s.State()
	text := fmt.Sprintf("%s %s, weight %d, %d sessions at this peer", s.Name, state.Text(), s.Weight(), s.Scur.Load())
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
	if f, ok := n.cluster.FlushOf(time.Now(), b.Name, s.Name); ok && f.Phase == cluster.FlushRuns {
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

// limitWords tells how near the limits are that a login would meet.
func (n *node) limitWords(b *backend, s *balancer.Server, user string) (lines []string) {
	line := func(what string, now, limit int64) {
		if limit > 0 {
			lines = append(lines, fmt.Sprintf("%s: %d of %d (%d %%)", what, now, limit, 100*now/limit))
		}
	}
	if s != nil {
		lines = append(lines, serverLimitWords(time.Now(), s)...)
		if waiting := s.Qcur.Load(); waiting > 0 { // else there is no limit in sight
			line("logins waiting for "+s.Name, waiting, int64(s.Maxqueue()))
		}
	}
	if limit := b.UserLimits().MaxUserSessions; limit > 0 {
		all, _ := n.engine.UserSessionsNow(b.Backend, user, netip.Addr{})
		line("sessions of the user at this peer", int64(all), int64(limit))
	}
	if waiting := b.Qcur.Load(); waiting > 0 {
		lines = append(lines, fmt.Sprintf("logins that wait for a place in the backend: %d", waiting))
	}
	for _, f := range n.engine.Frontends() {
		if f.Leads(b.Backend) {
			line("connections of frontend "+f.Name, f.Conns.Load(), int64(f.Settings().Config.Maxconn))
		}
	}
	line("connections of this process", n.engine.Conns.Load(), int64(n.maxconn()))
	return slices.Clip(lines)
}
