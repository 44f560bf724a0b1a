package cluster

import (
	"testing"
	"time"
	"unsafe"
)

// seeDead has all others find a process dead, or alive again.
func (w *claimSim) seeDead(name string, dead bool) {
	for _, p := range w.procs {
		if p.name != name {
			p.sees(w.now, name, !dead)
		}
	}
}

// A process that did not run for a while, and was found dead meanwhile, takes
// nothing when it goes on, however long it stood still: the others have what it
// had, and what passes the limit are its sessions alone.
func TestClaimsAfterAPause(t *testing.T) {
	for i, pause := range []time.Duration{2500 * time.Millisecond, 8 * time.Second, claimQuiet, time.Minute} {
		w := newClaimSim(t, uint64(i), 3, map[string]int64{"mail/s1": 90})
		w.run(4 * time.Second)
		w.want("mail/s1", 10, 100, 100)
		w.run(4 * time.Second)
		w.paused = map[string]bool{"lb1": true}
		w.run(2 * time.Second)
		w.seeDead("lb1", true)
		w.shaky = w.now.Add(pause) // it has what it had, and does nothing with it
		w.run(pause - 2*time.Second)
		w.paused = nil
		w.want("mail/s1", 100, 100, 100)
		w.run(100 * time.Millisecond)
		w.shaky, w.over = w.now, 10
		if used := w.procs["lb1"].servers["mail/s1"].used[ClaimConn]; used > 10 {
			t.Errorf("pause of %v: %d sessions, want none more than 10: %s", pause, used, w.tells("mail/s1"))
		}
		w.run(2 * time.Second) // no stream yet, or none that is believed
		w.seeDead("lb1", false)
		w.run(6 * time.Second)
		w.over = 0
		w.run(5 * time.Second)
		for _, got := range w.here("mail/s1") {
			if got < 29 || got > 31 {
				t.Errorf("pause of %v: claims %v, want 30 each", pause, w.here("mail/s1"))
				break
			}
		}
	}
}

// A machine that was suspended has a clock that did not go on meanwhile, and one
// that did.
func TestClaimsAfterASuspension(t *testing.T) {
	now := time.Now()
	woken := now
	*(*uint64)(unsafe.Pointer(&woken)) += 3600 << 30 // the wall's seconds alone
	if woken.Sub(now) != 0 || woken.Round(0).Sub(now.Round(0)) != time.Hour {
		t.Fatal("package time keeps its times in another way")
	}
	c := NewClaims("a", 1)
	c.SetPeers(now, []string{"a", "b"})
	s, list := limitedTo(10)
	c.SetServers(list)
	c.Step(now)
	s.here[ClaimConn] = 5
	c.servers[0].claims[ClaimConn].here = 5
	c.Step(woken)
	if s.here[ClaimConn] != 0 {
		t.Errorf("claim %d after a suspension, want none", s.here[ClaimConn])
	}
}

// A process that is called late, by a second at most, gives nothing up: a busy
// machine is no pause. After a pause it has nothing that is not in use until the
// other has answered, whatever that one acknowledged before.
func TestClaimsOfTheLate(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 10})
	w.run(4 * time.Second)
	c := w.procs["lb1"].claims
	now := c.stepped
	for _, late := range []time.Duration{0, time.Second, 0, time.Second} {
		now = now.Add(ClaimRest + late)
		if c.Step(now); w.here("mail/s1")[0] != 5 {
			t.Fatalf("claim %d, %v late, want 5", w.here("mail/s1")[0], late)
		}
	}
	c.Step(now.Add(claimLapse))
	if got := w.here("mail/s1")[0]; got != 0 {
		t.Errorf("claim %d after a pause, want none", got)
	}
}

// While one is found dead that runs on, as its packets were lost, the sum may pass
// the limit by what it had and had bid for. It takes no more, and when it is met
// again nobody lets in more until the sum is within the limit.
func TestClaimsOfTheFalselyDead(t *testing.T) {
	for seed := range uint64(20) {
		w := newClaimSim(t, seed, 3, map[string]int64{"mail/s1": 90})
		w.run(4 * time.Second)
		w.want("mail/s1", w.rng.Int64N(100), w.rng.Int64N(100), w.rng.Int64N(100))
		w.run(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
		w.over = w.procs["lb1"].claims.servers[0].claims[ClaimConn].bid
		w.seeDead("lb1", true)
		w.want("mail/s1", 100, 100, 100)
		w.run(3 * time.Second)
		w.seeDead("lb1", false)
		w.want("mail/s1", 100, 100, 0)
		w.run(10 * time.Second) // some of its sessions leave each 10 ms
		w.over = 0
		w.run(time.Second)
		got := w.here("mail/s1")
		for i, want := range [][2]int64{{43, 45}, {43, 45}, {1, 1}} { // one goes from the first to the second and back
			if got[i] < want[0] || got[i] > want[1] {
				t.Errorf("seed %d: claims %v, want 44 or 45 of the first two and 1 of the last: %s", seed, got, w.tells("mail/s1"))
				break
			}
		}
	}
}
