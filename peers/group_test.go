package peers

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestThreeFindEachOther(t *testing.T) {
	a, b, c := trio(t)
	a.m.Set("x", 1)
	b.m.Set("y", 2)
	c.m.Set("z", 3)
	for _, n := range []*node{a, b, c} {
		n.holds(t, "x", 1)
		n.holds(t, "y", 2)
		n.holds(t, "z", 3)
		alive, known := n.Members()
		if !slices.Equal(alive, []string{"a", "b", "c"}) || len(known) != 3 {
			t.Errorf("%s: alive %q, known %q", n.cfg.Name, alive, known)
		}
		for _, p := range n.Peers() {
			if p.State != StateAlive || !p.Ready || len(p.States) != 1 || !p.States[0].Learned || p.Version != versionMax || p.Incarnation == 0 {
				t.Errorf("%s: peer %+v", n.cfg.Name, p)
			}
		}
	}
	if err := a.Message("kick", []byte("u"), ""); err != nil {
		t.Error(err)
	}
	if err := c.Message("kick", []byte("v"), "b"); err != nil {
		t.Error(err)
	}
	b.until(t, "two messages", func() bool {
		return slices.Contains(b.messages, "a kick u") && slices.Contains(b.messages, "c kick v")
	})
	if err := a.Message("kick", nil, "nobody"); !errors.Is(err, ErrAway) {
		t.Errorf("a message to nobody = %v, want ErrAway", err)
	}
}

func TestLostConnectionIsMadeAgain(t *testing.T) {
	a, b, c := trio(t)
	a.m.Set("before", 1)
	b.holds(t, "before", 1)
	for _, s := range *b.live.Load() {
		s.raw.Close()
	}
	b.m.Set("meanwhile", 2)
	mesh(t, 2, a, b)
	mesh(t, 2, b, c)
	a.holds(t, "meanwhile", 2)
	c.holds(t, "meanwhile", 2)
	for _, p := range a.Peers() {
		if p.Name == "b" && (p.Counters.Connects != 2 || p.Counters.RepairedIn != 0) {
			t.Errorf("a did not resume: %+v", p.Counters)
		}
	}
	if n := a.count(PeerDead, "b"); n != 0 {
		t.Errorf("b died %d times of a lost connection", n)
	}
}

func TestKilledPeerIsDeadAndMayComeBack(t *testing.T) {
	a, b, c := trio(t)
	toB := a.linkTo("b")
	look := &toB.lanes[0].round.look
	toB.remote.mu.Lock()
	never := time.Now().Add(time.Hour)
	*look = never
	toB.remote.mu.Unlock()
	began := time.Now()
	c.Close()
	a.sees(t, PeerDown, "c", 1)
	toB.remote.mu.Lock()
	if look.Equal(never) {
		t.Error("a does not compare with b what each has of c")
	}
	toB.remote.mu.Unlock()
	for _, n := range []*node{a, b} {
		n.sees(t, PeerDead, "c", 1)
		t.Logf("%s: dead after %v", n.cfg.Name, time.Since(began))
		if alive, known := n.Count(); alive != 2 || known != 3 {
			t.Errorf("%d alive of %d, want 2 of 3", alive, known)
		}
	}
	if err := b.Forget("c"); err != nil {
		t.Error(err)
	}
	if alive, known := b.Count(); alive != 2 || known != 2 || b.Forget("c") == nil || b.Forget("a") == nil {
		t.Errorf("after Forget %d alive of %d, want 2 of 2", alive, known)
	}
	a.m.Set("meanwhile", 1)
	b.holds(t, "meanwhile", 1)
	again := start(t, testConfig("c", b)) // at another port
	again.holds(t, "meanwhile", 1)
	a.sees(t, PeerUp, "c", 2)
	if alive, known := a.Count(); alive != 3 || known != 3 {
		t.Errorf("%d alive of %d, want 3 of 3", alive, known)
	}
}

// Those that leave together have nobody to tell, which is no error.
func TestAllLeave(t *testing.T) {
	a, b, c := trio(t)
	done := make(chan error)
	for _, n := range []*node{a, b, c} {
		go func() { done <- n.Leave(3 * time.Second) }() // memberlist takes all of it
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestPeerThatLeaves(t *testing.T) {
	a, b, c := trio(t)
	c.m.Set("last", 1)
	if err := c.Leave(5 * time.Second); err != nil {
		t.Error(err)
	}
	for _, n := range []*node{a, b} {
		n.sees(t, PeerLeft, "c", 1)
		n.holds(t, "last", 1)
		if alive, known := n.Count(); alive != 2 || known != 2 {
			t.Errorf("%d alive of %d, want 2 of 2", alive, known)
		}
		if n.count(PeerDead, "c") != 0 || n.count(PeerDown, "c") != 0 {
			t.Error("one that left was told dead or lost")
		}
	}
	addr := c.self.address
	c.Close()
	cfg := testConfig("c", a)
	cfg.Bind = addr
	start(t, cfg)
	a.sees(t, PeerUp, "c", 2)
	b.sees(t, PeerUp, "c", 2)
}

func TestHalvesMeetAgain(t *testing.T) {
	a, b, c := trio(t)
	c.net.island.Store(true)
	for _, s := range *c.live.Load() {
		s.raw.Close()
	}
	a.sees(t, PeerDead, "c", 1)
	b.sees(t, PeerDead, "c", 1)
	c.sees(t, PeerDead, "a", 1)
	c.sees(t, PeerDead, "b", 1)
	a.m.Set("here", 1)
	c.m.Set("there", 2)
	b.holds(t, "here", 1)
	if alive, known := c.Count(); alive != 1 || known != 3 {
		t.Errorf("%d alive of %d, want 1 of 3", alive, known)
	}
	c.net.island.Store(false)
	mesh(t, 2, a, c)
	mesh(t, 2, b, c)
	c.holds(t, "here", 1)
	a.holds(t, "there", 2)
	b.holds(t, "there", 2)
}

func TestRestartedPeerIsLookedFor(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	// a comes back without a join list, before it was missed.
	addr := a.self.address
	a.Close()
	cfg := testConfig("a")
	cfg.Bind = addr
	again := start(t, cfg)
	again.sees(t, PeerUp, "b", 1)
	b.sees(t, PeerUp, "a", 2)
}

func TestLearning(t *testing.T) {
	a := start(t, testConfig("a"))
	fill(a.m, "k", 5000)
	if l := a.Learn(t.Context(), time.Second); l.How != HowAlone {
		t.Errorf("the first one: %+v, want alone", l)
	}
	b := start(t, testConfig("b", a))
	if l := b.Learn(t.Context(), patience); l.How != HowLearned || l.From != "a" || l.Entries != 5000 {
		t.Errorf("the second one: %+v, want 5000 entries from a", l)
	}
	if n := len(b.m.Copy()); n != 5000 {
		t.Errorf("the second one holds %d entries, want 5000", n)
	}
	// Nobody answers there.
	cfg := testConfig("c")
	cfg.Join = []string{"127.0.0.1:1", "no.such.host.invalid:1"}
	c := start(t, cfg)
	began := time.Now()
	if l := c.Learn(t.Context(), patience); l.How != HowAlone || time.Since(began) > 2*learnAlone {
		t.Errorf("one without anybody: %+v after %v, want alone", l, time.Since(began))
	}
}

func TestLearningFails(t *testing.T) {
	a := start(t, testConfig("a"))
	a.Group.mu.Lock()
	a.Group.leaving = true // it is a member, but serves no stream
	a.Group.mu.Unlock()
	b := start(t, testConfig("b", a))
	if l := b.Learn(t.Context(), 300*time.Millisecond); l.How != HowFailed {
		t.Errorf("%+v, want failed", l)
	}
}

func TestNameClash(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	n, err := newNode(t, testConfig("b", a))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), b.self.address) {
		t.Errorf("a second b starts with %v, want ErrName with the address of the first", err)
	}
	a.sees(t, PeerClash, "b", 1)
	a.m.Set("x", 1)
	b.holds(t, "x", 1)
}

func TestOtherVersionIsRefusedLoudly(t *testing.T) {
	a := start(t, testConfig("a"))
	p := &peer{name: "a", remote: NewRemote("a")}
	b := start(t, testConfig("b"))
	// b says hello as a process of the future would.
	raw, conn := greeted(t, b, a)
	defer raw.Close()
	l := NewLink(LinkConfig{Self: "b", Incarnation: 1}, p.remote)
	l.versions = [2]uint64{7, 9}
	if _, err := conn.Write(l.Next(time.Now(), nil)); err != nil {
		t.Fatal(err)
	}
	a.sees(t, PeerRefused, "b", 1)
}

func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("group", func(t *testing.T) { trio(t) })
	// memberlist's own goroutines end a little after its Shutdown.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for runtime.NumGoroutine() > before {
		if ctx.Err() != nil {
			b := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, b[:runtime.Stack(b, true)])
		}
		runtime.Gosched()
	}
}
