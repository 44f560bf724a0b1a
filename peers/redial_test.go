package peers

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A peer that joins is connected to at once, if somebody is trying to; one that
// has its stream, or that nobody dials, needs no token.
func TestJoinCutsThePauseShort(t *testing.T) {
	for name, c := range map[string]struct {
		dialing, linked bool
		want            int
	}{
		"dialled":     {true, false, 1},
		"linked":      {true, true, 0},
		"not dialled": {false, false, 0},
	} {
		g := &Group{peers: map[string]*peer{}}
		p := g.peerLocked("b")
		p.dialing = c.dialing
		if c.linked {
			p.stream = new(stream)
		}
		g.sawJoin("b")
		g.sawJoin("b") // one token is enough
		g.sawJoin("nobody")
		if got := len(p.redial); got != c.want {
			t.Errorf("%s: %d tokens, want %d", name, got, c.want)
		}
	}
}

// Entries of join that come later are asked, and those that go are forgotten,
// though not the peers that they led to.
func TestSetJoin(t *testing.T) {
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	list := append([]string{b.self.address, "127.0.0.1:1"}, make([]string, MaxJoin)...)
	a.SetJoin(list)
	list[0] = "" // it is the caller's
	mesh(t, 1, a, b)
	a.Group.mu.Lock()
	if len(a.entries) != MaxJoin {
		t.Errorf("%d entries, want %d", len(a.entries), MaxJoin)
	}
	a.Group.mu.Unlock()
	a.SetJoin(nil)
	a.Group.mu.Lock()
	if n := len(a.resolved) + len(a.failing); n > 0 || a.peers["b"].state != StateAlive {
		t.Errorf("%d entries are remembered, b is %s", n, a.peers["b"].state)
	}
	a.Group.mu.Unlock()
	b.Close()
	a.sees(t, PeerDead, "b", 1)
	cfg := testConfig("b")
	cfg.Bind = b.self.address
	start(t, cfg)
	a.sees(t, PeerUp, "b", 2)
}

// Addresses are compared with those that members have: one that is written in
// another way would be joined again and again.
func TestResolve(t *testing.T) {
	for target, want := range map[string]string{
		"10.0.0.1:7946":                 "10.0.0.1:7946",
		"[2001:DB8:0:0::1]:7946":        "[2001:db8::1]:7946",
		"[::ffff:10.0.0.1]:7946":        "10.0.0.1:7946",
		"[0:0:0:0:0:ffff:a00:1]:000080": "10.0.0.1:80",
	} {
		if got, err := resolve(t.Context(), target); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("resolve(%q) = %q, %v, want %q", target, got, err, want)
		}
	}
	ips := slices.Repeat([]netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, MaxPeers+1)
	if got := addressesOf(ips, "7946"); len(got) != MaxPeers || got[0] != "10.0.0.1:7946" {
		t.Errorf("%d addresses, the first is %q", len(got), got[0])
	}
}

// A peer that breaks off each handshake is told of once a minute, though each
// time the error names another port; the lines that are remembered stay few.
func TestBrokenHandshakesAreTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := start(t, testConfig("a"))
	before := len(a.said.last)
	a.sawAlive("z", l.Addr().String())
	for range 5 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		_, _ = conn.Read(make([]byte, 100))
		_ = conn.(*net.TCPConn).SetLinger(0) // it ends with a reset
		_ = conn.Close()
	}
	if n := strings.Count(a.logs.String(), "no connection to a peer"); n < 1 || n > 2 { // it fails reading or writing
		t.Errorf("%d lines in the log, want 1 or 2", n)
	}
	a.said.mu.Lock()
	defer a.said.mu.Unlock()
	if n := len(a.said.last) - before; n > 2 {
		t.Errorf("%d lines remembered, want 1 or 2: %v", n, a.said.last)
	}
}
