package peers

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLearningFromAll: one that has itself learned nothing is no teacher while
// another is there.
func TestLearningFromAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := idle(t)
		for name, entries := range map[string]uint64{"x": 0, "y": 5, "z": 3} {
			p := &peer{name: name, state: StateAlive, remote: NewRemote(name)}
			p.remote.counters.EntriesIn = entries
			p.stream = stub(t, g, p)
			g.peers[name] = p
		}
		ready := func(name string) {
			p := g.peers[name]
			p.remote.mu.Lock()
			p.stream.link.greeted = true // it shares no state
			p.remote.mu.Unlock()
			g.up(p.stream)
		}
		learn := func(wait time.Duration, want Learned) {
			t.Helper()
			begun := time.Now()
			if l := g.Learn(t.Context(), 10*time.Second); l != want || time.Since(begun) != wait {
				t.Errorf("%+v after %v, want %+v after %v", l, time.Since(begun), want, wait)
			}
		}
		learn(10*time.Second, Learned{How: HowFailed})
		ready("x")
		learn(10*time.Second, Learned{How: HowLearned, From: "x"})
		ready("z")
		time.AfterFunc(3*time.Second, func() { ready("y") })
		learn(3*time.Second, Learned{How: HowLearned, From: "y", Entries: 8})
		// One that dies is not waited for, nor is one that is not yet alive.
		g.peers["x"].stream, g.peers["w"] = nil, &peer{name: "w", state: StateNew, remote: NewRemote("w")}
		time.AfterFunc(time.Second, func() { g.sawGone("x", "") })
		learn(time.Second, Learned{How: HowLearned, From: "y", Entries: 8})
	})
}

// TestLearningPastFullEvents: what is learned is noticed though nobody has time to
// hear of it.
func TestLearningPastFullEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := idle(t)
		p := &peer{name: "x", state: StateAlive, remote: NewRemote("x")}
		p.stream = stub(t, g, p)
		g.peers["x"] = p
		for range maxEvents {
			g.say(PeerDown, "x", "", "")
		}
		time.AfterFunc(time.Second, func() {
			p.remote.mu.Lock()
			p.stream.link.greeted = true // it shares no state
			p.remote.mu.Unlock()
			g.up(p.stream)
		})
		begun := time.Now()
		if l := g.Learn(t.Context(), time.Hour); l.How != HowLearned || time.Since(begun) != time.Second {
			t.Errorf("%+v after %v, want learned after 1 s", l, time.Since(begun))
		}
	})
}

// TestAloneWhileJoinsGoOn: a first packet that was lost is sent again before a
// process thinks that it is alone.
func TestAloneWhileJoinsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for first, want := range []time.Duration{0, learnAlone} {
			g := idle(t)
			begun := time.Now()
			g.first, g.aloneAt = first, begun.Add(learnAlone)
			if l := g.Learn(t.Context(), time.Minute); l.How != HowAlone || time.Since(begun) != want {
				t.Errorf("%d joins under way: %+v after %v, want alone after %v", first, l, time.Since(begun), want)
			}
		}
	})
}

// TestAnotherAddress: a peer that was killed is back at once with another address,
// before the others, who dial it, have missed it.
func TestAnotherAddress(t *testing.T) {
	a, b, c := trio(t)
	c.Close()
	cfg := testConfig("c", b)
	cfg.Bind = "127.0.0.2:0"
	again := start(t, cfg)
	if l := again.Learn(t.Context(), patience); l.How != HowLearned {
		t.Errorf("%+v, want learned", l)
	}
	for i, n := range []*node{a, b} {
		n.sees(t, PeerUp, "c", 2)
		n.m.Set(n.cfg.Name, uint64(i+1))
		again.holds(t, n.cfg.Name, uint64(i+1))
		for _, p := range n.Peers() {
			if p.Name == "c" && (p.Addr != again.self.address || p.State != StateAlive) {
				t.Errorf("%s: c is %s at %s, want alive at %s", n.cfg.Name, p.State, p.Addr, again.self.address)
			}
		}
		if alive, known := n.Count(); alive != 3 || known != 3 {
			t.Errorf("%s: %d alive of %d, want 3 of 3", n.cfg.Name, alive, known)
		}
	}
}

// TestAllStartAtOnce: peers that wait for each other's tables wait for nobody's
// readiness, and each has what any of them had saved.
func TestAllStartAtOnce(t *testing.T) {
	a, b, c := trio(t)
	var again []*node
	for _, n := range []*node{a, b, c} {
		n.Close()
	}
	for i, n := range []*node{a, b, c} {
		cfg := testConfig(n.cfg.Name, a, b, c)
		cfg.Bind = n.self.address
		m, err := newNode(t, cfg, Known{"a", a.self.address}, Known{"b", b.self.address}, Known{"c", c.self.address})
		if err != nil {
			t.Fatal(err)
		}
		fill(m.m, fmt.Sprint(n.cfg.Name, "-"), 10*(i+1))
		again = append(again, m)
	}
	var wg sync.WaitGroup
	for _, n := range again {
		wg.Go(func() {
			if err := n.Start(t.Context()); err != nil {
				t.Errorf("%s: %v", n.cfg.Name, err)
				return
			}
			t.Cleanup(n.Close)
			if l := n.Learn(t.Context(), patience); l.How == HowFailed {
				t.Errorf("%s: %+v", n.cfg.Name, l)
			}
		})
	}
	wg.Wait()
	mesh(t, 1, again...)
	for _, n := range again {
		for i, from := range []string{"a", "b", "c"} {
			n.holds(t, fmt.Sprintf("%s-%d", from, 10*(i+1)-1), uint64(10*(i+1)))
		}
	}
}

// TestLearningUnderAnOldName: the others have not yet missed the process before.
func TestLearningUnderAnOldName(t *testing.T) {
	a := start(t, testConfig("a"))
	fill(a.m, "k", 100)
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	b.Close()
	again := start(t, testConfig("b", a)) // at another port
	if l := again.Learn(t.Context(), patience); l.How != HowLearned || l.Entries != 100 {
		t.Errorf("%+v, want 100 entries", l)
	}
}
