package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	peerRate    = 10_000                 // updates per second under load
	peerUsers   = 100_000                // that the load sets, over and over
	learnSmall  = 300_000                // entries
	learnBig    = 1_000_000              // entries
	visibleGap  = 2 * time.Millisecond   // between two updates that are watched
	learnPoll   = 2 * time.Millisecond   // between two looks at a peer that learns
	learnWithin = 60 * time.Second       // to learn all
	peerWarm    = 500 * time.Millisecond // of load before CPU time is read
)

// peerMeasurements are those of two peers of a kind.
func peerMeasurements() []measurement {
	visible := func(p50, p99 goal) []figure {
		return []figure{{name: "p50 ms", goal: p50}, {name: "p99 ms", goal: p99}, {name: "updates/s"}}
	}
	learn := []figure{{name: "s to learn"}, {name: "entries/s", goal: atLeast(1, "haproxy")}, {name: "CPU µs/entry"}}
	return []measurement{
		{name: "peers-visible", figures: visible(atMost(1, "haproxy"), goal{}), pair: measureVisible(0)},
		{name: "peers-visible-10k", figures: visible(goal{}, atMost(20)), pair: measureVisible(peerRate)},
		{name: "peers-set", figures: []figure{{name: "set/s", goal: atLeast(1, "haproxy")}, {name: "CPU µs/set"}}, pair: measureSet},
		{name: "peers-cpu", figures: []figure{{name: "CPU µs/update"}, {name: "updates/s"}}, pair: measurePeerCPU},
		{name: "peers-learn-300k", figures: learn, rounds: 3, pair: measureLearn(learnSmall)},
		{name: "peers-learn-1m", figures: learn, rounds: 3, pair: measureLearn(learnBig)},
		{name: "peers-memory", figures: []figure{{name: "bytes/entry", goal: atMost(200)}, {name: "bytes/entry learned", goal: atMost(200)}},
			rounds: 2, pair: measurePeerMemory},
	}
}

// measureVisible watches one update after the other, beside a load of so many
// per second.
func measureVisible(rate int) func(context.Context, *pair, time.Duration) (values, error) {
	return func(ctx context.Context, p *pair, each time.Duration) (values, error) {
		set, show, err := p.dial(0)
		if err != nil {
			return nil, err
		}
		defer set.conn.Close()
		defer show.conn.Close()
		load, err := dialCLI(p.peers[0].socketPath())
		if err != nil {
			return nil, err
		}
		defer load.conn.Close()
		ctx, cancel := context.WithTimeout(ctx, each)
		defer cancel()
		result := make(chan paced, 1)
		go pacer(ctx, load, rate, result) // ends with ctx
		took, err := p.watch(ctx, set, show)
		cancel()
		loaded := <-result
		if err == nil {
			err = loaded.err
		}
		return values{
			"p50 ms": millis(percentile(took, 50)), "p99 ms": millis(percentile(took, 99)),
			"updates/s": float64(len(took)+loaded.sent) / each.Seconds(),
		}, err
	}
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// paced is how a load went.
type paced struct {
	sent int
	err  error
}

func pacer(ctx context.Context, c *cli, rate int, result chan<- paced) {
	var r paced
	if rate > 0 {
		r.sent, r.err = c.pace(ctx, 0, peerUsers, rate)
	}
	result <- r
}

// watch returns how long each update took to be seen, in ascending order.
func (p *pair) watch(ctx context.Context, set, show *cli) ([]time.Duration, error) {
	var took []time.Duration
	for ctx.Err() == nil {
		d, err := p.visible(set, show)
		if err != nil {
			return took, err
		}
		took = append(took, d)
		pause(ctx, visibleGap)
	}
	slices.Sort(took)
	return took, nil
}

// measureSet sets users through one connection, as fast as they are taken.
func measureSet(_ context.Context, p *pair, each time.Duration) (values, error) {
	c, err := dialCLI(p.peers[0].socketPath())
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	before, err := p.cpuTime()
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	sent, err := c.feed(0, learnBig, func(int) int {
		if time.Since(begin) > each {
			return 0
		}
		return cliLine
	})
	took := time.Since(begin)
	if err != nil {
		return nil, err
	}
	after, err := p.cpuTime()
	return values{"set/s": float64(sent) / took.Seconds(), "CPU µs/set": micros(after-before) / float64(sent)}, err
}

// measurePeerCPU is what an update costs both peers together.
func measurePeerCPU(ctx context.Context, p *pair, each time.Duration) (values, error) {
	c, err := dialCLI(p.peers[0].socketPath())
	if err != nil {
		return nil, err
	}
	defer c.conn.Close()
	warm, cancel := context.WithTimeout(ctx, peerWarm)
	defer cancel()
	if _, err := c.pace(warm, 0, peerUsers, peerRate); err != nil {
		return nil, err
	}
	before, err := p.cpuTime()
	if err != nil {
		return nil, err
	}
	ctx, cancel = context.WithTimeout(ctx, each)
	defer cancel()
	sent, err := c.pace(ctx, 0, peerUsers, peerRate)
	if err != nil {
		return nil, err
	}
	after, err := p.cpuTime()
	return values{"CPU µs/update": micros(after-before) / float64(sent), "updates/s": float64(sent) / each.Seconds()}, err
}

// measureLearn kills one peer and starts it again: how long until it has what
// the other has, from the start of its process.
func measureLearn(entries int) func(context.Context, *pair, time.Duration) (values, error) {
	return func(ctx context.Context, p *pair, _ time.Duration) (values, error) {
		want, err := p.fill(ctx, entries)
		if err != nil {
			return nil, err
		}
		p.kill(1)
		pause(ctx, settleTime)
		before, err := cpuTime(p.peers[0].pids)
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := p.launch(1); err != nil {
			return nil, err
		}
		c, err := p.peers[1].awaitSocket(ctx)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close()
		if err := c.awaitUsed(ctx, want, learnPoll); err != nil {
			return nil, err
		}
		took := time.Since(begin).Seconds()
		if p.peers[1].pids, err = processTree(p.peers[1].cmd.Process.Pid); err != nil {
			return nil, err
		}
		after, err := p.cpuTime() // all that the new process used is for that
		return values{
			"s to learn": took, "entries/s": float64(entries) / took,
			"CPU µs/entry": micros(after-before) / float64(entries),
		}, err
	}
}

// fill gives the pair so many users and returns the entries of the first peer
// when the other one has as many.
func (p *pair) fill(ctx context.Context, entries int) (int, error) {
	set, show, err := p.dial(0)
	if err != nil {
		return 0, err
	}
	defer set.conn.Close()
	defer show.conn.Close()
	if err := set.fill(entries); err != nil {
		return 0, err
	}
	n, err := set.used()
	if err == nil && n < entries {
		err = fmt.Errorf("%d entries after %d were set", n, entries)
	}
	if err != nil {
		return n, err
	}
	return n, show.awaitUsed(ctx, n, learnPoll)
}

// awaitUsed waits until the table has so many entries.
func (c *cli) awaitUsed(ctx context.Context, want int, poll time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, learnWithin)
	defer cancel()
	for {
		n, err := c.used()
		if err != nil {
			return err
		}
		if n >= want {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d entries after %v", n, want, learnWithin)
		}
		pause(ctx, poll)
	}
}

// measurePeerMemory is by how much both peers grow with each entry: the one
// that was told by operators, and the one that was told by its peer.
func measurePeerMemory(ctx context.Context, p *pair, _ time.Duration) (values, error) {
	var before, after [2]float64
	if err := p.settledMemory(ctx, &before); err != nil {
		return nil, err
	}
	if _, err := p.fill(ctx, learnBig); err != nil {
		return nil, err
	}
	if err := p.settledMemory(ctx, &after); err != nil {
		return nil, err
	}
	bytes := func(i int) float64 { return (after[i] - before[i]) * 1024 / learnBig }
	return values{"bytes/entry": bytes(0), "bytes/entry learned": bytes(1)}, nil
}

func (p *pair) settledMemory(ctx context.Context, kib *[2]float64) error {
	for i, r := range p.peers {
		var err error
		if kib[i], err = (subject{running: r}).settledMemory(ctx); err != nil {
			return err
		}
	}
	return nil
}
