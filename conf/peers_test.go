package conf

import (
	"fmt"
	"strings"
	"testing"

	"imaplb/peers"
)

// lonely is a configuration of one peer; lines are of [peers], more are sections.
func lonely(lines, more string) string {
	return "[peers]\nname = \"lb1\"\nbind = \"127.0.0.1:7946\"\n" + lines +
		"\n[frontend.f]\nbind = [\"127.0.0.1:1143\"]\ntls = \"none\"\nbackend = \"b\"\n[backend.b.server.s]\naddr = \"127.0.0.1:143\"\n" + more
}

// A tie breaker that is this peer's name in other letters is no fault, as there
// may be a peer of that name, but odd.
func TestTieBreakerInOtherLetters(t *testing.T) {
	for breaker, want := range map[string]bool{"LB1": true, "lb1": false, "lb2": false, "serve": false} {
		c, err := load("f", lonely(fmt.Sprintf("tie_breaker = %q", breaker), ""), testHost)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(c.Warnings.Error(), "f:4: peers.tie_breaker: "); got != want {
			t.Errorf("%s: warnings %q, want one: %t", breaker, c.Warnings.Error(), want)
		}
	}
}

// More tables than peers can share are refused before anything is started.
func TestSharedTablesAreBounded(t *testing.T) {
	tables := func(n int) (more string) {
		for i := range n - 1 { // one is there without being declared
			more += fmt.Sprintf("[stick_table.t%d]\nsize = 10\n", i)
		}
		return more
	}
	if _, err := load("f", lonely("", tables(peers.MaxStates-1)), testHost); err != nil {
		t.Error(err)
	}
	if _, err := load("f", lonely("", tables(peers.MaxStates)), testHost); err == nil || !strings.Contains(err.Error(), "at most 127") {
		t.Errorf("%d tables: %v, want a fault", peers.MaxStates, err)
	}
}

// A line about a key says where it stands, or its section if it is not there.
func TestAt(t *testing.T) {
	c, err := load("f", lonely("cluster = \"x\"", ""), testHost)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"peers": "f:1: peers: odd", "peers.cluster": "f:4: peers.cluster: odd", "peers.join": "f:1: peers.join: odd", "stats": "f: stats: odd",
	} {
		if got := c.At(path, "odd").String(); got != want {
			t.Errorf("At(%s) = %q, want %q", path, got, want)
		}
	}
}
