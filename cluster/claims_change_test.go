package cluster

import (
	"slices"
	"testing"
	"time"

	"imaplb/wire"
)

// A server that is new under its name, or whose limit was another one for a
// moment, as at a reload of what an order says otherwise, has the claim again.
func TestClaimsOfANewServer(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 10})
	w.run(4 * time.Second)
	w.procs["lb1"].servers["mail/s1"].here[ClaimConn] = 0
	w.run(time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{5, 5}) {
		t.Errorf("claims %v, want 5 each", got)
	}
}

// A limit that there is again has no claim of before.
func TestClaimsOfALimitThatGoes(t *testing.T) {
	c := NewClaims("a", 1)
	s, list := limitedTo(10)
	c.SetServers(list)
	for _, limit := range []int64{10, 0, 10} {
		s.sim.limits["s"] = limit
		c.Step(start)
		if s.here[ClaimConn] != limit {
			t.Errorf("limit %d: claim %d", limit, s.here[ClaimConn])
		}
	}
}

// While limits differ, the peer with the lower has what the other does not use,
// and the other what its own allows.
func TestClaimsOfUnlikeLimits(t *testing.T) {
	for _, limits := range [][2]int64{{4, 8}, {100, 6400}, {1, 1000}, {10, 11}} {
		w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": limits[1]})
		w.procs["lb1"].servers["mail/s1"].limit = limits[0]
		w.run(4 * time.Second)
		for i, wants := range [][2]int64{{limits[0], 0}, {0, limits[1]}} {
			w.want("mail/s1", wants[0], wants[1])
			w.run(4 * time.Second)
			if n, most := w.sum("mail/s1"), max(wants[0], wants[1]); n < most-1 || n == 0 || n > most {
				t.Errorf("limits %v, step %d: %d are in use, want %d or all but one: %s", limits, i, n, most, w.tells("mail/s1"))
			}
		}
	}
}

// What a peer of a version tells that says nothing of its limits, or of one that
// has more limits than this, is heard as far as it goes.
func TestClaimsOfOtherVersions(t *testing.T) {
	for _, c := range []struct {
		server []byte
		want   telling
	}{
		{[]byte{0x95, 5, 0, 3, 2, 1}, telling{told{3, 2, 1}, 0, true}},
		{[]byte{0x96, 5, 0, 3, 2, 1, 9}, telling{told{3, 2, 1}, 9, true}},
		{[]byte{0x9b, 5, 0, 3, 2, 1, 77, 6, 6, 6, 9, 8}, telling{told{3, 2, 1}, 9, true}},
	} {
		r := wire.NewReader(append([]byte{0x91}, c.server...), ErrClaims)
		list := readTellings(&r)
		if err := r.Err(); err != nil || r.Left() > 0 || *list[5] != ([claimKinds]telling{c.want}) {
			t.Errorf("%x: %v, %v, want %v", c.server, list[5], err, c.want)
		}
	}
}

// A limit that falls by little is not exceeded, though there is enough for all.
func TestClaimsOfALimitThatFalls(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 1000})
	w.run(4 * time.Second)
	w.limits["mail/s1"], w.shaky = 990, w.now.Add(2*time.Second)
	w.run(4 * time.Second)
}

// What a peer loses, session by session, another has at once.
func TestClaimsFollow(t *testing.T) {
	w := newClaimSim(t, 1, 3, map[string]int64{"mail/s1": 3600})
	w.run(4 * time.Second)
	w.want("mail/s1", 3400, 0, 0)
	w.run(16 * time.Second)
	w.want("mail/s1", 0, 3400, 0)
	for range 10 {
		w.run(time.Second)
		if n := w.sum("mail/s1"); n < 3400 {
			t.Fatalf("%d of 3600 are in use, though many wait: %s", n, w.tells("mail/s1"))
		}
	}
}

// What one of many peers wants it gets, though each of the others has but little
// more than it should.
func TestClaimsOfManyPeers(t *testing.T) {
	w := newClaimSim(t, 1, 10, map[string]int64{"mail/s1": 4000})
	w.run(4 * time.Second)
	w.kill("lb5")
	w.run(5 * time.Second)
	w.boot("lb5").servers["mail/s1"].want = 3
	w.run(4 * time.Second)
	if s := w.procs["lb5"].servers["mail/s1"]; s.used[ClaimConn] != 3 || s.here[ClaimConn] != 400 {
		t.Errorf("%d of 3 sessions, a claim of %d, want 400: %s", s.used[ClaimConn], s.here[ClaimConn], w.tells("mail/s1"))
	}
}

// While there is enough for all, a claim that is off by little is left as it is,
// and nobody looks at it more often for that.
func TestClaimsAreLeftAlone(t *testing.T) {
	w := newClaimSim(t, 1, 3, map[string]int64{"mail/s1": 1000})
	w.want("mail/s1", 100, 100, 100)
	w.run(4 * time.Second)
	was := w.here("mail/s1")
	w.want("mail/s1", 110, 100, 100)
	w.run(4 * time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, was) {
		t.Errorf("claims %v, want %v", got, was)
	}
	for name, p := range w.procs {
		if p.soon {
			t.Errorf("%s wants to be called again at once", name)
		}
	}
}

// A peer that was started anew after its clock was set back is believed when the
// one before has been silent for a while.
func TestClaimsOfAnEarlierClock(t *testing.T) {
	w := newClaimSim(t, 1, 2, map[string]int64{"mail/s1": 10})
	w.run(4 * time.Second)
	w.runs = 0
	w.boot("lb2")
	w.run(claimMute + 3*time.Second)
	if got := w.here("mail/s1"); !slices.Equal(got, []int64{5, 5}) {
		t.Errorf("claims %v, want 5 each", got)
	}
}
