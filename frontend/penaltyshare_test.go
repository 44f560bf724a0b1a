package frontend

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"imaplb/wire"
)

// penaltyPeers are engines that tell each other of penalties.
func penaltyPeers(n int, born time.Time) (list []*Engine) {
	for range n {
		e := &Engine{penalties: newPenalties(born)}
		e.SharePenalties()
		list = append(list, e)
	}
	return list
}

// level is that of a source at a peer.
func (e *Engine) levelAt(now time.Time, src netip.Addr) int {
	n, _ := e.penalties.look(now, src)
	return n
}

// Who guesses at many peers in turn is as late as at one; who says one wrong
// password to all of them is not.
func TestPenaltiesAreShared(t *testing.T) {
	now := time.Now()
	all := penaltyPeers(3, now)
	tell := func(from *Engine) {
		b := from.TellPenalties(now, nil)
		for _, e := range all {
			if e != from {
				if err := e.HearPenalties(now, b); err != nil && len(b) > 0 {
					t.Fatal(err)
				}
			}
		}
	}
	for i := range 2 * maxLevel {
		now = now.Add(10 * time.Millisecond)
		e := all[i%len(all)]
		want := min(i+1, maxLevel)
		if level, _ := e.penalties.wrong(now, client1, "alice", fmt.Append(nil, i)); level != want {
			t.Errorf("guess %d has level %d, want %d", i, level, want)
		}
		tell(e)
		tell(e) // nothing is left to tell
		for _, e := range all {
			if got := e.levelAt(now, client1); got != want {
				t.Errorf("behind guess %d a peer has level %d, want %d", i, got, want)
			}
		}
	}
	old := netip.MustParseAddr("192.0.2.2")
	for range 10 {
		for _, e := range all {
			e.penalties.wrong(now, old, "bob", []byte("old"))
			tell(e)
		}
	}
	if got := all[0].levelAt(now, old); got != len(all) {
		t.Errorf("one wrong password said 10 times to each of %d peers has level %d", len(all), got)
	}
	for minute := range maxLevel + 1 {
		for _, e := range all {
			if got := e.levelAt(now.Add(time.Duration(minute)*time.Minute), client1); got > maxLevel-minute {
				t.Errorf("%d minutes later the level is %d", minute, got)
			}
		}
	}
}

// Messages may come twice, late, in any order, or not at all: the highest level
// stays, and what comes a minute late has fallen by the minute.
func TestPenaltiesMergeInAnyOrder(t *testing.T) {
	born := time.Now()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		from := penaltyPeers(1, born)[0]
		var messages [][]byte
		for i := range 8 {
			from.penalties.wrong(born, client1, "alice", fmt.Append(nil, i))
			messages = append(messages, from.TellPenalties(born, nil))
		}
		to := penaltyPeers(1, born)[0]
		for range 3 {
			rnd.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
			for _, b := range messages {
				if err := to.HearPenalties(born, b); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := to.levelAt(born, client1); got != 8 {
			t.Errorf("seed %d: level %d, want 8", seed, got)
		}
	}
}

// While nobody tells them the peers, no source is kept for it; else at most a
// message full.
func TestUntoldAreBounded(t *testing.T) {
	now := time.Now()
	e := &Engine{penalties: newPenalties(now)}
	addr := netip.MustParseAddr("10.0.0.0")
	guess := func(n int) {
		for range n {
			addr = addr.Next()
			e.penalties.wrong(now, addr, "alice", []byte("a"))
		}
	}
	guess(10)
	if n := len(e.penalties.untold.list); n != 0 {
		t.Errorf("%d sources are kept for nobody", n)
	}
	wake := e.SharePenalties()
	guess(3 * maxUntold)
	<-wake
	if n := len(e.penalties.untold.list); n != maxUntold {
		t.Errorf("%d sources wait, want %d", n, maxUntold)
	}
	b := e.TellPenalties(now, nil)
	if list, err := readPenalties(b); err != nil || len(list) > maxUntold || len(list) < maxUntold/2 || len(b) > 40*maxUntold { // some have left their set
		t.Errorf("a message of %d sources, %d bytes, %v", len(list), len(b), err)
	}
	if b := e.TellPenalties(now, nil); len(b) > 0 {
		t.Errorf("told again: %q", b)
	}
}

// message is one of penalties with these sources.
func penaltyMessage(version uint64, sources ...[]any) []byte {
	b := wire.AppendArray(wire.AppendUint(wire.AppendArray(nil, 2), version), len(sources))
	for _, s := range sources {
		b = wire.AppendBin(wire.AppendArray(b, len(s)), s[0].([]byte))
		for _, n := range s[1:] {
			b = wire.AppendUint(b, uint64(n.(int)))
		}
	}
	return b
}

func TestBadPenalties(t *testing.T) {
	now := time.Now()
	v4, v6 := []byte{192, 0, 2, 7}, netip.MustParseAddr("2001:db8::").AsSlice()
	for _, c := range []struct {
		name string
		b    []byte
		good bool
	}{
		{"one of each", penaltyMessage(1, []any{v4, 3, 0}, []any{v6, 10, 59_999}), true},
		{"more fields", penaltyMessage(1, []any{v4, 3, 0, 17}), true},
		{"none", penaltyMessage(1), true},
		{"nothing", nil, false},
		{"another version", penaltyMessage(2, []any{v4, 3, 0}), false},
		{"no level", penaltyMessage(1, []any{v4, 0, 0}), false},
		{"too high", penaltyMessage(1, []any{v4, 11, 0}), false},
		{"too old", penaltyMessage(1, []any{v4, 3, 60_000}), false},
		{"no address", penaltyMessage(1, []any{v4[:3], 3, 0}), false},
		{"an address within a /64", penaltyMessage(1, []any{netip.MustParseAddr("2001:db8::1").AsSlice(), 3, 0}), false},
		{"IPv4 within IPv6", penaltyMessage(1, []any{netip.MustParseAddr("::ffff:192.0.2.7").AsSlice(), 3, 0}), false},
		{"fields missing", penaltyMessage(1, []any{v4, 3}), false},
	} {
		e := penaltyPeers(1, now)[0]
		switch err := e.HearPenalties(now, c.b); {
		case c.good && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !c.good && !errors.Is(err, ErrPenalties):
			t.Errorf("%s: %v, want ErrPenalties", c.name, err)
		case !c.good && e.levelAt(now, netip.AddrFrom4([4]byte(v4))) != 0:
			t.Errorf("%s changed something", c.name)
		}
	}
}

// Whatever comes, no level is out of bounds, and what was heard is not told on.
func FuzzPenalties(f *testing.F) {
	v4 := []byte{192, 0, 2, 7}
	f.Add(penaltyMessage(1, []any{v4, 3, 0}, []any{v4, 10, 59_999}))
	f.Add(penaltyMessage(1, []any{v4, 3, 0, 1}))
	f.Add(penaltyMessage(9))
	f.Fuzz(func(t *testing.T, b []byte) {
		now := time.Now()
		e := penaltyPeers(1, now)[0]
		if err := e.HearPenalties(now, b); err != nil {
			return
		}
		list, _ := readPenalties(b)
		for _, s := range list {
			if n := e.levelAt(now, s.src); n < 0 || n > maxLevel || len(list) <= penaltyWays && n < int(s.level) {
				t.Errorf("%s has level %d, told was %d", s.src, n, s.level)
			}
		}
		if b := e.TellPenalties(now, nil); len(b) > 0 {
			t.Errorf("told on: %q", b)
		}
	})
}
