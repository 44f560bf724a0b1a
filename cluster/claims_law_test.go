package cluster

import (
	"fmt"
	"testing"
	"time"
)

// The law: whatever happens to peers that agree on who is there, their claims
// are within the limit; and when it is over they are what they should be.
func TestClaimsLaw(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { claimsLaw(t, seed) })
	}
}

func claimsLaw(t *testing.T, seed uint64) {
	limits := map[string]int64{"mail/s1": 10, "mail/s2": 1000, "mail/s3": 1}
	w := newClaimSim(t, seed, 2+int(seed%4), limits)
	w.delay, w.loss = time.Duration(1+w.rng.IntN(900))*time.Millisecond, w.rng.IntN(40)
	names := func() (list []string) {
		for i := range 5 {
			list = append(list, fmt.Sprint("lb", i+1))
		}
		return list
	}()
	for range 60 {
		name := names[w.rng.IntN(len(names))]
		p := w.procs[name]
		switch n := w.rng.IntN(10); {
		case n < 5 && p != nil:
			for server, limit := range limits {
				p.servers[server].want = w.rng.Int64N(2*limit + 1)
			}
		case n < 7:
			w.breakStream(name, names[w.rng.IntN(len(names))])
		case n == 7 && p == nil:
			w.boot(name)
		case n == 8 && p != nil && len(w.procs) > 1:
			w.kill(name)
		case n == 9 && p != nil: // nobody finds it dead
			delete(w.procs, name)
			w.boot(name)
		}
		w.run(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	}
	w.loss, w.delay = 0, 20*time.Millisecond
	for _, p := range w.procs {
		for _, s := range p.servers {
			s.want = 3000
		}
	}
	w.run(25 * time.Second)
	w.run(time.Unix(w.now.Unix()/claimTurn*claimTurn+claimTurn+1, 0).Sub(w.now)) // not where the turns change
	for server, limit := range limits {
		n := int64(len(w.procs))
		for _, got := range w.here(server) {
			if limit >= n && (got < limit/n || got > limit/n+1) || w.sum(server) < limit {
				t.Errorf("claims on %s: %v, want %d each: %s", server, w.here(server), limit/n, w.tells(server))
				break
			}
		}
	}
}

// After a cut each side had all; when they meet the sums are within the limits
// soon, as far as no session is in the way.
func TestClaimsAfterACut(t *testing.T) {
	for seed := range uint64(10) {
		w := newClaimSim(t, seed, 4, map[string]int64{"mail/s1": 100})
		w.run(4 * time.Second)
		w.shaky = w.now.Add(time.Hour)
		w.cut = map[string]bool{"lb1": true, "lb3": true}
		for _, p := range w.procs {
			for _, q := range w.procs {
				if !w.together(p.name, q.name) {
					p.sees(w.now, q.name, false)
				}
			}
		}
		w.run(3 * time.Second)
		if n := w.sum("mail/s1"); n != 200 {
			t.Errorf("seed %d: both sides of a cut have %d, want 200", seed, n)
		}
		w.cut = nil
		for _, p := range w.procs {
			w.tell(p.name, true)
		}
		w.run(4 * time.Second)
		w.shaky = w.now
		w.run(2 * time.Second)
	}
}

// Nobody waits for good where there is enough for all, whatever was before.
func TestClaimsFindRoom(t *testing.T) {
	for seed := range uint64(22) {
		peers := 2 + int(seed%11)
		limit := int64(peers) * []int64{2, 10, 100, 400}[seed%4]
		w := newClaimSim(t, seed, peers, map[string]int64{"mail/s1": limit})
		w.run(2 * time.Second)
		for range 6 {
			least := floor(limit, peers)
			rest := limit - least*int64(peers)
			for _, i := range w.rng.Perm(peers) {
				more := w.rng.Int64N(rest + 1)
				rest -= more
				w.procs[fmt.Sprint("lb", i+1)].servers["mail/s1"].want = least + more
			}
			w.run(3*time.Second + time.Duration(limit)*10*time.Millisecond/3) // until who has too many has not
			for _, p := range w.procs {
				if s := p.servers["mail/s1"]; s.wait > 0 {
					t.Fatalf("seed %d: %d wait at %s: %s", seed, s.wait, p.name, w.tells("mail/s1"))
				}
			}
		}
	}
}
