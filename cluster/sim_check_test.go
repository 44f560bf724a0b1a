package cluster_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"imaplb/sticktable"
)

const (
	watchEvery = 500 * ms
	// newsBound is how long a peer may have sessions of a user elsewhere than
	// where its table says, and on two servers: sent away at once, the client has
	// two seconds. One on a server that went down is sent away over a spread, if
	// nobody begins a session of his elsewhere.
	newsBound = 2*time.Second + watchEvery + 100*ms
)

// watchUsers holds the peers to the rule of one home while everything breaks:
// no peer has sessions of a user elsewhere than its own table says, but for a
// moment.
func (w *simWorld) watchUsers() {
	for _, h := range w.hosts {
		p := h.proc
		if p == nil || !p.alive {
			continue
		}
		for _, list := range p.sortedSessions() {
			w.watchUser(p, list)
		}
	}
	w.after(watchEvery, w.watchUsers)
}

func (w *simWorld) watchUser(p *simProc, list []*simLogin) {
	user := list[0].c.user
	e, ok := p.table.Lookup(p.now(), user)
	wrong, servers := 0, map[string]bool{}
	for _, l := range list {
		servers[l.place.Server.Name] = true
		if !ok || l.place.Server.Name != e.Server {
			wrong++
		}
	}
	key := p.host.name + " " + user
	if since, long := w.lasts(key, wrong > 0, newsBound+w.plan.spread); long {
		w.fail(user, "%s has %d of %d sessions of %s elsewhere than on %q since %v", p.host.name, wrong, len(list), user, e.Server, since)
	}
	if since, long := w.lasts("two "+key, len(servers) > 1, newsBound); long {
		w.fail(user, "%s has sessions of %s on %v since %v", p.host.name, user, servers, since)
	}
}

// lasts notes since when something has been so, and tells if it is too long.
func (w *simWorld) lasts(key string, is bool, bound time.Duration) (since time.Duration, long bool) {
	since, was := w.since[key]
	switch {
	case !is:
		delete(w.since, key)
	case !was:
		w.since[key] = w.now
	}
	return since, is && was && w.now-since > bound
}

// present are the processes that are there at the end.
func (w *simWorld) present() (list []*simProc) {
	for _, h := range w.hosts {
		if h != w.lost {
			list = append(list, h.proc)
		}
	}
	return list
}

// allServe reports whether all that should be there are.
func (w *simWorld) allServe() bool {
	return !slices.ContainsFunc(w.present(), func(p *simProc) bool { return p == nil || !p.alive || !p.serving })
}

// checkSettled is what must hold before the comparison of digests that comes when
// it is time: everybody knows what the others have, as each has heard it from whom
// it concerns, or by the comparison when that one died. That is not promised where
// a blob comes late from nowhere, or by a third peer; nor where a peer has no entry
// for what he is told, as it has expired by his clock.
func (w *simWorld) checkSettled() {
	if w.plan.chaos || !w.neverExpires() || !w.allServe() {
		return
	}
	for i := range w.plan.users {
		w.checkUser("u" + itoa(i))
	}
	for _, p := range w.present() {
		p.table.Range(p.now(), func(e sticktable.Entry) bool {
			if w.plan.calm && e.Key[0] == 'x' {
				w.fail(e.Key, "%s remembers %s, who never logged in", p.host.name, e.Key)
			}
			return true
		})
	}
}

// checkAll is what must hold at the end.
func (w *simWorld) checkAll() {
	if w.pending != 0 {
		w.fail("", "%d logins wait for ever", w.pending)
	}
	if !w.allServe() {
		w.fail("", "a peer does not serve at the end")
		return
	}
	for i := range w.plan.users {
		w.checkUser("u" + itoa(i))
	}
	w.checkTables()
	w.checkOrders()
	w.checkPins()
	w.checkFlushes()
}

// checkPins: the same users are pinned everywhere, and to the servers that
// logins are told of.
func (w *simWorld) checkPins() {
	was := ""
	for i, p := range w.present() {
		is := ""
		for _, pin := range p.cluster.Pins() {
			is += fmt.Sprintf(" %s to %s", pin.Key, pin.Server)
			if told := p.cluster.Pinned(simTable, pin.Key); told != pin.Server {
				w.fail(pin.Key, "logins of %s at %s are told %q, pinned to %s", pin.Key, p.host.name, told, pin.Server)
			}
		}
		if i > 0 && is != was {
			w.fail("", "pinned at %s:%s, elsewhere:%s", p.host.name, is, was)
		}
		was = is
	}
}

// checkUser: one home, the same at all peers, and everybody counts right.
func (w *simWorld) checkUser(user string) {
	servers := map[string]int{}
	for _, p := range w.present() {
		for _, l := range p.sessions[user] {
			servers[l.place.Server.Name]++
		}
	}
	if len(servers) > 1 {
		w.fail(user, "%s has sessions on %v", user, servers)
	}
	for _, p := range w.present() {
		e, ok := p.table.Lookup(p.now(), user)
		if len(servers) > 0 && (!ok || servers[e.Server] == 0) {
			w.fail(user, "%s has sessions on %v, but for %s he lives on %q", user, servers, p.host.name, e.Server)
		}
		if p.cluster.Held(simTable, user) {
			w.fail(user, "%s holds logins of %s", p.host.name, user)
		}
		w.checkSlots(p, user)
	}
}

// checkSlots compares what a peer counts with what there is.
func (w *simWorld) checkSlots(p *simProc, user string) {
	counts := map[string]int{}
	for _, s := range p.table.Slots(user) {
		counts[s.Peer] = int(s.Count)
	}
	for _, h := range w.hosts {
		n := len(h.proc.sessions[user])
		if h == w.lost {
			n = 0
		}
		if counts[h.name] != n {
			w.fail(user, "%s counts %d sessions of %s at %s, there are %d: %v", p.host.name, counts[h.name], user, h.name, n, p.table.Slots(user))
		}
	}
}

// neverExpires: no entry does in this run.
func (w *simWorld) neverExpires() bool { return w.plan.expire > 10*time.Minute }

// checkTables: all have the same. Entries that expire go at each peer by its
// own clock, so where some did only those in use are compared.
func (w *simWorld) checkTables() {
	exact := w.neverExpires()
	first := w.present()[0]
	content := first.content(exact)
	for _, p := range w.present()[1:] {
		other := p.content(exact)
		for _, user := range slices.Sorted(maps.Keys(other)) {
			if other[user] != content[user] {
				w.fail(user, "%s has %s, %s has %s", p.host.name, other[user], first.host.name, content[user])
			}
		}
		if len(other) != len(content) {
			w.fail("", "%s has %d entries, %s has %d", p.host.name, len(other), first.host.name, len(content))
		}
		if exact && !slices.Equal(p.table.Digests(nil), first.table.Digests(nil)) {
			w.fail("", "digests of %s and %s differ; floors %v and %v", p.host.name, first.host.name, p.table.Floors(), first.table.Floors())
		}
		w.checkFacts(p, first)
	}
}

// checkFacts compares those that have not expired, nor are about to: each peer
// forgets them by its own clock.
func (w *simWorld) checkFacts(p, first *simProc) {
	until := simEpoch.Add(w.now + 20*time.Second)
	facts, others := p.cluster.FactsUntil(until), first.cluster.FactsUntil(until)
	for key, fact := range facts {
		if fact != others[key] {
			w.fail("", "fact %q: %s has %s, %s has %s", key, p.host.name, fact, first.host.name, others[key])
		}
	}
	if len(facts) != len(others) {
		w.fail("", "%s has %d facts, %s has %d", p.host.name, len(facts), first.host.name, len(others))
	}
}

// content is what a table holds, as text by key.
func (p *simProc) content(all bool) map[string]string {
	content := map[string]string{}
	p.table.Range(p.now(), func(e sticktable.Entry) bool {
		if all || e.Sessions > 0 {
			slots := p.table.Slots(e.Key)
			slices.SortFunc(slots, func(a, b sticktable.Slot) int { return int(a.Peer[0]) - int(b.Peer[0]) })
			content[e.Key] = fmt.Sprintf("%s by %s at %#x, sessions %v", e.Server, e.Writer, e.Stamp.Time, slots)
		}
		return true
	})
	return content
}

// checkOrders: states, weights and verdicts are the same everywhere, and hold.
func (w *simWorld) checkOrders() {
	for _, s := range w.present()[0].backend.Servers() {
		was := ""
		for _, p := range w.present() {
			h := p.host
			server := h.proc.backend.Server(s.Name)
			state := server.State()
			admin, ok := h.proc.cluster.Admin(simBackend, s.Name)
			weight, ok2 := h.proc.cluster.Weight(simBackend, s.Name)
			v := h.proc.cluster.Votes(simBackend, s.Name)
			is := fmt.Sprintf("admin %q weight %d, verdict up %t told %t", admin, weight, v.Up, v.Told)
			if was == "" {
				was = is
			}
			if is != was {
				w.fail("", "%s of %s: %s, elsewhere %s", s.Name, h.name, is, was)
			}
			if ok && admin != state.Admin.String() || ok2 && weight != server.Weight() {
				w.fail("", "%s of %s has state %s and weight %d, ordered is %s", s.Name, h.name, state.Admin, server.Weight(), is)
			}
			if !v.Told || !v.Up || !state.Up() {
				w.fail("", "%s of %s is down, though it works: %s, %+v", s.Name, h.name, is, state)
			}
			if _, frozen := h.proc.cluster.Frozen(); frozen {
				w.fail("", "%s is frozen", h.name)
			}
		}
	}
}
