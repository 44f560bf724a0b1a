package main

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"imaplb/conf"
	"imaplb/resolver"
)

const (
	lookupTimeout = 10 * time.Second // of a name, from all nameservers
	maxLookups    = 16               // at once
	retryMax      = 30 * time.Second // after failing look-ups; the first is repeated after a second
)

// names are the host names of servers with the addresses they had last. A
// look-up that fails changes none: a nameserver that is away moves nobody.
// Shared: any goroutine may call any method.
type names struct {
	mu   sync.Mutex
	of   map[string]*name // of the configuration in force, and of one being prepared
	wake chan struct{}    // there are other names
}

// name is a host name. Guarded by names.mu.
type name struct {
	addrs  []netip.Addr // as the last answer had them; none before the first
	due    time.Time    // of the next look-up
	failed int          // look-ups, since the last that did not
}

func newNames() *names {
	return &names{of: map[string]*name{}, wake: make(chan struct{}, 1)}
}

// hostNames are the names of a configuration's servers, each once.
func hostNames(cfg *conf.Config) (list []string) {
	for _, b := range cfg.Backends {
		for i := range b.Servers {
			if host := b.Servers[i].HostName(); host != "" {
				list = append(list, host)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// add makes names known, about to be looked up.
func (x *names) add(now time.Time, hosts []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, host := range hosts {
		if x.of[host] == nil {
			x.of[host] = &name{due: now.Add(lookupTimeout)}
		}
	}
}

// keep forgets all names but these.
func (x *names) keep(hosts []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for host := range x.of {
		if !slices.Contains(hosts, host) {
			delete(x.of, host)
		}
	}
	select {
	case x.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// due are the names that have to be looked up, and when the next one is; zero
// is never.
func (x *names) due(now time.Time) (hosts []string, next time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for host, n := range x.of {
		switch {
		case !n.due.After(now):
			hosts = append(hosts, host)
		case next.IsZero() || n.due.Before(next):
			next = n.due
		}
	}
	return hosts, next
}

// note takes the result of a look-up and reports whether it is the first bad
// one or the first good one.
func (x *names) note(now time.Time, host string, a resolver.Answer, err error) (turned bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.of[host]
	if n == nil {
		return false // it has left the configuration
	}
	if err == nil {
		turned = n.failed > 0
		n.addrs, n.failed, n.due = a.Addrs, 0, now.Add(a.TTL)
		return turned
	}
	n.due = now.Add(min(time.Second<<min(n.failed, 10), retryMax))
	n.failed++
	return n.failed == 1
}

// addrs are the addresses a name had last.
func (x *names) addrs(host string) []netip.Addr {
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := x.of[host]; n != nil {
		return n.addrs
	}
	return nil
}

// expand returns the backend with the addresses its servers' names stand for.
func (x *names) expand(b conf.Backend) conf.Backend {
	var list []conf.Server
	for _, s := range b.Servers {
		host := s.HostName()
		if host == "" {
			list = append(list, s)
			continue
		}
		addrs := x.addrs(host)
		switch {
		case len(addrs) == 0:
			list = append(list, s.AtAddress(netip.Addr{}))
		case s.Upstream.Resolve == "all":
			for _, ip := range addrs {
				list = append(list, s.AtAddress(ip))
			}
		default:
			list = append(list, s.AtAddress(addrs[0]))
		}
	}
	b.Servers = list
	return b
}

// lookUp asks for the names, all at once, and notes the answers.
func (n *node) lookUp(ctx context.Context, r *resolver.Resolver, hosts []string) {
	var all sync.WaitGroup
	room := make(chan struct{}, maxLookups)
	for _, host := range hosts {
		room <- struct{}{}
		all.Go(func() { // ends with the look-up, which is bounded
			defer func() { <-room }()
			ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
			defer cancel()
			a, err := r.Lookup(ctx, host)
			if turned := n.names.note(time.Now(), host, a, err); !turned || n.stopping.Load() {
				return
			}
			if err != nil {
				n.log.Warn("name not resolved, its last addresses stay", "name", host, "addrs", n.names.addrs(host), "err", err)
				return
			}
			n.log.Info("name resolved again", "name", host, "addrs", a.Addrs)
		})
	}
	all.Wait()
}

// keepNames looks names up again when their time is over, until stop.
func (n *node) keepNames(stop, done chan struct{}) {
	defer close(done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { <-stop; cancel() }() // ends at stop
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.names.wake:
		case <-timer.C:
		}
		hosts, next := n.names.due(time.Now())
		if len(hosts) > 0 {
			n.lookUpAgain(ctx, hosts)
			_, next = n.names.due(time.Now())
		}
		if !next.IsZero() {
			timer.Reset(max(time.Until(next), resolver.MinTTL/10))
		}
	}
}

// lookUpAgain looks names up and lets servers have the addresses that are new.
func (n *node) lookUpAgain(ctx context.Context, hosts []string) {
	r, err := resolver.New(n.parts.Load().conf.Global.Nameservers)
	if err != nil {
		return // the configuration has been checked
	}
	n.lookUp(ctx, r, hosts)
	if ctx.Err() == nil {
		n.readdress(ctx)
	}
}
