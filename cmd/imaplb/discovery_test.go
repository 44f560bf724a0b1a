package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"imaplb/conf"
	"imaplb/resolver"
	"imaplb/upstream"
)

var errAway = errors.New("nameserver away")

// A look-up is repeated when its TTL is over; one that failed after 1, 2, 4 …
// 30 s, and the last addresses stay. Only a turn is told.
func TestNamesAreAskedAgain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	x := newNames()
	x.add(now, []string{"a.test"})
	good := resolver.Answer{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, TTL: 20 * time.Second}
	for i, step := range []struct {
		err    error
		after  time.Duration
		turned bool
	}{
		{nil, 20 * time.Second, false},
		{errAway, time.Second, true},
		{errAway, 2 * time.Second, false},
		{errAway, 4 * time.Second, false},
		{errAway, 8 * time.Second, false},
		{errAway, 16 * time.Second, false},
		{errAway, retryMax, false},
		{errAway, retryMax, false},
		{nil, 20 * time.Second, true},
		{errAway, time.Second, true},
	} {
		if turned := x.note(now, "a.test", good, step.err); turned != step.turned {
			t.Errorf("step %d: turned = %v, want %v", i, turned, step.turned)
		}
		if hosts, next := x.due(now.Add(step.after - 1)); len(hosts) > 0 || !next.Equal(now.Add(step.after)) {
			t.Errorf("step %d: due %v, next after %v, want %v", i, hosts, next.Sub(now), step.after)
		}
		now = now.Add(step.after)
		if hosts, _ := x.due(now); len(hosts) != 1 {
			t.Errorf("step %d: not due in time", i)
		}
		if addrs := x.addrs("a.test"); len(addrs) != 1 {
			t.Errorf("step %d: addresses %v", i, addrs)
		}
	}
	x.keep(nil)
	if x.note(now, "a.test", good, errAway) || len(x.of) > 0 {
		t.Error("a name that has left is noted again")
	}
}

// What a backend becomes by what the names of its servers stand for.
func TestExpand(t *testing.T) {
	t.Parallel()
	server := func(name, addr, resolve string) conf.Server {
		return conf.Server{Name: name, Upstream: upstream.ServerConfig{Addr: addr, Resolve: resolve}}
	}
	b := conf.Backend{Servers: []conf.Server{
		server("ip", "10.0.0.1:143", "one"), server("unix", "unix:/run/imap", "one"), server("one", "Two.test:143", "one"),
		server("all", "two.test:143", "all"), server("away", "away.test:143", "one"), server("gone", "away.test:993", "all"),
	}}
	now, x := time.Unix(1_000_000, 0), newNames()
	hosts := hostNames(&conf.Config{Backends: []conf.Backend{b}})
	if got := strings.Join(hosts, " "); got != "away.test two.test" {
		t.Errorf("names %s", got)
	}
	x.add(now, hosts)
	x.note(now, "two.test", resolver.Answer{Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::1")}}, nil)
	var got []string
	for _, s := range x.expand(b).Servers {
		got = append(got, s.Name+"="+s.Upstream.Addr)
	}
	want := "ip=10.0.0.1:143 unix=unix:/run/imap one=10.0.0.2:143 all-10.0.0.2=10.0.0.2:143 " +
		"all-2001:db8::1=[2001:db8::1]:143 away= gone="
	if strings.Join(got, " ") != want {
		t.Errorf("servers %s\nwant    %s", got, want)
	}
	if b.Servers[2].Upstream.Addr != "Two.test:143" {
		t.Error("the configuration was changed")
	}
}
