package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	stopPoll  = 50 * time.Millisecond
	lastWords = 3 * time.Second // for BYEs on the way when everything is over
)

// handleSignals serves until SIGTERM, SIGINT or the end of ctx, then stops in
// order. SIGHUP loads the configuration again.
func (n *node) handleSignals(ctx context.Context) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(ch)
	for {
		select {
		case s := <-ch:
			if s == syscall.SIGHUP {
				n.reloadBySignal()
				continue
			}
			n.log.Info("stopping", "signal", s.String())
		case <-ctx.Done():
			n.log.Info("stopping")
		}
		n.shutdown(ch)
		return
	}
}

func (n *node) reloadBySignal() {
	// What changed, or every fault, is in the log.
	_, _ = n.Reload()
}

// shutdown closes the listeners and waits for the sessions, at most
// hard_stop_after; then it says BYE to the rest, spread over shutdown_spread.
// A second signal ends it now.
func (n *node) shutdown(again <-chan os.Signal) {
	n.stopping.Store(true)
	for _, f := range n.engine.Frontends() {
		f.KeepListeners(nil)
	}
	global := n.parts.Load().conf.Global
	n.log.Info("waiting for sessions", "sessions", n.engine.Conns.Load(), "hard_stop_after", global.HardStopAfter)
	if !n.wait(again, global.HardStopAfter) {
		n.log.Info("closing sessions", "sessions", n.engine.Conns.Load(), "over", global.ShutdownSpread)
		n.engine.CloseAll(global.ShutdownSpread)
		if !n.wait(again, global.ShutdownSpread+lastWords) {
			n.engine.CloseAll(0)
			n.wait(again, lastWords)
		}
	}
	n.log.Info("stopped", "sessions", n.engine.Conns.Load())
}

// wait waits for the last session and reports whether it has ended. A signal
// ends the wait.
func (n *node) wait(again <-chan os.Signal, atMost time.Duration) bool {
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	poll := time.NewTicker(stopPoll)
	defer poll.Stop()
	for n.engine.Conns.Load() > 0 {
		select {
		case <-poll.C:
		case <-limit.C:
			return false
		case s := <-again:
			if s != syscall.SIGHUP {
				n.log.Info("stopping now", "signal", s.String())
				n.engine.CloseAll(0)
				limit.Reset(lastWords)
			}
		}
	}
	return true
}
