package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const users = 5000 // different user names that log in

// budget ends a closed loop: no operation begins after end, nor more than left
// in all. It is shared: any goroutine may call take.
type budget struct {
	left atomic.Int64
	end  time.Time
}

func newBudget(d time.Duration, operations int64) *budget {
	b := &budget{end: time.Now().Add(d)}
	b.left.Store(operations)
	return b
}

func (b *budget) take(now time.Time) bool {
	return now.Before(b.end) && b.left.Add(-1) >= 0
}

// loopLoad is a closed loop: each worker does its operation again as soon as
// the last one is done.
type loopLoad struct {
	workers []func() error
	clients []*client // connections that stay open from one operation to the next
}

// loopResult is what a closed loop did.
type loopResult struct {
	operations int
	elapsed    time.Duration
	latencies  []time.Duration // one per operation, ascending
}

func (r loopResult) rate() float64 { return float64(r.operations) / r.elapsed.Seconds() }

func (l *loopLoad) close() {
	for _, c := range l.clients {
		c.conn.Close()
	}
}

// run returns when b is used up or an operation failed.
func (l *loopLoad) run(b *budget) (loopResult, error) {
	latencies := make([][]time.Duration, len(l.workers))
	faults := make([]error, len(l.workers))
	var wg sync.WaitGroup
	start := time.Now()
	for i, op := range l.workers {
		wg.Go(func() {
			latencies[i], faults[i] = repeat(op, b)
			if faults[i] != nil {
				b.left.Store(0)
			}
		})
	}
	wg.Wait()
	res := loopResult{elapsed: time.Since(start), latencies: slices.Concat(latencies...)}
	res.operations = len(res.latencies)
	slices.Sort(res.latencies)
	if err := errors.Join(faults...); err != nil {
		return res, err
	}
	if res.operations == 0 {
		return res, errors.New("no operation was done in time")
	}
	return res, nil
}

func repeat(op func() error, b *budget) ([]time.Duration, error) {
	var latencies []time.Duration
	begin := time.Now()
	for b.take(begin) {
		if err := op(); err != nil {
			return latencies, err
		}
		end := time.Now()
		latencies = append(latencies, end.Sub(begin))
		begin = end
	}
	return latencies, nil
}

// newLoginLoad logs in and out with conns connections at once. With TLS,
// resume says whether each handshake but a worker's first resumes a session;
// one that does not is a failed operation.
func newLoginLoad(t target, conns int, resume bool) *loopLoad {
	l := &loopLoad{}
	var next atomic.Int64
	for range conns {
		w := loginWorker{t: t, next: &next, r: bufio.NewReaderSize(nil, clientBuffer)}
		if t.tls != nil && resume {
			w.resume = true
			w.t.tls = clientTLS(tls.NewLRUClientSessionCache(1))
		}
		l.workers = append(l.workers, w.login)
	}
	return l
}

type loginWorker struct {
	t      target
	r      *bufio.Reader
	next   *atomic.Int64
	resume bool
	done   bool // one login was done: there is a ticket
}

func (w *loginWorker) login() error {
	c, err := dial(w.t, w.r, clientLife)
	if err != nil {
		return err
	}
	if c.resumed() != (w.resume && w.done) {
		c.conn.Close()
		return fmt.Errorf("TLS session resumed: %t, wanted: %t", c.resumed(), w.resume && w.done)
	}
	w.done = true
	if err := c.login(int(w.next.Add(1) % users)); err != nil {
		c.conn.Close()
		return err
	}
	return c.logout()
}

// newNoopLoad logs conns connections in.
func newNoopLoad(ctx context.Context, t target, conns int) (*loopLoad, error) {
	clients, err := openSessions(ctx, t, conns, (*client).ready)
	l := &loopLoad{clients: clients}
	for _, c := range clients {
		l.workers = append(l.workers, c.ready)
	}
	return l, err
}

func (c *client) ready() error { return c.do("NOOP") }

// newFetchLoad logs conns connections in; an operation is one message of 1 MiB.
func newFetchLoad(ctx context.Context, t target, conns int) (*loopLoad, error) {
	clients, err := openSessions(ctx, t, conns, (*client).ready)
	l := &loopLoad{clients: clients}
	for _, c := range clients {
		sink := make([]byte, sinkSize)
		l.workers = append(l.workers, func() error {
			_, err := c.fetch(sink)
			return err
		})
	}
	return l, err
}

func loopCommand(ctx context.Context, name string, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:143", "where to connect")
	useTLS := flags.Bool("tls", false, "implicit TLS")
	resume := flags.Bool("resume", false, "login: resume TLS sessions")
	conns := flags.Int("c", 32, "connections at once")
	n := flags.Int64("n", 1<<40, "operations in all")
	d := flags.Duration("time", 10*time.Second, "longest time")
	flags.Parse(args)

	t := target{addr: *addr}
	if *useTLS {
		t.tls = clientTLS(nil)
	}
	l, err := newLoopLoad(ctx, name, t, *conns, *resume)
	if err != nil {
		return err
	}
	defer l.close()
	res, err := l.run(newBudget(*d, *n))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d operations in %.2f s: %.0f/s, p50 %v, p99 %v\n", res.operations, res.elapsed.Seconds(),
		res.rate(), percentile(res.latencies, 50), percentile(res.latencies, 99))
	return nil
}

func newLoopLoad(ctx context.Context, name string, t target, conns int, resume bool) (*loopLoad, error) {
	switch name {
	case "noop":
		return newNoopLoad(ctx, t, conns)
	case "fetch":
		return newFetchLoad(ctx, t, conns)
	}
	return newLoginLoad(t, conns, resume), nil
}
