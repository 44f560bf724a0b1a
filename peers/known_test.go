package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A process that starts anew waits for those that were there before, asks them
// to join though its configuration does not name them, and tells of those only
// that it does not find.
func TestPeersOfTheLastRun(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b"), Known{"a", a.self.address}, Known{"c", "127.0.0.1:1"}, Known{"b", "127.0.0.1:1"}, Known{"", "127.0.0.1:1"})
	b.sees(t, PeerUp, "a", 1)
	b.sees(t, PeerDead, "c", 1)
	alive, known := b.Members()
	if !slices.Equal(alive, []string{"a", "b"}) || !slices.Equal(known, []string{"a", "b", "c"}) {
		t.Errorf("alive %q, known %q", alive, known)
	}
	var names []string
	for _, k := range b.Remember() {
		names = append(names, k.Name)
	}
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("to be remembered %q, want a and c", names)
	}
	if b.count(PeerDead, "a") != 0 {
		t.Error("a was told dead, though it was there")
	}
	if err := b.Forget("c"); err != nil || len(b.Remember()) != 1 {
		t.Errorf("Forget = %v, to be remembered then %v", err, b.Remember())
	}
}

// What a damaged file may say does no harm.
func TestOddPeersOfTheLastRun(t *testing.T) {
	list := []Known{{"x", "nowhere"}, {strings.Repeat("x", MaxName+1), "127.0.0.1:1"}, {"x", "127.0.0.1:1"}}
	for i := range 2 * MaxPeers {
		list = append(list, Known{fmt.Sprint("p", i), ""})
	}
	g := idle(t)
	g.remember(list)
	if len(g.peers) != MaxPeers || g.peers["x"].addr != "" || g.peers["x"].state != StateDead {
		t.Errorf("%d peers, want %d; x is %+v", len(g.peers), MaxPeers, g.peers["x"])
	}
}
