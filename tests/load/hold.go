package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const openers = 32 // connections opened at once

// openSessions connects and logs in n sessions and calls after with each. The
// first fault ends it; what was opened is closed then.
func openSessions(ctx context.Context, t target, n int, after func(*client) error) ([]*client, error) {
	clients := make([]*client, n)
	faults := make([]error, openers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range openers {
		wg.Go(func() {
			for faults[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				clients[i], faults[w] = openSession(ctx, t, i, after)
			}
			next.Store(int64(n)) // a fault: the others stop too
		})
	}
	wg.Wait()
	if err := errors.Join(faults...); err != nil {
		closeClients(clients)
		return nil, err
	}
	return clients, nil
}

func openSession(ctx context.Context, t target, user int, after func(*client) error) (*client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := dial(t, nil, clientLife)
	if err != nil {
		return nil, err
	}
	if err := c.login(user); err != nil {
		c.conn.Close()
		return nil, err
	}
	if err := after(c); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

func closeClients(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.conn.Close()
		}
	}
}

// openStalled asks for 1 GiB on one session and reads nothing of it.
func openStalled(ctx context.Context, t target) (*client, error) {
	return openSession(ctx, t, 0, func(c *client) error { return c.send("FETCH 2 BODY[]") })
}

func holdCommand(ctx context.Context, name string, args []string, out io.Writer) error {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:143", "where to connect")
	useTLS := flags.Bool("tls", false, "implicit TLS")
	n := flags.Int("n", 1000, "idle, storm: sessions")
	more := flags.Int("more", 2000, "storm: further attempts")
	d := flags.Duration("time", time.Minute, "idle, stall: how long to hold")
	flags.Parse(args)

	t := target{addr: *addr}
	if *useTLS {
		t.tls = clientTLS(nil)
	}
	if name == "storm" {
		res, err := storm(ctx, t, *n, *more, func() {})
		if err == nil {
			fmt.Fprintln(out, res)
		}
		return err
	}
	clients, err := openHeld(ctx, name, t, *n)
	if err != nil {
		return err
	}
	defer closeClients(clients)
	fmt.Fprintf(out, "%s: %d sessions open\n", name, len(clients))
	pause(ctx, *d)
	return nil
}

func openHeld(ctx context.Context, name string, t target, n int) ([]*client, error) {
	if name == "idle" {
		return openSessions(ctx, t, n, (*client).idle)
	}
	c, err := openStalled(ctx, t)
	if err != nil {
		return nil, err
	}
	return []*client{c}, nil
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}
