package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/balancer"
	"imaplb/frontend"
	"imaplb/stats"
)

// maxRanked is how many servers an explanation lists.
const maxRanked = 8

// Explain tells where a user would go, without a login. It changes nothing.
func (n *node) Explain(q stats.Question) (list []stats.Explanation, err error) {
	q.User = auth.NormalizeUser(q.User)
	if q.Bind != "" && !n.listensOn(q.Bind) {
		return nil, fmt.Errorf("no frontend of mode imap is called %q or listens there", q.Bind)
	}
	for _, b := range n.parts.Load().backends {
		if q.Backend != "" && b.Name != q.Backend {
			continue
		}
		ways := n.waysTo(b, &q)
		if q.Backend != "" && len(ways) == 0 {
			ways = []taggedWay{{words: "no frontend leads there"}}
		}
		for _, w := range ways {
			list = append(list, n.explain(b, &q, w))
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no frontend leads to a backend")
	}
	return list, nil
}

// taggedWay is how logins come to a backend that want servers with one tag.
type taggedWay struct {
	tag, words string
	frontends  []*frontend.Frontend
}

// asks reports whether a question is about a frontend, and is the question to
// ask that one.
func asks(f *frontend.Frontend, q *stats.Question) (frontend.Question, bool) {
	to := frontend.Question{User: q.User, SNI: q.SNI, Bind: q.Bind, Source: q.From}
	if q.Bind == f.Name {
		to.Bind = ""
	}
	return to, to.Bind == "" || slices.Contains(f.Settings().Config.Bind, to.Bind)
}

func (n *node) listensOn(bind string) bool {
	return slices.ContainsFunc(n.engine.Frontends(), func(f *frontend.Frontend) bool {
		_, is := asks(f, &stats.Question{Bind: bind})
		return is && f.Settings().Config.Mode == "imap"
	})
}

// waysTo names the frontends whose logins of a user go to a backend, and the
// routes by which they do: an element for each tag.
func (n *node) waysTo(b *backend, q *stats.Question) (list []taggedWay) {
	for _, f := range n.engine.Frontends() {
		to, is := asks(f, q)
		if !is {
			continue
		}
		for _, w := range f.Ways(to) {
			if w.Backend != b.Backend {
				continue
			}
			words := wayWords(f.Name, w)
			i := slices.IndexFunc(list, func(t taggedWay) bool { return t.tag == w.Tag })
			if i < 0 {
				list = append(list, taggedWay{w.Tag, "logins of frontend " + words, []*frontend.Frontend{f}})
				continue
			}
			list[i].words += ", " + words
			if !slices.Contains(list[i].frontends, f) {
				list[i].frontends = append(list[i].frontends, f)
			}
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
	if w.Since != "" {
		name += " (" + w.Since + ")"
	}
	if w.If != "" {
		name += " if " + w.If
	}
	return name
}

func (n *node) explain(b *backend, q *stats.Question, way taggedWay) stats.Explanation {
	now := time.Now()
	cfg := b.Config()
	e := stats.Explanation{Backend: b.Name, Table: cfg.StickTable, Algo: cfg.Balance, Key: q.User, Way: way.words}
	if t := b.Table(); t != nil {
		e.Key = t.KeyOf(q.User)
	}
	is := b.Backend.Explain(now, balancer.Ask{Key: e.Key, Source: q.From, Tag: way.tag})
	e.Verdict, e.Why = verdict(b, &is), because(now, b, &is, way.tag)
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
		e.Verdict, e.Why = "waits, and then to "+to, "he is being moved there"
	}
	e.Limits = n.limitWords(now, b, cmp.Or(is.Server, is.Full), way.frontends)
	// In the order in which a login meets them.
	if what, why := n.client(now, q, way.frontends, &e); what != "" {
		refuse(&e, what, why)
	} else if what, why = n.userLimits(now, b, q, &e); what != "" {
		refuse(&e, what, why)
	}
	n.explainServers(b, way.tag, &e)
	if is.Sticky || is.Pinned {
		e.Algo = "not asked now; " + e.Algo
	}
	if reason, frozen := n.cluster.Frozen(); n.mesh != nil && frozen {
		e.Notes = append(e.Notes, "frozen, nobody is moved: "+reason)
	}
	if b.InPanic() {
		e.Notes = append(e.Notes, fmt.Sprintf("less than %d %% of the servers are up, so health counts for nothing (panic_threshold)", cfg.PanicThreshold))
	}
	return e
}

// explainServers adds the servers in the order of the algorithm.
func (n *node) explainServers(b *backend, tag string, e *stats.Explanation) {
	servers := b.Servers()
	switch e.Algo {
	case "hash":
		servers = b.HashOrder(e.Key)
		e.Algo = "hash: for this user the servers stand in this order, and the first that takes new users gets him"
		if tag != "" {
			e.Algo = "hash: for this user the servers stand in this order, and the first with the tag " + tag + " that takes new users gets him"
		}
	default:
		e.Algo += ": its choice depends on the moment"
	}
	for _, s := range servers[:min(len(servers), maxRanked)] {
		e.Servers = append(e.Servers, n.serverWords(b, s))
	}
	if more := len(servers) - maxRanked; more > 0 {
		e.Servers = append(e.Servers, fmt.Sprintf("and %d more", more))
	}
}

// refuse makes the verdict that the login comes to nothing before a server is
// chosen.
func refuse(e *stats.Explanation, what, why string) {
	if !strings.HasPrefix(e.Verdict, nowhere) {
		why += "; without that: " + e.Verdict + ", since " + e.Why
	}
	e.Verdict, e.Why = nowhere+what, why
}

// nowhere begins the verdict of a login that is refused.
const nowhere = "nowhere, "

// verdict is where the user goes.
func verdict(b *backend, is *balancer.Explained) string {
	wait := b.Config().TimeoutQueue
	switch full := errors.Is(is.Err, balancer.ErrFull) && wait > 0; {
	case is.Server != nil:
		return is.Server.Name
	case full && is.Full != nil:
		return fmt.Sprintf("%s, as soon as it has a place: the login waits, %s at most", is.Full.Name, wait)
	case full:
		return fmt.Sprintf("the first server that has a place: the login waits, %s at most", wait)
	case is.Err != nil:
		return nowhere + "the login is refused: " + words(is.Err)
	}
	return "whichever server the algorithm chooses at that moment"
}

// because is the rule that says so.
func because(now time.Time, b *backend, is *balancer.Explained, tag string) (why string) {
	home := b.Server(is.Entry.Server)
	switch {
	case is.Pinned:
		why = "he is pinned to it"
	case is.Sticky && is.Entry.Sessions > 0:
		why = "the table says that he lives there, and he has sessions there"
		if state := home.State(); state.Effective() == balancer.Drain {
			why += ", which keep him there though it is in drain"
		}
	case is.Sticky:
		why = "the table says that he lives there"
	case !is.Found:
		why = "the table does not know him, so the algorithm chooses"
		if b.Table() == nil {
			why = "there is no stick table, so the algorithm chooses"
		}
	case home == nil:
		why = "he lived on " + is.Entry.Server + ", which is not in this process's configuration"
	case !home.Fits(tag):
		why = fmt.Sprintf("he lived on %s, which has not the tag %s, and has no session there", home.Name, tag)
	default:
		state := home.State()
		why = fmt.Sprintf("he lived on %s, which is %s and does not take him now", home.Name, state.Text())
	}
	switch {
	case is.Full == nil:
	case sharing(now, is.Full):
		why += ", but the peers are just sharing out the limits of " + is.Full.Name
	default:
		why += ", but " + is.Full.Name + " is full"
	}
	return why
}

// entryWords is what the table says of a user.
func entryWords(now time.Time, is *balancer.Explained) string {
	e := &is.Entry
	text := fmt.Sprintf("lives on %s, placed there %s ago by %s; ", e.Server, ago(now, e.Stamp.When()), e.Writer)
	switch {
	case e.Sessions == 1 && e.Local == 1:
		return text + "1 session, at this peer"
	case e.Sessions == 1:
		return text + "1 session, at another peer"
	case e.Sessions > 1:
		return text + fmt.Sprintf("%d sessions, %d of them at this peer", e.Sessions, e.Local)
	}
	return text + fmt.Sprintf("no session, forgotten in %s", e.Expires.Sub(now).Round(time.Second))
}

func ago(now, t time.Time) string { return max(now.Sub(t), 0).Round(time.Second).String() }
