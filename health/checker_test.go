package health

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func timeZero() time.Time { return time.Unix(1, 0) }

var errDown = errors.New("down")

// bench is a checker under a false clock, with a server that answers as told.
type bench struct {
	*Checker
	start   time.Time
	err     atomic.Pointer[error] // what the server answers; nil is well
	results chan Result
}

func newBench(cfg Config) *bench {
	b := &bench{start: time.Now(), results: make(chan Result, 1000)}
	b.Checker = New(cfg, b.probe, func(r Result) { b.results <- r })
	return b
}

func (b *bench) probe(context.Context) (Seen, error) {
	if p := b.err.Load(); p != nil {
		return Seen{}, *p
	}
	return Seen{Check: "L4OK"}, nil
}

func (b *bench) answer(err error) {
	if err == nil {
		b.err.Store(nil)
		return
	}
	b.err.Store(&err)
}

// after lets the time pass and returns the checks done: second and status of
// each, and "!" where up or down changed.
func (b *bench) after(d time.Duration) (got string) {
	time.Sleep(d)
	synctest.Wait()
	for len(b.results) > 0 {
		r := <-b.results
		got += fmt.Sprintf(" %v:%v", r.Time.Sub(b.start), r.Status)
		if r.Changed {
			got += "!"
		}
	}
	return got
}

func (b *bench) want(t *testing.T, why string, d time.Duration, want string) {
	t.Helper()
	if got := b.after(d); got != want {
		t.Errorf("%s: checks%s, want%s", why, got, want)
	}
}

var config = Config{
	Inter: 10 * time.Second, Fastinter: time.Second, Downinter: 5 * time.Second,
	Timeout: 2 * time.Second, Rise: 2, Fall: 3,
}

func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Start(3 * time.Second)
		defer b.Stop()
		b.want(t, "the first check waits its turn, then inter", 24*time.Second, " 3s:UP 13s:UP 23s:UP")
		b.answer(errDown)
		b.want(t, "failures come fast, then downinter", 20*time.Second, " 33s:UP 2/3 34s:UP 1/3 35s:DOWN! 40s:DOWN")
		b.answer(nil)
		b.want(t, "successes come fast, then inter", 15*time.Second, " 45s:DOWN 1/2 46s:UP! 56s:UP")
	})
}

func TestIntervalsDefaultToInter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.Fastinter, cfg.Downinter = 0, 0
		b := newBench(cfg)
		b.answer(errDown)
		b.Start(0)
		defer b.Stop()
		b.want(t, "down at the first failure", 25*time.Second, " 0s:DOWN! 10s:DOWN 20s:DOWN")
		b.answer(nil)
		b.want(t, "rise", 20*time.Second, " 30s:DOWN 1/2 40s:UP!")
	})
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		results := make(chan Result, 10)
		c := New(config, func(ctx context.Context) (Seen, error) {
			<-ctx.Done()
			return Seen{}, ctx.Err()
		}, func(r Result) { results <- r })
		c.Start(0)
		defer c.Stop()
		r := <-results
		if r.Check != "L4TOUT" || r.Duration != 2*time.Second || !r.Failed || r.Status.Up() {
			t.Fatalf("result %+v, want L4TOUT after 2s", r)
		}
		if r = <-results; r.Failed {
			t.Fatal("a failure of a server that is quite down counts")
		}
	})
}

func TestStopEndsACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(config, func(ctx context.Context) (Seen, error) {
			<-ctx.Done()
			return Seen{}, ctx.Err()
		}, func(r Result) { t.Errorf("reported %+v after Stop", r) })
		c.Start(0)
		synctest.Wait()
		begin := time.Now()
		c.Stop()
		if d := time.Since(begin); d != 0 {
			t.Fatalf("Stop took %v, want it to end the check", d)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.answer(errDown)
		b.Start(0)
		defer b.Stop()
		b.want(t, "down", time.Second, " 0s:DOWN!")
		b.Pause(true)
		b.want(t, "paused", time.Hour, "")
		b.Update(config, b.probe)
		b.want(t, "a reload does not wake it", time.Hour, "")
		b.Pause(false)
		b.want(t, "checked at once, from the status of a start", time.Second, " 2h0m1s:DOWN!")
	})
}

// A pause so short that the checker has not seen it is one: what comes behind it
// is a start, and a check from before tells nothing.
func TestShortPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Start(0)
		defer b.Stop()
		b.want(t, "up", time.Second, " 0s:UP")
		b.answer(errDown)
		b.Pause(true)
		b.Pause(false)
		b.want(t, "checked at once, down at the first failure", time.Second, " 1s:DOWN!")
	})
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := make(chan struct{}), make(chan error)
		first := true
		b := newBench(config)
		b.Checker = New(config, func(context.Context) (Seen, error) {
			if !first {
				return Seen{}, errDown
			}
			first = false
			close(begun)
			return Seen{}, <-goOn
		}, b.report)
		b.Start(0)
		defer b.Stop()
		<-begun
		b.Pause(true)
		b.Pause(false)
		goOn <- nil
		b.want(t, "the check from before the pause is not reported", time.Second, " 0s:DOWN!")
	})
}

func TestPausedFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Pause(true)
		b.Start(time.Second)
		defer b.Stop()
		b.want(t, "paused", time.Minute, "")
		b.Pause(false)
		b.want(t, "goes on", time.Second, " 1m0s:UP")
	})
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Start(0)
		defer b.Stop()
		b.want(t, "before", time.Second, " 0s:UP")
		cfg := config
		cfg.Inter, cfg.Fall = 2*time.Second, 1
		b.Update(cfg, func(context.Context) (Seen, error) { return Seen{}, errDown })
		b.want(t, "the new probe fails, once is enough", 2*time.Second, " 3s:DOWN!")
	})
}

// A process without descriptors must not take its servers for dead.
func TestOwnFaultSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Start(0)
		defer b.Stop()
		b.want(t, "up", time.Second, " 0s:UP")
		b.answer(syscall.EMFILE)
		b.want(t, "still up", 20*time.Second, " 10s:UP 20s:UP")
	})
}

func TestSpread(t *testing.T) {
	for i, want := range []time.Duration{0, 2500, 5000, 7500} {
		if got := Spread(10*time.Second, i, 4); got != want*time.Millisecond {
			t.Errorf("server %d of 4 begins after %v, want %vms", i, got, int64(want))
		}
	}
	if Spread(time.Second, 0, 0) != 0 {
		t.Error("Spread of no servers is not 0")
	}
}

// Users' logins fail: the status at once, and the next check after fastinter.
func TestBlame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config
		cfg.OnError = "sudden-death"
		b := newBench(cfg)
		b.Start(0)
		defer b.Stop()
		b.want(t, "up", 2*time.Second, " 0s:UP")
		b.Blame()
		b.want(t, "one failure from down, checked soon", 2*time.Second, " 2s:UP 1/3 3s:UP")
		b.answer(errDown)
		b.Blame()
		b.want(t, "the check agrees", 2*time.Second, " 4s:UP 1/3 5s:DOWN!")
		b.answer(nil)
		b.Pause(true)
		b.Blame()
		cfg.OnError = "fastinter"
		b.Update(cfg, b.probe)
		b.want(t, "in maintenance nobody listens", time.Minute, "")
		b.Pause(false)
		b.want(t, "back", time.Second, " 1m6s:UP")
		b.Blame()
		b.want(t, "only sooner", 2*time.Second, " 1m8s:UP")
	})
}

// A checker that is told before its start that it is not paused keeps its turn.
func TestFirstCheckKeepsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(config)
		b.Pause(false)
		b.Start(3 * time.Second)
		defer b.Stop()
		b.want(t, "first", 4*time.Second, " 3s:UP")
	})
}
