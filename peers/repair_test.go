package peers

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestOverrunIsRepaired(t *testing.T) {
	for i := range 2 {
		p := newPipe(t)
		p.connect()
		p.must(p.run())
		m := p.sides[i].m
		m.ring = 10
		fill(m, "k", 500)
		p.must(p.run())
		p.equal(500)
		if c := p.sides[i].remote.Info().Counters; c.Overruns != 1 {
			t.Errorf("%d overruns, want 1", c.Overruns)
		}
		// The same while there was no connection.
		fill(m, "l", 500)
		p.connect()
		p.must(p.run())
		p.equal(1000)
		p.ready()
	}
}

func TestCheckMendsWhatThirdPartiesLeft(t *testing.T) {
	for i := range 2 {
		p := newPipe(t)
		p.connect()
		p.must(p.run())
		// What a third peer changed is in no journal of ours.
		fill(p.sides[i].m, "third", 40)
		p.sides[i].m.journal = nil
		start := p.now
		for len(p.sides[1-i].m.Copy()) != 40 {
			p.must(p.pass(100 * time.Millisecond))
			if p.now.Sub(start) > time.Minute {
				t.Fatal("not mended in a minute")
			}
		}
		if d := p.now.Sub(start); d < confirmAfter {
			t.Errorf("mended after %v, before it was confirmed", d)
		}
		p.must(p.pass(checkEvery + time.Second))
		for _, s := range p.sides {
			if s.remote.Info().Agreed.Before(start) {
				t.Errorf("%s does not know that they agree", s.name)
			}
		}
	}
}

// A third peer is gone: what only one of the others has of it need not wait for
// the time of the next comparison.
func TestLookNeedNotWait(t *testing.T) {
	for i := range 2 {
		p := newPipe(t)
		p.connect()
		p.must(p.run())
		p.must(p.pass(confirmAfter + time.Second)) // the first comparison is over
		fill(p.sides[i].m, "third", 40)
		p.sides[i].m.journal = nil
		for _, s := range p.sides {
			s.link.Look(p.now)
		}
		p.must(p.pass(confirmAfter + 100*time.Millisecond))
		if n := len(p.sides[1-i].m.Copy()); n != 40 {
			t.Errorf("%d of 40 changes were mended", n)
		}
	}
}

// Nor if it is lost while what differed before is looked at: that comparison does
// not see all of it.
func TestLookBehindAnother(t *testing.T) {
	for i := range 2 {
		p := newPipe(t)
		p.connect()
		p.must(p.run())
		p.must(p.pass(confirmAfter + time.Second)) // the first comparison is over
		for _, what := range []string{"second", "third"} {
			fill(p.sides[i].m, what, 40)
			p.sides[i].m.journal = nil
			for _, s := range p.sides {
				s.link.Look(p.now)
			}
			p.must(p.pass(confirmAfter / 2))
		}
		p.must(p.pass(2 * confirmAfter))
		if n := len(p.sides[1-i].m.Copy()); n != 80 {
			t.Errorf("%d of 80 changes were mended", n)
		}
	}
}

func TestCheckPassesOverWhatIsOnItsWay(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	// The digests of a look are compared while an update is on its way.
	p.now = p.now.Add(confirmAfter)
	frames := p.sides[0].link.Next(p.now, nil)
	p.sides[1].m.Set("x", 1)
	for f, frames, ok := CutFrame(frames); ok; f, frames, ok = CutFrame(frames) {
		p.must(p.sides[1].link.Receive(p.now, f))
	}
	p.must(p.run())
	p.must(p.pass(2 * checkEvery))
	p.equal(1)
	if c := p.sides[0].remote.Info().Counters; c.RepairedIn != 0 || c.EntriesIn != 1 {
		t.Errorf("counters %+v, want no repair", c)
	}
}

// TestAgreeWhileBusy: that something is on its way at each comparison does not keep
// two that hold the same from saying so, nor do they repair it.
func TestAgreeWhileBusy(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	n := 0
	p.alter = func(f []byte) []byte {
		if f[1] == typeDigests {
			p.sides[1].m.Set(fmt.Sprint("k", n), 1) // other buckets each time
			n++
		}
		return f
	}
	p.must(p.pass(10 * checkEvery))
	for _, s := range p.sides {
		info := s.remote.Info()
		if ago := p.now.Sub(info.Agreed); ago > 2*checkEvery || info.Counters.RepairedIn > 0 {
			t.Errorf("%s: agreed %v ago, %d entries repaired", s.name, ago, info.Counters.RepairedIn)
		}
	}
	if n < 10 {
		t.Errorf("%d comparisons, want one each %v at least", n, checkEvery)
	}
}

func TestIntersectIsBounded(t *testing.T) {
	a, b := make([]uint16, 100), make([]uint16, 100)
	seen := make([]uint16, len(a))
	next := 0
	for range 3 { // 1200 buckets
		for i := range a {
			a[i], b[i] = 0xffff, 0xfff0
		}
		next = intersect(a, b, next, maxCheck)
		if n := countBits(a); n != maxCheck {
			t.Errorf("%d buckets, want %d", n, maxCheck)
		}
		for i := range a {
			seen[i] |= a[i]
		}
	}
	if n := countBits(seen); n != countBits(b) {
		t.Errorf("%d buckets had their turn, want %d", n, countBits(b))
	}
	if next = intersect(a, b, 7, 100*BucketsPerPart); next != 7 {
		t.Errorf("nothing was cut, but the next begins at %d", next)
	}
	intersect(a, nil, next, maxCheck)
	if n := countBits(a); n != 0 {
		t.Errorf("%d buckets without a look, want 0", n)
	}
}

// TestWhatDiffersForGoodCanWait: the next look comes soon only while checks help.
func TestWhatDiffersForGoodCanWait(t *testing.T) {
	r := round{look: time.Unix(1_700_000_000, 0)}
	for i, test := range []struct {
		differ int
		want   time.Duration
	}{
		{2000, confirmAfter}, // the first time
		{2000 - maxCheck, confirmAfter},
		{1488, checkEvery}, // it did not help
		{1489, checkEvery},
		{1480, checkEvery}, // so little is what is on its way
		{1480 - maxCheck, confirmAfter},
		{10, checkEvery}, // all of it at once
		{0, checkEvery},
		{600, confirmAfter},
	} {
		now := r.at()
		if !r.begin(now) || r.kind != kindLook || r.differ(now, test.differ) {
			t.Fatalf("%d: no look at %v: %+v", i, now, r)
		}
		if test.differ > 0 {
			if now = r.at(); !r.begin(now) || r.kind != kindConfirm || !r.differ(now, min(test.differ, maxCheck)) {
				t.Fatalf("%d: no confirm at %v: %+v", i, now, r)
			}
			r.sent, r.got = true, true
			r.finish(now)
		}
		if d := r.at().Sub(now); d != test.want {
			t.Errorf("%d: next look after %v, want %v", i, d, test.want)
		}
	}
}

// TestSlowRepairIsNotGivenUp: it progresses while parts are handed out.
func TestSlowRepairIsNotGivenUp(t *testing.T) {
	p := newPipe(t)
	fill(p.sides[0].m, strings.Repeat("k", 100), 5000)
	p.connect()
	a, began := p.sides[0], p.now
	for len(p.sides[1].m.Copy()) < 5000 {
		if p.now.Sub(began) > 30*roundPatience {
			t.Fatal("not repaired")
		}
		p.now = p.now.Add(roundPatience / 2)
		for i, s := range p.sides { // one turn each
			out := s.link.Next(p.now, nil)
			for f, out, ok := CutFrame(out); ok; f, out, ok = CutFrame(out) {
				p.must(p.sides[1-i].link.Receive(p.now, f))
			}
		}
	}
	if d := p.now.Sub(began); d < 2*roundPatience {
		t.Errorf("repaired after %v, want a slow one", d)
	}
	if r := a.link.lanes[0].round; r.id != 1 || a.link.remote.counters.RepairedOut > 5000 {
		t.Errorf("%d rounds, want 1", r.id)
	}
}

// TestLostRoundIsBegunAgain: an answer that never comes does not end the checks.
func TestLostRoundIsBegunAgain(t *testing.T) {
	p := newPipe(t)
	fill(p.sides[0].m, "a", 10)
	p.alter = func(f []byte) []byte {
		if f[1] == typeWant {
			p.alter = nil
			return []byte{0x90}
		}
		return f
	}
	p.connect()
	p.must(p.run())
	if p.sides[1].m.Get("a1") != 0 {
		t.Fatal("learned without a want")
	}
	p.must(p.pass(roundPatience + time.Second))
	p.equal(10)
	p.ready()
}
