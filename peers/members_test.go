package peers

import (
	"net"
	"testing"
	"time"

	"imaplb/wire"
)

// known is a group that was not started and knows a peer called p, whose last
// hello said incarnation 7.
func known(t *testing.T, state string) (*Group, *peer) {
	t.Helper()
	g := idle(t)
	p := &peer{name: "p", state: state, since: time.Now(), remote: NewRemote("p")}
	p.remote.incarnation = 7
	g.peers["p"] = p
	return g, p
}

// kinds are those of the events that wait.
func kinds(g *Group) (k string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.events {
		k += e.Kind + " "
	}
	return k
}

func TestLeavingIsBelievedOfThisProcessOnly(t *testing.T) {
	for _, test := range []struct {
		packet []byte
		want   string
	}{
		{leavingPacket("p", 7), StateLeft},
		{leavingPacket("p", 6), StateDead}, // said by the process before, and sent again
		{leavingPacket("p", 0), StateDead},
		{leavingPacket("q", 7), StateDead},
		{[]byte("Lp"), StateDead},
	} {
		// The packet comes before the end of the membership, and after it.
		g, p := known(t, StateAlive)
		delegate{g}.NotifyMsg(test.packet)
		if p.state != StateAlive {
			t.Errorf("%q: the word alone makes it %s", test.packet, p.state)
		}
		g.sawGone("p", "")
		if p.state != test.want {
			t.Errorf("%q: state %s, want %s", test.packet, p.state, test.want)
		}
		g, p = known(t, StateDead)
		delegate{g}.NotifyMsg(test.packet)
		if p.state != test.want {
			t.Errorf("%q, late: state %s, want %s", test.packet, p.state, test.want)
		}
		if k := kinds(g); test.want == StateLeft && k != "left " {
			t.Errorf("%q, late: events %s, want left", test.packet, k)
		}
	}
	// The process before has left, and the one there now has said nothing.
	g, p := known(t, StateAlive)
	delegate{g}.NotifyMsg(leavingPacket("p", 7))
	p.remote.incarnation = 8
	if g.sawGone("p", ""); p.state != StateDead {
		t.Errorf("state %s by the word of the process before, want dead", p.state)
	}
}

// stub is a stream that nobody serves.
func stub(t *testing.T, g *Group, p *peer) *stream {
	t.Helper()
	raw, other := net.Pipe()
	t.Cleanup(func() { raw.Close(); other.Close() })
	return &stream{g: g, peer: p, raw: raw, states: g.states.Load(), wakeup: make(chan struct{}, 1), ended: make(chan struct{}), link: NewLink(LinkConfig{Self: "self", Incarnation: 1}, p.remote)}
}

// The death of a peer has the others compare what they hold once more, though the
// connection with it was lost before: they may have heard it longer.
func TestDeathHasOthersCompare(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		g, p := known(t, StateAlive)
		if leaves {
			p.leaving = 7 // it has told all
		}
		q := &peer{name: "q", state: StateAlive, remote: NewRemote("q")}
		g.peers["q"] = q
		s := stub(t, g, q)
		g.attach(s)
		g.sawGone("p", "")
		if woken := len(s.wakeup) > 0; woken == leaves {
			t.Errorf("left in order %t, woken to compare %t", leaves, woken)
		}
	}
}

func TestByeCountsOnTheLastStream(t *testing.T) {
	for state, want := range map[string]string{StateAlive: "left ", StateDead: "left ", StateLeft: "", StateNew: ""} {
		g, p := known(t, state)
		old, s := stub(t, g, p), stub(t, g, p)
		g.attach(old)
		g.attach(s)
		g.sawBye(old)
		if p.state != state || s.reason() != nil {
			t.Errorf("%s: the bye of an old stream makes it %s, the new stream ends with %v", state, p.state, s.reason())
		}
		g.sawBye(s)
		g.detach(s, s.reason())
		if k := kinds(g); k != want || s.reason() != errBye {
			t.Errorf("%s: after a bye events %q, want %q; stream ends with %v", state, k, want, s.reason())
		}
	}
}

// Who has said hello over a proven stream is alive at once, unless membership has
// to say something yet, or it is the process that was found gone.
func TestMetIsAlive(t *testing.T) {
	for name, c := range map[string]struct {
		state  string
		member bool
		gone   uint64
		closed bool
		want   string
	}{
		"new":                               {StateNew, false, 0, false, "alive "},
		"of the last run":                   {StateDead, false, 0, false, "alive "},
		"another process than the dead one": {StateDead, false, 6, false, "alive "},
		"another process than who left":     {StateLeft, false, 6, false, "alive "},
		"the process that is dead":          {StateDead, false, 7, false, ""},
		"whose end is still to be told":     {StateLeft, true, 6, false, ""},
		"alive":                             {StateAlive, true, 0, false, ""},
		"closed":                            {StateNew, false, 0, true, ""},
	} {
		g, p := known(t, c.state)
		p.member, p.gone, p.addr = c.member, c.gone, "192.0.2.1:1"
		old, s := stub(t, g, p), stub(t, g, p)
		g.attach(old)
		g.attach(s)
		g.closed = c.closed
		g.met(old) // its word counts no more
		if k := kinds(g); k != "" {
			t.Errorf("%s: the stream before makes it %s", name, k)
		}
		g.met(s)
		if k := kinds(g); k != c.want {
			t.Errorf("%s: events %q, want %q", name, k, c.want)
		}
	}
}

// One that is met and then does not come into membership is dead after a while,
// and stays so however often it connects.
func TestMetMustBecomeAMember(t *testing.T) {
	a, b := start(t, testConfig("a")), start(t, testConfig("b"))
	b.net.island.Store(true) // a looks for it where it was
	hello := func() net.Conn {
		t.Helper()
		m := meet(t, b, a)
		t.Cleanup(func() { m.raw.Close() })
		l := NewLink(LinkConfig{Self: "b", Incarnation: 9, States: []State{newMap("map")}}, NewRemote("a"))
		out := l.Next(time.Now(), nil)
		begin := len(out)
		out = wire.AppendString(openFrame(out, typeMessage, 2), "said")
		if _, err := m.conn.Write(closeFrame(wire.AppendBin(out, nil), begin)); err != nil {
			t.Fatal(err)
		}
		return m.raw
	}
	first := hello()
	a.sees(t, PeerAlive, "b", 1)
	if alive, _ := a.Members(); len(alive) != 2 {
		t.Errorf("alive are %v", alive)
	}
	a.reconcile(time.Now().Add(leftPause - time.Second))
	if alive, _ := a.Members(); len(alive) != 2 {
		t.Error("it was not given time")
	}
	a.reconcile(time.Now().Add(leftPause + time.Second))
	a.sees(t, PeerDead, "b", 1)
	closed(t, first)
	hello()
	a.until(t, "the message behind the second hello", func() bool { return len(a.messages) == 2 })
	if n := a.count(PeerAlive, "b"); n != 1 {
		t.Errorf("alive %d times, want 1", n)
	}
}
