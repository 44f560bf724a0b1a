package peers

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"imaplb/wire"
)

// idle is a group that was not started.
func idle(t *testing.T) *Group {
	t.Helper()
	g, err := New(testConfig("self"), nil, Options{Incarnation: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestPeersAreBounded(t *testing.T) {
	g := idle(t)
	now := time.Now()
	for i := range MaxPeers {
		name := fmt.Sprint("p", i)
		g.peers[name] = &peer{name: name, state: StateDead, since: now, remote: NewRemote(name)}
	}
	if p := g.peerLocked("more"); p != nil {
		t.Error("one peer more was taken")
	}
	g.sawAlive("more", "127.0.0.1:1")
	if len(g.peers) != MaxPeers {
		t.Errorf("%d peers, at most %d", len(g.peers), MaxPeers)
	}
	// Those that left make room, the longest gone first.
	g.peers["p7"].state, g.peers["p8"].state = StateLeft, StateLeft
	g.peers["p8"].since = now.Add(-time.Hour)
	if g.peerLocked("more") == nil || g.peers["p8"] != nil || g.peers["p7"] == nil {
		t.Error("the one that left longest ago did not make room")
	}
	// So do those that were never heard of again, and a stream of one that made room
	// meanwhile is none.
	gone := g.peers["more"]
	gone.since = now.Add(-time.Minute)
	if g.peerLocked("one more") == nil || g.peers["more"] != nil || g.peers["p7"] == nil {
		t.Error("one that was never there did not make room")
	}
	if g.attach(stub(t, g, gone)) || len(*g.live.Load()) > 0 {
		t.Error("a peer that is not known any more has a stream")
	}
}

func TestEventsAreBounded(t *testing.T) {
	g := idle(t)
	for range maxEvents + 3 {
		g.say(PeerUp, "x", "", "")
	}
	if len(g.events) != maxEvents/2 || g.Totals().LostEvents != maxEvents/2+3 {
		t.Errorf("%d events wait, %d are lost", len(g.events), g.Totals().LostEvents)
	}
	for _, kind := range []string{PeerDead, PeerAlive, PeerLeft} {
		g.say(kind, "x", "", "")
	}
	if k := kinds(g); !strings.HasSuffix(k, "dead alive left ") {
		t.Error("connections that come and go have pushed out who is there")
	}
	for range maxEvents {
		g.say(PeerDead, "x", "", "")
	}
	if len(g.events) != maxEvents {
		t.Errorf("%d events wait, want %d", len(g.events), maxEvents)
	}
}

// oddState has a number of buckets that does not divide.
type oddState struct {
	*mapState
	buckets int
}

func (s oddState) Digests(dst []uint64) []uint64 { return append(dst, make([]uint64, s.buckets)...) }

func TestNewRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	var many []State
	for i := range MaxStates + 1 {
		many = append(many, newMap(fmt.Sprint(i)))
	}
	for name, test := range map[string]struct {
		change func(c *Config)
		states []State
		want   string
	}{
		"no name":          {func(c *Config) { c.Name = "" }, nil, "name"},
		"long name":        {func(c *Config) { c.Name = long }, nil, "name"},
		"no cluster":       {func(c *Config) { c.Cluster = "" }, nil, "cluster"},
		"bind to a name":   {func(c *Config) { c.Bind = "localhost:1" }, nil, "bind"},
		"bind no port":     {func(c *Config) { c.Bind = "127.0.0.1" }, nil, "bind"},
		"advertise a name": {func(c *Config) { c.Advertise = "lb1:1" }, nil, "advertise"},
		"joins":            {func(c *Config) { c.Join = make([]string, MaxJoin+1) }, nil, "join"},
		"no key":           {func(c *Config) { c.Bind = "0.0.0.0:0" }, nil, "key"},
		"key file":         {func(c *Config) { c.KeyFile = "/does/not/exist" }, nil, "key"},
		"states":           {func(*Config) {}, many, "states"},
		"a state twice":    {func(*Config) {}, []State{newMap("a"), newMap("a")}, "twice"},
		"nameless state":   {func(*Config) {}, []State{newMap("")}, "name"},
		"odd buckets":      {func(*Config) {}, []State{oddState{newMap("a"), 17}}, "buckets"},
		"many buckets":     {func(*Config) {}, []State{oddState{newMap("a"), MaxBuckets + 16}}, "buckets"},
	} {
		cfg := testConfig("self")
		test.change(&cfg)
		_, err := New(cfg, test.states, Options{Incarnation: 1})
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "peers: ") {
			t.Errorf("%s: %v, want an error about %q", name, err, test.want)
		}
	}
	cfg := testConfig("self")
	cfg.Bind, cfg.Insecure = "0.0.0.0:0", true
	if _, err := New(cfg, nil, Options{Incarnation: 1}); err != nil {
		t.Errorf("insecure: %v", err)
	}
}

func TestHelloIsBounded(t *testing.T) {
	p := newPipe(t)
	p.connect()
	l := p.sides[0].link
	hello := wire.AppendUint(wire.AppendUint(openFrame(nil, typeHello, 6), 1), 1)
	hello = wire.AppendUint(wire.AppendUint(wire.AppendString(hello, "b"), 1), 1)
	hello = wire.AppendArray(hello, MaxStates+1)
	for i := range MaxStates + 1 {
		hello = wire.AppendUint(wire.AppendString(wire.AppendArray(hello, 4), fmt.Sprint(i)), 16)
		hello = wire.AppendUint(wire.AppendUint(hello, 0), 0)
	}
	if err := l.Receive(p.now, hello[lengthSize:]); !errors.Is(err, ErrEnd) {
		t.Errorf("a hello with %d states = %v, want ErrEnd", MaxStates+1, err)
	}
}

// TestTheNewerStreamWins: the old one may hang where nobody reads.
func TestTheNewerStreamWins(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	p := a.peers["b"]
	a.mu.Lock()
	old := p.stream
	a.mu.Unlock()
	m := meet(t, a, b) // as if a had dialed again
	a.wg.Add(1)
	go func() { // until the test ends the stream
		defer a.wg.Done()
		_ = a.serve(p, m)
	}()
	mesh(t, 2, a, b)
	<-old.ended
	a.m.Set("x", 1)
	b.holds(t, "x", 1)
}
