package cluster

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestClaimsGoWhereTheyAreWanted(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int64
		wants []int64
		want  []int64
	}{
		{"idle peers have equal parts", 10, []int64{0, 0}, []int64{5, 5}},
		{"one is all it needs", 10, []int64{0}, []int64{10}},
		{"what nobody wants is head room for all", 100, []int64{50, 10}, []int64{70, 30}},
		{"a peer with all the clients has nearly all", 10, []int64{30, 0}, []int64{9, 1}},
		{"others keep a floor", 6400, []int64{9000, 0, 0}, []int64{6200, 100, 100}},
		{"equal demand, equal parts", 90, []int64{500, 500, 500}, []int64{30, 30, 30}},
		{"who wants little has it", 90, []int64{500, 10, 500}, []int64{40, 10, 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newClaimSim(t, 1, len(c.wants), map[string]int64{"mail/s1": c.limit})
			w.run(4 * time.Second)
			w.want("mail/s1", c.wants...)
			w.run(2 * time.Second)
			if got := w.here("mail/s1"); !slices.Equal(got, c.want) {
				t.Errorf("claims %v, want %v: %s", got, c.want, w.tells("mail/s1"))
			}
		})
	}
}

// Alone the claim is the limit at the first step.
func TestClaimsAlone(t *testing.T) {
	w := newClaimSim(t, 1, 1, map[string]int64{"mail/s1": 7})
	w.run(10 * time.Millisecond)
	if got := w.here("mail/s1"); got[0] != 7 {
		t.Errorf("claim %d, want 7", got[0])
	}
	w.limits["mail/s1"], w.shaky = 3, w.now.Add(time.Second)
	w.run(time.Second)
	if got := w.here("mail/s1"); got[0] != 3 {
		t.Errorf("claim %d, want 3", got[0])
	}
}

// A peer that wants much has its part within a few round trips.
func TestClaimsMoveFast(t *testing.T) {
	for peers := 2; peers <= 5; peers++ {
		w := newClaimSim(t, uint64(peers), peers, map[string]int64{"mail/s1": 1000})
		w.run(5 * time.Second)
		w.want("mail/s1", 2000)
		w.run(400 * time.Millisecond)
		if got, want := w.here("mail/s1")[0], int64(1000-15*(peers-1)); got != want {
			t.Errorf("%d peers: claim %d after 400 ms, want %d", peers, got, want)
		}
	}
}

// Sessions are not taken away: their peer lets in nobody until it is within its
// part, and what is freed goes to the others.
func TestClaimsInUse(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 100})
	w.run(4 * time.Second)
	w.want("mail/s1", 1000, 0)
	w.run(4 * time.Second)
	w.want("mail/s1", 1000, 1000)
	w.run(10 * time.Second) // of one session in two steps of 10 ms
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{50, 50}) {
		t.Errorf("claims %v, want 50 each", got)
	}
}

// What a peer had comes back when it is found dead, or leaves.
func TestClaimsOfTheDead(t *testing.T) {
	w := newClaimSim(t, 3, 3, map[string]int64{"mail/s1": 90})
	w.run(4 * time.Second)
	w.want("mail/s1", 100, 100, 100)
	w.run(2 * time.Second)
	w.kill("lb2")
	w.run(4 * time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{45, 45}) {
		t.Errorf("claims %v, want 45 each", got)
	}
	w.kill("lb1")
	w.run(4 * time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{90}) {
		t.Errorf("claims %v, want all", got)
	}
}

// A peer of an older version says nothing of claims: it is not waited for.
func TestClaimsOfTheMute(t *testing.T) {
	w := newClaimSim(t, 1, 1, map[string]int64{"mail/s1": 10})
	w.procs["lb1"].sees(w.now, "old", true)
	w.run(claimMute - 100*time.Millisecond)
	if got := w.here("mail/s1"); got[0] != 0 {
		t.Errorf("claim %d before it is known that the other is mute", got[0])
	}
	w.run(1200 * time.Millisecond)
	if got := w.here("mail/s1"); got[0] != 10 {
		t.Errorf("claim %d, want 10", got[0])
	}
}

// A peer whose stream is gone keeps its claims until it is dead or was silent
// for long.
func TestClaimsOfTheSilent(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 10})
	w.run(4 * time.Second)
	w.loss = 100
	w.want("mail/s1", 20, 20)
	w.run(claimQuiet - 2*time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{5, 5}) {
		t.Errorf("claims %v, want 5 each", got)
	}
	w.shaky = w.now.Add(20 * time.Second)
	w.run(4 * time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{10, 10}) {
		t.Errorf("claims %v of peers that hear nothing of each other, want 10 each", got)
	}
	w.loss = 0
	w.run(16 * time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{5, 5}) {
		t.Errorf("claims %v, want 5 each", got)
	}
}

// talkingClaims makes two processes that know each other, and sends what one has to say.
func talkingClaims(t *testing.T) (a, b *Claims, send func(from, to *Claims)) {
	t.Helper()
	a, b = NewClaims("a", 1), NewClaims("b", 2)
	a.SetPeers(start, []string{"a", "b"})
	b.SetPeers(start, []string{"a", "b"})
	return a, b, func(from, to *Claims) {
		t.Helper()
		if err := to.Receive(start, from.self, said(from)); err != nil {
			t.Fatal(err)
		}
	}
}

// said is what a process has to say to the one other.
func said(c *Claims) []byte {
	for _, p := range c.peers {
		return c.message(start, p)
	}
	return nil
}

func limitedTo(limit int64) (*claimServer, map[string]Limited) {
	s := &claimServer{sim: &claimSim{limits: map[string]int64{"s": limit}}, name: "s"}
	return s, map[string]Limited{"s": s}
}

// An old message, of this process or the one before, does not count.
func TestClaimsOldMessages(t *testing.T) {
	a, b, send := talkingClaims(t)
	_, list := limitedTo(10)
	a.SetServers(list)
	old := said(a)
	a.Step(start)
	id := a.servers[0].id
	send(a, b)
	if got, _ := b.peers["a"].tells(id, ClaimConn); got.bid != 5 {
		t.Fatalf("bid %d, want 5", got.bid)
	}
	held := b.peers["a"].held
	a2 := NewClaims("a", 3)
	a2.SetPeers(start, []string{"b"})
	for name, m := range map[string][]byte{"before": old, "again": old} {
		if err := b.Receive(start, "a", m); err != nil || b.peers["a"].held != held {
			t.Errorf("%s: holds %d, %v, want %d", name, b.peers["a"].held, err, held)
		}
	}
	late := said(a)
	send(a2, b)
	if got, takes := b.peers["a"].tells(id, ClaimConn); takes {
		t.Errorf("a new process is taken to have told %v", got)
	}
	if err := b.Receive(start, "a", late); err != nil || b.peers["a"].incarnation != 3 {
		t.Errorf("a process of before counts: %v", err)
	}
}

// What was forgotten here as all knew it is not believed of one who comes back
// with less.
func TestClaimsForgetServers(t *testing.T) {
	a, b, send := talkingClaims(t)
	_, list := limitedTo(10)
	a.SetServers(list)
	a.Step(start)
	send(a, b)
	send(b, a)
	a.SetServers(nil)
	a.SetPeers(start, nil) // b is dead
	a.Step(start)
	if len(a.byID) > 0 {
		t.Fatal("nobody is there, and the server is not forgotten")
	}
	a.SetPeers(start, []string{"b"})
	send(b, a) // holds the server yet
	send(a, b)
	if n := len(b.peers["a"].tellings); n > 0 {
		t.Errorf("b holds %d servers of a, want none", n)
	}
}

// Of more servers than are shared the rest has its limits at each peer.
func TestClaimsAreBounded(t *testing.T) {
	a, b, send := talkingClaims(t)
	sim := &claimSim{limits: map[string]int64{}}
	servers := func(name string) map[string]Limited {
		list := map[string]Limited{}
		for i := range MaxClaims + 50 {
			n := fmt.Sprint(name, i)
			sim.limits[n] = maxClaim + 7
			list[n] = &claimServer{sim: sim, name: n, used: [claimKinds]int64{1 << 30, 1 << 30, 1 << 30}}
		}
		return list
	}
	send(b, a)
	list := servers("backend/old")
	a.SetServers(list)
	a.Step(start)
	own := 0
	for _, s := range list {
		if s.(*claimServer).here[ClaimConn] == maxClaim {
			own++
		}
	}
	if own != 50 {
		t.Errorf("%d servers have their limits to themselves, want 50", own)
	}
	send(a, b)
	send(b, a)
	for i := range 5 { // what went, and is not known to have gone, and what came
		a.SetServers(servers(fmt.Sprint("backend/new", i)))
		a.Step(start)
		if m := said(a); len(m) > 64<<10 {
			t.Fatalf("a message of %d bytes, at most 64 KiB", len(m))
		}
	}
	for i := range 5 { // the same without limits
		a.SetServers(servers(fmt.Sprint("backend/gone", i)))
		a.Step(start)
		for name := range sim.limits {
			sim.limits[name] = 0
		}
		a.Step(start)
		if m := said(a); len(m) > 64<<10 {
			t.Fatalf("a message of %d bytes, at most 64 KiB", len(m))
		}
	}
	send(a, b)
	if n := len(b.peers["a"].tellings); n != 0 {
		t.Errorf("%d servers are held, want none", n)
	}
	a.SetServers(servers("backend/last"))
	a.Step(start)
	send(a, b)
	if n := len(b.peers["a"].tellings); n != MaxClaims {
		t.Errorf("%d servers are held, want %d", n, MaxClaims)
	}
}

// FuzzClaims feeds what a peer might send: nothing panics, nothing grows
// without bound, and this process goes on.
func FuzzClaims(f *testing.F) {
	t := new(testing.T)
	a, b, _ := talkingClaims(t)
	_, list := limitedTo(10)
	a.SetServers(list)
	a.Step(start)
	f.Add(said(a))
	f.Add([]byte{0x97, 1, 1, 1, 0, 0, 0, 0x91, 0x95, 5, 0, 0xff, 0, 0})
	f.Add([]byte{0x97, 1, 1, 1, 2, 0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x90})
	f.Add([]byte{0x97, 9, 1, 1, 0, 0, 0, 0x90})
	f.Fuzz(func(t *testing.T, m []byte) {
		_ = b.Receive(start, "a", m)
		s, list := limitedTo(10)
		b.SetServers(list)
		b.Step(start)
		if n := s.here[ClaimConn]; n < 0 || n > 10 {
			t.Errorf("claim %d of 10", n)
		}
		if p := b.peers["a"]; len(p.tellings) > maxTold || p.acked > b.version {
			t.Errorf("%d servers told, %d of %d acknowledged", len(p.tellings), p.acked, b.version)
		}
	})
}

// Looking at all limits costs no allocation, and a peer that has nothing new
// to say says little.
func TestClaimsCostLittle(t *testing.T) {
	a, b, send := talkingClaims(t)
	a.SetServers(manyLimited(MaxClaims))
	b.SetServers(manyLimited(MaxClaims))
	for range 3 {
		a.Step(start)
		b.Step(start)
		send(a, b)
		send(b, a)
	}
	if n := testing.AllocsPerRun(10, func() { a.Step(start) }); n > 0 {
		t.Errorf("a step takes %v allocations, want none", n)
	}
	if m := said(a); len(m) > 64 {
		t.Errorf("nothing new takes %d bytes", len(m))
	}
}

func manyLimited(n int) map[string]Limited {
	sim, list := &claimSim{limits: map[string]int64{}}, map[string]Limited{}
	for i := range n {
		name := fmt.Sprint("mail/s", i)
		sim.limits[name] = 1000
		list[name] = &claimServer{sim: sim, name: name}
	}
	return list
}

func BenchmarkClaimsStep(b *testing.B) {
	c := NewClaims("a", 1)
	c.SetPeers(start, []string{"b", "c"})
	c.SetServers(manyLimited(MaxClaims))
	for b.Loop() {
		c.Step(start)
	}
}
