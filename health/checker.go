package health

import (
	"context"
	"sync"
	"time"
)

// Probe looks at a server once; without an error it is well. It must end when
// ctx does.
type Probe func(ctx context.Context) (Seen, error)

// Result is one check and the status after it.
type Result struct {
	Time     time.Time // when the check ended
	Duration time.Duration
	Check    string // HAProxy's word: "L4OK", "L4TOUT", "L7STS" …; "SOCKERR" says nothing of the server
	Desc     string // what was met, such as "connection refused"; "" is nothing
	Caps     string // capabilities of an IMAP server that told them, now or before
	Failed   bool   // the check failed and the server was not quite down before it
	Changed  bool   // up or down is new
	Status   Status
}

// Checker checks one server from Start to Stop. It is shared: any goroutine
// may call any method, Start and Stop once each and in this order.
type Checker struct {
	report func(Result)
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{} // holds one token when the fields below have changed
	caps   string        // owned by the goroutine

	mu     sync.Mutex // guards the fields below
	now    settings
	blamed bool // Blame was called
}

// settings are what the goroutine is told.
type settings struct {
	cfg    Config
	probe  Probe
	paused bool
	pauses int // that there were: a short one may be over before the goroutine looks
}

// New returns a checker. report is called after each check, by the checker's
// goroutine, and must not call Stop.
func New(cfg Config, probe Probe, report func(Result)) *Checker {
	return &Checker{
		report: report, now: settings{cfg: cfg, probe: probe},
		done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// Start begins checking after the given time. Give the servers of a backend
// different ones (see Spread), so that they are not checked all at once.
func (c *Checker) Start(after time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go c.run(ctx, after)
}

// Stop ends the checking, a check under way too, and waits for it.
func (c *Checker) Stop() {
	c.cancel()
	<-c.done
}

// Update takes another configuration and probe; a wait under way begins anew.
func (c *Checker) Update(cfg Config, probe Probe) {
	c.mu.Lock()
	c.now.cfg, c.now.probe = cfg, probe
	c.mu.Unlock()
	c.nudge()
}

// Pause stops the checks, for a server in maintenance, or lets them go on:
// then at once, and with the status of a start.
func (c *Checker) Pause(paused bool) {
	c.mu.Lock()
	changed := c.now.paused != paused
	if c.now.paused = paused; changed && paused {
		c.now.pauses++
	}
	c.mu.Unlock()
	if changed { // else a wait under way, the first one too, would begin anew
		c.nudge()
	}
}

// Blame is told that users' logins have failed too often: on_error says what
// becomes of it, and the next check comes after fastinter. It does not block;
// several calls may count as one.
func (c *Checker) Blame() {
	c.mu.Lock()
	c.blamed = !c.now.paused
	c.mu.Unlock()
	c.nudge()
}

// takeBlame reports whether Blame was called.
func (c *Checker) takeBlame() (blamed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	blamed, c.blamed = c.blamed && !c.now.paused, false
	return blamed
}

func (c *Checker) nudge() {
	select {
	case c.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (c *Checker) settings() settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *Checker) run(ctx context.Context, wait time.Duration) {
	defer close(c.done)
	is := c.settings()
	status := NewStatus(is.cfg.Rise, is.cfg.Fall)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	resumed := false // and not checked since
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
			was := is
			is = c.settings()
			resumed = resumed || was.paused || is.pauses != was.pauses
			if resumed && !is.paused {
				status, wait = NewStatus(is.cfg.Rise, is.cfg.Fall), 0
			} else {
				status = status.With(is.cfg.Rise, is.cfg.Fall)
				wait = is.cfg.pause(status)
			}
			if c.takeBlame() {
				status, wait = c.blame(is.cfg, status)
			}
		case <-timer.C:
			if status = c.check(ctx, status); ctx.Err() != nil {
				return
			}
			resumed, wait = false, is.cfg.pause(status)
		}
		if timer.Stop(); !is.paused {
			timer.Reset(wait)
		}
	}
}

// check does one check and reports it, unless the checker was stopped or
// paused meanwhile: then nobody wants to know.
func (c *Checker) check(ctx context.Context, old Status) Status {
	is := c.settings()
	start := time.Now()
	probing, cancel := context.WithTimeout(ctx, is.cfg.Timeout)
	seen, err := is.probe(probing)
	cancel()
	end := time.Now()
	if now := c.settings(); now.paused || now.pauses != is.pauses || ctx.Err() != nil {
		return old
	}
	r := Result{Time: end, Duration: end.Sub(start), Status: old}
	r.Check, r.Desc = word(seen, err)
	if seen.Caps != "" {
		c.caps = seen.Caps
	}
	r.Caps = c.caps
	if r.Check != sockerr {
		r.Status = old.After(err == nil)
		r.Failed = err != nil && old.Count > 0
		r.Changed = r.Status.Up() != old.Up()
	}
	c.report(r)
	return r.Status
}

// blame does what on_error says and returns how long to wait for the next check.
func (c *Checker) blame(cfg Config, old Status) (Status, time.Duration) {
	status, wait := old.Blamed(cfg.OnError), cfg.Inter
	if cfg.Fastinter > 0 {
		wait = min(wait, cfg.Fastinter)
	}
	if status != old {
		c.report(Result{
			Time: time.Now(), Check: "HANA", Desc: "users' logins fail", Caps: c.caps, Status: status,
			Failed: old.Count > 0, Changed: status.Up() != old.Up(),
		})
	}
	return status, wait
}

// pause is the time until the next check.
func (cfg Config) pause(s Status) time.Duration {
	switch {
	case s.Count == 0 && cfg.Downinter > 0:
		return cfg.Downinter
	case !s.Settled() && cfg.Fastinter > 0:
		return cfg.Fastinter
	}
	return cfg.Inter
}

// Spread is the time after which the i-th of n servers is first checked.
func Spread(inter time.Duration, i, n int) time.Duration {
	return inter * time.Duration(i) / time.Duration(max(n, 1))
}
