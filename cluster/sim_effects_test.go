package cluster_test

import (
	"slices"
	"time"

	"imaplb/balancer"
	"imaplb/cluster"
	"imaplb/sticktable"
)

// What cmd/imaplb does in decide.go, moves.go, checks.go and orders.go.

var _ cluster.Effects = (*simProc)(nil)

func (p *simProc) Admin(_, server, state string) string {
	admin, err := balancer.ParseAdmin(state)
	if s := p.backend.Server(server); s != nil && err == nil {
		s.SetAdmin(p.now(), admin)
	}
	p.host.w.trace("", "%s gives %s state %s", p.host.name, server, state)
	return ""
}

func (p *simProc) Maxconn(string, string, int) string { return "" }

func (p *simProc) Weight(_, server string, weight int) string {
	if s := p.backend.Server(server); s != nil {
		s.SetWeight(p.now(), weight)
	}
	return ""
}

func (p *simProc) Kick(k cluster.Kick) string {
	p.host.w.trace(k.User, "%s kicks", p.host.name)
	for _, l := range p.sessions[k.User] {
		l.close(p.host.w.between(0, 5*ms))
	}
	return ""
}

func (p *simProc) Clear(_, key string) string {
	p.host.w.trace(key, "%s clears", p.host.name)
	if key == "" {
		p.table.Clear()
	} else {
		p.table.Delete(key)
	}
	return ""
}

func (p *simProc) Health(_, server string, up bool) {
	verdict := balancer.AllDown
	if up {
		verdict = balancer.AllUp
	}
	p.host.w.trace("", "%s hears the verdict on %s: up %t", p.host.name, server, up)
	if s := p.backend.Server(server); s != nil && s.State().Admin != balancer.Maint {
		s.SetVerdict(p.now(), verdict)
	}
}

func (p *simProc) Void(peer string) {
	p.host.w.trace("", "%s voids the sessions of %s", p.host.name, peer)
	p.table.Void(p.now(), peer)
}

func (p *simProc) CloseUser(table, key, except string) {
	p.host.w.trace(key, "%s ends sessions but those on %s", p.host.name, except)
	p.moves = append(p.moves, simMoving{table, key, except})
	p.closeMoved(key, except)
	p.host.w.after(0, p.lookSoon)
}

// lookSoon is the goroutine that watches moves.
func (p *simProc) lookSoon() {
	if !p.alive || len(p.moves) == 0 {
		return
	}
	p.lookAtMoves()
	p.host.w.after(20*ms, p.lookSoon)
}

func (p *simProc) lookAtMoves() {
	for _, x := range slices.Clone(p.moves) {
		e, ok := p.table.Lookup(p.now(), x.key)
		if !ok || e.Local == 0 || p.elsewhere(x.key, x.except) == 0 {
			p.forgetMove(x.table, x.key)
			p.cluster.Gone(p.now(), x.table, x.key, x.except)
		}
	}
}

func (p *simProc) Assign(_, key, server string) (cluster.Stamp, error) {
	if err := p.table.Set(p.now(), key, server); err != nil {
		return cluster.Stamp{}, err
	}
	p.host.w.trace(key, "%s moves him to %s", p.host.name, server)
	e, _ := p.table.Lookup(p.now(), key)
	return cluster.Stamp{Time: e.Stamp.Time, Writer: e.Writer}, nil
}

func (p *simProc) Assigned(_, key, server string, stamp cluster.Stamp) {
	p.host.w.trace(key, "%s is told of his move to %s", p.host.name, server)
	p.told[key] = stamp.Time
	u := sticktable.Update{Key: key, Server: server, Time: stamp.Time, Writer: stamp.Writer, LastUsed: p.now().UnixMilli()}
	if _, err := p.table.MergeUpdate(p.now(), u); err != nil {
		p.host.w.fail(key, "%s: moved user not taken into the table: %v", p.host.name, err)
	}
}

func (p *simProc) Release(table, key, server string) {
	e, ok := p.table.Lookup(p.now(), key)
	if server != "" && ok && e.Server != server && e.Stamp.Time <= p.told[key] {
		p.host.w.fail(key, "%s lets logins of %s go on, who lives on %s there, not %s", p.host.name, key, e.Server, server)
	}
	p.forgetMove(table, key)
}

func (p *simProc) forgetMove(table, key string) {
	p.moves = slices.DeleteFunc(p.moves, func(x simMoving) bool { return x.table == table && x.key == key })
}

// serverChanged ends the sessions that must not go on.
func (p *simProc) serverChanged(c balancer.Change) {
	s, state := c.Server, c.Server.State()
	if c.Kind == balancer.SetAdmin {
		p.revote(s, state.Admin == balancer.Maint)
	}
	if !state.Up() || state.Admin == balancer.Maint {
		if c.Kind == balancer.WentDown || c.Kind == balancer.SetAdmin && c.Old.Admin != balancer.Maint {
			p.closeServer(s)
		}
	}
}

func (p *simProc) closeServer(s *balancer.Server) {
	for _, list := range p.sortedSessions() {
		for _, l := range list {
			if l.place.Server == s {
				l.close(p.host.w.between(0, p.host.w.plan.spread))
			}
		}
	}
}

func (p *simProc) revote(s *balancer.Server, maint bool) {
	if maint {
		p.cluster.Abstain(p.now(), simBackend, s.Name)
		s.SetVerdict(p.now(), balancer.NoVerdict)
	} else {
		p.cluster.Renew(simBackend, s.Name, cluster.RenewHealth)
	}
}

// check looks at a server for ever, every two seconds; it is paused in
// maintenance.
func (p *simProc) check(server string) {
	w := p.host.w
	if !p.alive {
		return
	}
	if s := p.backend.Server(server); s.State().Admin != balancer.Maint {
		up := w.up[server] && !w.noRoute[[2]string{p.host.name, server}]
		s.SetHealth(p.now(), balancer.Health{Up: up})
		if s.State().Admin != balancer.Maint {
			p.cluster.Vote(p.now(), simBackend, server, up)
		}
	}
	w.after(w.between(1800*ms, 2200*ms), func() { p.check(server) })
}

// applyOrders makes what was ordered before the start hold.
func (p *simProc) applyOrders() {
	for _, s := range p.backend.Servers() {
		p.cluster.Renew(simBackend, s.Name, cluster.RenewAdmin|cluster.RenewWeight|cluster.RenewHealth)
	}
}

// order gives an order at this peer.
func (p *simProc) order() {
	w := p.host.w
	server, user := serverName(w.rng.IntN(w.plan.servers)), "u"+itoa(w.rng.IntN(w.plan.users))
	now, by := p.now(), "admin"
	var err error
	switch w.rng.IntN(16) {
	case 0, 1:
		state := []string{"ready", "drain", "maint"}[w.rng.IntN(3)]
		w.trace("", "order at %s: %s %s", p.host.name, server, state)
		err = p.cluster.OrderAdmin(now, by, simBackend, server, state)
	case 2:
		err = p.cluster.OrderWeight(now, by, simBackend, server, 1+w.rng.IntN(cluster.MaxWeight))
	case 3:
		w.trace(user, "order at %s: kick", p.host.name)
		err = p.cluster.OrderKick(now, by, cluster.Kick{User: user})
	case 4, 5:
		key := ""
		if w.chance(70) {
			key = user
		}
		w.trace(key, "order at %s: clear", p.host.name)
		err = p.cluster.OrderClear(now, by, simTable, key)
	case 6:
		w.trace(user, "order at %s: unpin", p.host.name)
		err = p.cluster.OrderUnpin(now, by, simTable, user)
	case 7, 8:
		w.trace(user, "order at %s: pin to %s", p.host.name, server)
		err = p.cluster.OrderPin(now, cluster.Pin{By: by, Table: simTable, Key: user, Backend: simBackend, Server: server})
		p.move(user, server)
	case 9, 10:
		p.flush(server)
	case 11:
		w.trace("", "order at %s: flush stop %s", p.host.name, server)
		err = p.cluster.OrderFlushStop(now, by, simBackend, server)
	default:
		p.move(user, server)
	}
	_ = err // some cannot be carried out: no pin, no flush
}

// move orders a move, of which one in four has a hook.
func (p *simProc) move(user, server string) {
	w := p.host.w
	if p.backend.Server(server).Away() {
		return
	}
	began := w.now
	o := cluster.MoveOrder{
		By: "admin", Table: simTable, Key: user, Backend: simBackend, Server: server,
		Done: func(r cluster.MoveResult) { p.moved(r, user, server, began) },
	}
	if w.chance(25) {
		o.Before, o.Grace = p.hook(user), simGrace
	}
	_, err := p.cluster.Move(p.now(), o) // cannot while frozen, or he is being moved
	w.trace(user, "order at %s: move to %s: %v", p.host.name, server, err)
	if err == nil && w.chance(30) && w.lose(p.host) { // nobody is left to end the move
		w.after(w.skewed(0, time.Second), func() { p.kill(w.chance(50), false) })
	}
}

// simGrace bounds what runs before a user is assigned: hooks.go sees to it that
// it ends by then, however the program does.
const simGrace = 3 * time.Second

// hook is on_move. It ends before its time is over, but for some that never do.
func (p *simProc) hook(user string) func([]string, func(time.Time, string)) {
	w := p.host.w
	return func(missing []string, done func(time.Time, string)) {
		w.trace(user, "%s runs the hook, without %v", p.host.name, missing)
		if w.chance(5) {
			return
		}
		w.after(w.skewed(0, simGrace), func() {
			if p.alive {
				done(p.now(), "")
			}
		})
	}
}

// moved is the result of a move: where all have confirmed it, nobody who was
// there from its beginning has a session in the way.
func (p *simProc) moved(r cluster.MoveResult, user, server string, began time.Duration) {
	w := p.host.w
	w.trace(user, "%s says of the move to %s: %+v", p.host.name, server, r)
	if r.Err != nil || len(r.Missing) > 0 {
		return
	}
	for _, h := range w.hosts {
		if q := h.proc; q != nil && q.alive && q.born < began && (q == p || p.members[h.name].state == "alive" && p.members[h.name].since < began) {
			if n := q.elsewhere(user, server); n > 0 {
				w.fail(user, "%s was moved to %s, but %s has %d sessions elsewhere", user, server, h.name, n)
			}
		}
	}
}

// allReady gives all servers back, so that a run ends with all of them usable:
// orders from several sides.
func (w *simWorld) allReady() {
	for k := range w.plan.servers {
		if p := w.anyServing(); p != nil {
			w.trace("", "order at %s: %s ready", p.host.name, serverName(k))
			_ = p.cluster.OrderAdmin(p.now(), "admin", simBackend, serverName(k), "ready") // checkOrders tells
		}
	}
}
