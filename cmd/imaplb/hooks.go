package main

import (
	"context"
	"sync"
	"time"

	"imaplb/cluster"
	"imaplb/hook"
	"imaplb/stats"
	"imaplb/sticktable"
)

// hooks are the operator's programs that run while users are moved. Shared.
type hooks struct {
	*hook.Runner
	ctx     context.Context // ends with the process
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func newHooks() *hooks {
	ctx, cancel := context.WithCancel(context.Background())
	return &hooks{Runner: hook.NewRunner(), ctx: ctx, cancel: cancel}
}

// stop kills those that run.
func (h *hooks) stop() {
	h.cancel()
	h.running.Wait()
}

// moveOrder is the order to move a key of a table, with the hook of the backend
// if the user has another home now: then there is something to be done between
// the two.
func (n *node) moveOrder(o stats.Order, t *sticktable.Table, b *backend, key, server string) cluster.MoveOrder {
	m := cluster.MoveOrder{By: o.By, Table: t.Name(), Key: key, Backend: b.Name, Server: server}
	e, ok := t.Lookup(time.Now(), key)
	if b.conf.Hook.OnMove == "" || !ok || e.Server == server {
		return m
	}
	told := hook.Move{User: key, Backend: b.Name, Old: e.Server, New: server}
	told.OldAddr, told.NewAddr = b.addr(e.Server), b.addr(server)
	m.Grace = b.conf.Hook.Longest()
	m.Before = func(missing []string, done func(time.Time, string)) {
		told.Missing = missing
		n.hooks.running.Add(1)
		go n.runHook(b.conf.Hook, told, done) // ends with the hook, which is bounded
	}
	return m
}

// addr is the address of a server, "" if it is not in the configuration.
func (b *backend) addr(server string) string {
	if t := b.Target(b.Server(server)); t != nil {
		return t.Addr.String()
	}
	return ""
}

// runHook runs a hook and then lets the move go on. One that fails costs the
// delay, in which the old server may come to an end with the user by itself.
func (n *node) runHook(c hook.Config, m hook.Move, done func(time.Time, string)) {
	defer n.hooks.running.Done()
	note := ""
	if err := n.hooks.Run(n.hooks.ctx, c.OnMove, c.Timeout, &m); err != nil {
		text := words(err)
		n.log.Warn("hook of a move failed", "hook", c.OnMove, "be", m.Backend, "user", m.User, "from", m.Old, "to", m.New, "err", text)
		note = "hook failed: " + text
		delay := time.NewTimer(c.KickDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-n.hooks.ctx.Done():
		}
	}
	done(time.Now(), note)
}
