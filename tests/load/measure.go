package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"time"
)

const (
	noopConns    = 32
	fetchConns   = 8
	loginConns   = 32
	warmLogins   = 200                    // before memory is read
	warmTime     = 500 * time.Millisecond // before CPU time is read
	settleTime   = time.Second            // before memory is read
	stallTime    = 2 * time.Second        // how long nothing is read
	megabyte     = 1e6
	spareSockets = 1000 // descriptors of a proxy that the storm leaves free
)

// values are the figures of one measurement of one proxy, by name.
type values map[string]float64

// subject is a proxy under measurement, and the ends of the bench's choices.
type subject struct {
	*running
	server   *running // the light IMAP server
	time     time.Duration
	sessions int // idle sessions
	limit    int // descriptors
}

// measurement is one thing that is measured of each proxy in each round.
type measurement struct {
	name    string
	figures []figure
	rounds  int  // at most, for what hardly varies; 0 is no limit
	fresh   bool // needs a proxy that has done nothing before
	run     func(ctx context.Context, s subject) (values, error)
	// pair is instead of run for what is measured of two peers.
	pair func(ctx context.Context, p *pair, each time.Duration) (values, error)
}

// measurements lists everything that can be measured, in the order of the
// table.
func measurements() []measurement {
	noop := func(goal goal) []figure {
		return []figure{{name: "NOOP/s"}, {name: "CPU µs/NOOP", goal: goal}, {name: "p50 µs"},
			{name: "p99 µs", goal: atMost(1, "haproxy")}}
	}
	fetch := []figure{{name: "MB/s", goal: atLeast(1.3, "haproxy")}, {name: "CPU s/GB", goal: atMost(0.8, "haproxy")}}
	login := func(factor float64) []figure {
		return []figure{{name: "logins/s"}, {name: "CPU µs/login", goal: atMost(factor, "haproxy")}}
	}
	idle := func(limit float64) []figure { return []figure{{name: "KiB/session", goal: atMost(limit)}} }
	stall := []figure{{name: "KiB growth", goal: atMost(1024)}}
	return append([]measurement{
		{name: "noop-plain", figures: noop(atMost(1, "haproxy", "nginx")), run: measureNoop(false)},
		{name: "noop-tls", figures: noop(atMost(0.8, "haproxy", "nginx")), run: measureNoop(true)},
		{name: "fetch-plain", figures: fetch, run: measureFetch(false)},
		{name: "fetch-tls", figures: fetch, run: measureFetch(true)},
		{name: "login-plain", figures: login(1.1), run: measureLogin(false, false)},
		{name: "login-full", figures: login(0.7), run: measureLogin(true, false)},
		{name: "login-resumed", figures: login(0.6), run: measureLogin(true, true)},
		{name: "idle-plain", figures: idle(1), rounds: 2, fresh: true, run: measureIdle(false)},
		{name: "idle-tls", figures: idle(8), rounds: 2, fresh: true, run: measureIdle(true)},
		{name: "stall-plain", figures: stall, rounds: 2, fresh: true, run: measureStall(false)},
		{name: "stall-tls", figures: stall, rounds: 2, fresh: true, run: measureStall(true)},
		{name: "storm", figures: stormFigures(), rounds: 1, fresh: true, run: measureStorm},
	}, peerMeasurements()...)
}

func (r *running) target(withTLS bool) target {
	if withTLS {
		return target{addr: r.tls, tls: clientTLS(nil)}
	}
	return target{addr: r.plain}
}

// Values that only the log shows: how many CPUs each side kept busy. Where the
// proxy has little of them, the load is the bottleneck; where the others have
// some, wall-clock figures are wrong.
const (
	busyProxy  = "busy proxy"
	busyServer = "busy server"
	busyLoad   = "busy load"
	busyOthers = "busy others" // processes that are no part of this
)

// measureLoop runs a closed loop, first a while unmeasured, and returns what it
// did and the CPU time the proxy used for it. v gets the shares of the CPUs.
func (s subject) measureLoop(l *loopLoad, v values) (loopResult, time.Duration, error) {
	defer l.close()
	if _, err := l.run(newBudget(warmTime, math.MaxInt64)); err != nil {
		return loopResult{}, 0, fmt.Errorf("warming up: %w", err)
	}
	before, err := s.spent()
	if err != nil {
		return loopResult{}, 0, err
	}
	res, err := l.run(newBudget(s.time, math.MaxInt64))
	if err != nil {
		return res, 0, err
	}
	after, err := s.spent()
	if err != nil {
		return res, 0, err
	}
	after.share(before, res.elapsed, v)
	return res, after.proxy - before.proxy, nil
}

// spent is CPU time used so far.
type spent struct {
	proxy, server, load, machine time.Duration
}

func (s subject) spent() (u spent, err error) {
	if u.machine, err = machineTime(); err != nil {
		return u, err
	}
	if u.proxy, err = cpuTime(s.pids); err != nil {
		return u, err
	}
	if u.server, err = cpuTime(s.server.pids); err != nil {
		return u, err
	}
	u.load, err = cpuTime([]int{os.Getpid()})
	return u, err
}

// share puts into v how many CPUs each side kept busy since before.
func (u spent) share(before spent, elapsed time.Duration, v values) {
	share := func(d time.Duration) float64 { return d.Seconds() / elapsed.Seconds() }
	v[busyProxy] = share(u.proxy - before.proxy)
	v[busyServer] = share(u.server - before.server)
	v[busyLoad] = share(u.load - before.load)
	v[busyOthers] = max(0, share(u.machine-before.machine)-v[busyProxy]-v[busyServer]-v[busyLoad])
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func measureNoop(withTLS bool) func(context.Context, subject) (values, error) {
	return func(ctx context.Context, s subject) (values, error) {
		l, err := newNoopLoad(ctx, s.target(withTLS), noopConns)
		if err != nil {
			return nil, err
		}
		v := values{}
		res, cpu, err := s.measureLoop(l, v)
		v["NOOP/s"], v["CPU µs/NOOP"] = res.rate(), micros(cpu)/float64(res.operations)
		v["p50 µs"], v["p99 µs"] = micros(percentile(res.latencies, 50)), micros(percentile(res.latencies, 99))
		return v, err
	}
}

func measureFetch(withTLS bool) func(context.Context, subject) (values, error) {
	return func(ctx context.Context, s subject) (values, error) {
		l, err := newFetchLoad(ctx, s.target(withTLS), fetchConns)
		if err != nil {
			return nil, err
		}
		v := values{}
		res, cpu, err := s.measureLoop(l, v)
		mb := float64(res.operations) * smallBody / megabyte
		v["MB/s"], v["CPU s/GB"] = mb/res.elapsed.Seconds(), cpu.Seconds()/(mb/1000)
		return v, err
	}
}

func measureLogin(withTLS, resume bool) func(context.Context, subject) (values, error) {
	return func(_ context.Context, s subject) (values, error) {
		v := values{}
		res, cpu, err := s.measureLoop(newLoginLoad(s.target(withTLS), loginConns, resume), v)
		v["logins/s"], v["CPU µs/login"] = res.rate(), micros(cpu)/float64(res.operations)
		return v, err
	}
}

// settledMemory waits until what is going on is over, has free memory given
// back and reads how much is left. Twice: the first time has a cost of its own
// that stays.
func (s subject) settledMemory(ctx context.Context) (float64, error) {
	pause(ctx, settleTime)
	for range 2 {
		if err := s.collect(); err != nil {
			return 0, err
		}
	}
	return memory(s.pids)
}

// growth is by how many KiB the proxy has grown when what hold opens is open.
func (s subject) growth(ctx context.Context, warm target, hold func() ([]*client, error)) (float64, error) {
	if _, err := newLoginLoad(warm, loginConns, false).run(newBudget(clientLife, warmLogins)); err != nil {
		return 0, fmt.Errorf("warming up: %w", err)
	}
	before, err := s.settledMemory(ctx)
	if err != nil {
		return 0, err
	}
	clients, err := hold()
	if err != nil {
		return 0, err
	}
	defer closeClients(clients)
	after, err := s.settledMemory(ctx)
	return after - before, err
}

func measureIdle(withTLS bool) func(context.Context, subject) (values, error) {
	return func(ctx context.Context, s subject) (values, error) {
		t := s.target(withTLS)
		kib, err := s.growth(ctx, t, func() ([]*client, error) {
			return openSessions(ctx, t, s.sessions, (*client).idle)
		})
		return values{"KiB/session": kib / float64(s.sessions)}, err
	}
}

func measureStall(withTLS bool) func(context.Context, subject) (values, error) {
	return func(ctx context.Context, s subject) (values, error) {
		t := s.target(withTLS)
		kib, err := s.growth(ctx, t, func() ([]*client, error) {
			c, err := openStalled(ctx, t)
			pause(ctx, stallTime)
			return []*client{c}, err
		})
		return values{"KiB growth": kib}, err
	}
}

func stormFigures() []figure {
	return []figure{{name: "descriptors at once"}, {name: "sessions"}, {name: "sessions lost", goal: atMost(0)},
		{name: "attempts in"}, {name: "attempts refused"}, {name: "attempts silent"},
		{name: "logins afterwards", goal: atLeast(stormReturn)}}
}

func measureStorm(ctx context.Context, s subject) (values, error) {
	const attempts = 2000
	most := 0
	res, err := storm(ctx, s.target(false), (s.limit-spareSockets)/2, attempts, func() { most = descriptors(s.pids) })
	if err == nil && !s.alive() {
		err = fmt.Errorf("the process ended")
	}
	return values{
		"descriptors at once": float64(most), "sessions": float64(res.sessions), "sessions lost": float64(res.lost),
		"attempts in": float64(res.in), "attempts refused": float64(res.refused), "attempts silent": float64(res.silent),
		"logins afterwards": float64(res.returned),
	}, err
}
