package peers

import (
	"net"
	"testing"
	"time"
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
	return &stream{g: g, peer: p, raw: raw, states: g.states.Load(), ended: make(chan struct{}), link: NewLink(LinkConfig{Self: "self", Incarnation: 1}, p.remote)}
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
