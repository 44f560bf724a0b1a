package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	stopPoll  = 50 * time.Millisecond
	lastWords = 3 * time.Second // for BYEs on the way when everything is over
)

// signals are what the process is told from outside, from its start on: a
// signal that nobody catches would end it in the middle.
type signals struct{ stop, reload chan os.Signal }

func catchSignals() *signals {
	s := &signals{stop: make(chan os.Signal, 4), reload: make(chan os.Signal, 1)}
	signal.Notify(s.stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.reload, syscall.SIGHUP)
	return s
}

func (s *signals) release() {
	signal.Stop(s.stop)
	signal.Stop(s.reload)
}

// early lets a signal to stop cut the start short; it ends when started is
// closed. A reload has to wait until then.
func (s *signals) early(log *slog.Logger, started <-chan struct{}, cancel func()) {
	select {
	case sig := <-s.stop:
		log.Info("stopping", "signal", sig.String())
		cancel()
	case <-started:
	}
}

// handleSignals serves until SIGTERM, SIGINT or the end of ctx, then stops in
// order. SIGHUP loads the configuration again. The error is that of a loop that
// failed, which ends everything; it is in the log.
func (n *node) handleSignals(ctx context.Context, s *signals) error {
	for {
		select {
		case <-s.reload:
			n.reloadBySignal()
			continue
		case sig := <-s.stop:
			n.log.Info("stopping", "signal", sig.String())
		case <-ctx.Done():
			n.log.Info("stopping")
		case err := <-n.engine.Failed():
			n.giveUp(err)
			n.closeListeners()
			return errSilent
		}
		n.shutdown(s.stop)
		if n.gaveUp {
			return errSilent
		}
		return nil
	}
}

// giveUp begins the end after the failure of a loop, whose connections nobody
// serves any more. Nobody is waited for, on other loops neither: whoever
// started this process is to start another one soon.
func (n *node) giveUp(err error) {
	n.gaveUp = true
	n.log.Error("event loop failed, stopping", "err", err, "sessions", n.engine.Conns.Load())
	n.engine.CloseAll(0)
}

func (n *node) reloadBySignal() {
	// What changed, or every fault, is in the log.
	_, _ = n.Reload()
}

// shutdown closes the listeners and waits for the sessions, at most
// hard_stop_after; then it says BYE to the rest, spread over shutdown_spread.
// A second signal ends it now.
func (n *node) shutdown(again <-chan os.Signal) {
	n.closeListeners()
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

func (n *node) closeListeners() {
	n.mu.Lock() // a reload under way would open them again
	defer n.mu.Unlock()
	n.stopping.Store(true)
	for _, f := range n.engine.Frontends() {
		f.KeepListeners(nil)
	}
}

// wait waits for the last session and reports whether it has ended. A signal
// ends the wait, and so does the failure of a loop.
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
			n.log.Info("stopping now", "signal", s.String())
			n.engine.CloseAll(0)
			limit.Reset(lastWords)
		case err := <-n.engine.Failed():
			n.giveUp(err)
			return true
		}
	}
	return true
}
