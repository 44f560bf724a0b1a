package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

const (
	stormPatience = 3 * time.Second // how long an attempt waits for an answer
	stormWorkers  = 2048            // attempts under way at once
	stormReturn   = 200             // logins that must succeed when sessions have left
)

// stormResult says what became of the sessions and of the attempts.
type stormResult struct {
	sessions int // sessions before the storm
	lost     int // of them, dead after it
	attempts int
	in       int // attempts that logged in
	refused  int // attempts told so or closed
	silent   int // attempts without an answer in stormPatience
	returned int // of stormReturn logins after some sessions left, how many succeeded
}

func (r stormResult) String() string {
	return fmt.Sprintf("%d sessions, %d lost; %d attempts: %d in, %d refused, %d silent; %d of %d logins afterwards",
		r.sessions, r.lost, r.attempts, r.in, r.refused, r.silent, r.returned, stormReturn)
}

// storm opens sessions, tries to open more at once and holds whatever was
// answered, then counts the sessions that lived. peak is called at the height
// of it. Then some leave and others must get in.
func storm(ctx context.Context, t target, sessions, more int, peak func()) (stormResult, error) {
	res := stormResult{sessions: sessions, attempts: more}
	clients, err := openSessions(ctx, t, sessions, (*client).ready)
	if err != nil {
		return res, err
	}
	defer closeClients(clients)

	attempts := make([]attempt, more)
	spread(more, func(i int) { attempts[i] = try(t, sessions+i) })
	peak()
	for _, a := range attempts {
		switch a.outcome {
		case attemptIn:
			res.in++
		case attemptRefused:
			res.refused++
		case attemptSilent:
			res.silent++
		}
	}
	res.lost = countLost(clients)
	for _, a := range attempts {
		a.close()
	}
	closeClients(clients[:sessions/4])
	res.returned = countReturned(ctx, t)
	return res, nil
}

type outcome int

const (
	attemptRefused outcome = iota // told BYE or NO, or closed
	attemptSilent
	attemptIn
)

// attempt is one connection of the storm. What is still open stays open, to
// keep the pressure up.
type attempt struct {
	client  *client
	outcome outcome
}

func (a attempt) close() {
	if a.client != nil {
		a.client.conn.Close()
	}
}

func try(t target, user int) attempt {
	c, err := dial(t, nil, stormPatience)
	if err == nil {
		err = c.login(user)
	}
	switch {
	case err == nil:
		return attempt{c, attemptIn}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return attempt{c, attemptSilent}
	}
	return attempt{c, attemptRefused}
}

// countLost sends a NOOP through every session.
func countLost(clients []*client) int {
	dead := make([]bool, len(clients))
	spread(len(clients), func(i int) {
		clients[i].conn.SetDeadline(time.Now().Add(stormPatience))
		dead[i] = clients[i].ready() != nil
	})
	return count(dead)
}

// countReturned logs in until stormReturn logins succeeded or a while is over:
// how soon a proxy notices that clients have left is not asked here.
func countReturned(ctx context.Context, t target) int {
	deadline := time.Now().Add(stormPatience)
	n := 0
	for n < stormReturn && time.Now().Before(deadline) && ctx.Err() == nil {
		a := try(t, n)
		a.close()
		if a.outcome == attemptIn {
			n++
		}
	}
	return n
}

func count(flags []bool) int {
	n := 0
	for _, f := range flags {
		if f {
			n++
		}
	}
	return n
}

// spread calls f with 0 to n-1 from stormWorkers goroutines.
func spread(n int, f func(int)) {
	var wg sync.WaitGroup
	for w := range min(n, stormWorkers) {
		wg.Go(func() {
			for i := w; i < n; i += stormWorkers {
				f(i)
			}
		})
	}
	wg.Wait()
}
