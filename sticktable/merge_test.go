package sticktable

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// randomUpdate is an update of few keys, servers, peers and times, so that
// many of them meet, ties too.
func randomUpdate(rng *rand.Rand) Update {
	at := wall(start) + uint64(rng.IntN(4))
	u := Update{
		Key: fmt.Sprint("u", rng.IntN(3)), Server: fmt.Sprint("s", rng.IntN(3)),
		Time: at, Writer: fmt.Sprint("lb", rng.IntN(3)),
		LastUsed: start.UnixMilli() + int64(rng.IntN(5)),
	}
	for range rng.IntN(3) {
		u.Slots = append(u.Slots, Slot{
			Peer: fmt.Sprint("lb", rng.IntN(4)), Count: uint32(rng.IntN(3)), Version: at + uint64(rng.IntN(4)),
		})
	}
	return u
}

// content is what a table holds, comparable between tables.
func content(tb *Table) map[string]Update {
	all := map[string]Update{}
	for i := range 3 {
		if u, ok := tb.Update(fmt.Sprint("u", i)); ok {
			slices.SortFunc(u.Slots, func(a, b Slot) int { return cmp.Compare(a.Peer, b.Peer) })
			all[u.Key] = u
		}
	}
	return all
}

func merged(t *testing.T, updates ...Update) *Table {
	t.Helper()
	tb := newTable(100, time.Hour)
	for _, u := range updates {
		if _, err := tb.MergeUpdate(start, u); err != nil {
			t.Fatalf("Merge(%+v) = %v", u, err)
		}
	}
	return tb
}

// Commutative and idempotent: any order, any repetition gives the same table.
func TestMergeInAnyOrderAndTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var updates []Update
		for range 2 + rng.IntN(8) {
			updates = append(updates, randomUpdate(rng))
		}
		want := content(merged(t, updates...))
		again := append(slices.Clone(updates), updates[:1+rng.IntN(len(updates))]...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		if got := content(merged(t, again...)); !reflect.DeepEqual(got, want) {
			t.Fatalf("merged %+v\nin another order %+v\ngot  %+v\nwant %+v", updates, again, got, want)
		}
	}
}

// Associative: to hear of a and b from a peer that merged them is the same as
// to hear of each.
func TestMergeOfMerged(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		a, b, c := randomUpdate(rng), randomUpdate(rng), randomUpdate(rng)
		want := content(merged(t, a, b, c))
		between := merged(t, b, c)
		told := []Update{a}
		for _, u := range content(between) {
			told = append(told, u)
		}
		if got := content(merged(t, told...)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v\n%+v\n%+v\ngot  %+v\nwant %+v", a, b, c, got, want)
		}
	}
}

// Two peers that exchange all they do hold the same in the end.
func TestPeersConverge(t *testing.T) {
	peers := []*Table{
		New("users", Config{Size: 100, Expire: time.Hour}, "lb1"),
		New("users", Config{Size: 100, Expire: time.Hour}, "lb2"),
	}
	rng := rand.New(rand.NewPCG(7, 8))
	var sessions [2][3]int
	for step := range 400 {
		p, i := rng.IntN(2), rng.IntN(3)
		tb, key := peers[p], fmt.Sprint("u", i)
		now := start.Add(time.Duration(step) * time.Millisecond)
		e, ok := tb.Lookup(now, key)
		switch op := rng.IntN(4); {
		case !ok:
			tb.Assign(now, key, fmt.Sprint("s", p), e)
		case op == 0:
			tb.Set(now, key, fmt.Sprint("s", rng.IntN(5)))
		case op == 1 && sessions[p][i] > 0:
			tb.Leave(now, key)
			sessions[p][i]--
		default:
			tb.Enter(now, key, e.Server)
			sessions[p][i]++
		}
		if rng.IntN(3) == 0 { // some are lost
			u, _ := tb.Update(key)
			peers[1-p].MergeUpdate(now, u)
		}
	}
	now := start.Add(time.Second)
	for p, tb := range peers {
		for _, u := range content(tb) {
			if _, err := peers[1-p].MergeUpdate(now, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a, b := content(peers[0]), content(peers[1]); !reflect.DeepEqual(a, b) {
		t.Fatalf("lb1 holds %+v\nlb2 holds %+v", a, b)
	}
	for i := range 3 {
		e, _ := peers[0].Lookup(now, fmt.Sprint("u", i))
		if want := sessions[0][i] + sessions[1][i]; e.Sessions != want || e.Local != sessions[0][i] {
			t.Errorf("u%d has %d sessions, %d here, want %d and %d", i, e.Sessions, e.Local, want, sessions[0][i])
		}
	}
}

func TestMergeTellsOfAMove(t *testing.T) {
	tb := newTable(10, time.Hour)
	e := mustAssign(t, tb, start, "alice", "s1")
	tb.Enter(start, "alice", "s1")
	u := Update{Key: "alice", Server: "s2", Time: e.Stamp.Time + 9, Writer: "lb2", LastUsed: start.UnixMilli()}
	if m, err := tb.MergeUpdate(start, u); err != nil || m != (Merged{Moved: true, From: "s1", Local: 1}) {
		t.Fatalf("Merge = %+v, %v, want moved from s1 with a session here", m, err)
	}
	if m, err := tb.MergeUpdate(start, u); err != nil || m.Moved {
		t.Fatalf("Merge again = %+v, %v, want no move", m, err)
	}
	if e, ok := tb.Assign(start, "bob", "s1", Entry{}); !ok || e.Stamp.Time <= u.Time {
		t.Fatalf("stamp %d, want it behind the one heard of, %d", e.Stamp.Time, u.Time)
	}
}

func TestMergeRefusesTheImpossible(t *testing.T) {
	good := Update{Key: "a", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli()}
	future := wall(start.Add(2 * time.Minute))
	for name, c := range map[string]struct {
		spoil func(*Update)
		want  error
	}{
		"time ahead":         {func(u *Update) { u.Time = future }, ErrStamp},
		"time greatest":      {func(u *Update) { u.Time = 1<<64 - 1 }, ErrStamp},
		"no time":            {func(u *Update) { u.Time = 0 }, ErrStamp},
		"slot version ahead": {func(u *Update) { u.Slots = []Slot{{"lb2", 1, future}} }, ErrStamp},
		"used ahead":         {func(u *Update) { u.LastUsed = start.Add(time.Hour).UnixMilli() }, ErrStamp},
		"used before 1970":   {func(u *Update) { u.LastUsed = -1 }, ErrStamp},
		"no key":             {func(u *Update) { u.Key = "" }, ErrKey},
		"no server":          {func(u *Update) { u.Server = "" }, ErrName},
		"no writer":          {func(u *Update) { u.Writer = "" }, ErrName},
		"nameless slot":      {func(u *Update) { u.Slots = []Slot{{"", 1, wall(start)}} }, ErrName},
	} {
		tb := newTable(10, time.Hour)
		u := good
		c.spoil(&u)
		if _, err := tb.MergeUpdate(start, u); !errors.Is(err, c.want) || tb.Len() != 0 {
			t.Errorf("%s: Merge = %v, Len %d, want %v and nothing", name, err, tb.Len(), c.want)
		}
	}
}

// A peer's sessions hold the entry, and their end lets it age from then on.
func TestSlotsOfPeersHoldTheEntry(t *testing.T) {
	tb := newTable(10, time.Minute)
	u := Update{
		Key: "a", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli(),
		Slots: []Slot{{"lb2", 2, wall(start)}},
	}
	tb.MergeUpdate(start, u)
	day := start.Add(24 * time.Hour)
	if e, ok := tb.Lookup(day, "a"); !ok || e.Sessions != 2 || e.Local != 0 {
		t.Fatalf("Lookup = %+v, %v, want the peer's 2 sessions", e, ok)
	}
	u.LastUsed = day.UnixMilli()
	u.Slots = []Slot{{"lb2", 0, wall(day)}}
	tb.MergeUpdate(day, u)
	wantServer(t, tb, day.Add(59*time.Second), "a", "s1")
	wantServer(t, tb, day.Add(time.Minute), "a", "")
	if tb.Sweep(day.Add(time.Minute), 10) != 1 {
		t.Fatal("Sweep did not find the entry")
	}
	if tb.MergeUpdate(day.Add(time.Minute), u); tb.Len() != 0 {
		t.Fatal("an update that had expired made an entry")
	}
}

func FuzzMerge(f *testing.F) {
	for _, u := range []Update{
		{Key: "a", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli()},
		{Key: "a", Server: "s1", Time: wall(start), Writer: "lb2", Slots: []Slot{{"lb1", 1, 5}, {"lb3", 2, 6}, {"lb3", 0, 7}}},
	} {
		f.Add(AppendUpdates(nil, []Update{u}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		updates, err := DecodeUpdates(b)
		if err != nil {
			return
		}
		one, two := newTable(4, time.Hour), newTable(1<<20, time.Hour)
		for _, u := range updates {
			_, err1 := one.MergeUpdate(start, u)
			_, err2 := two.MergeUpdate(start, u)
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("Merge = %v in a small table, %v in a big one", err1, err2)
			}
		}
		if one.Len() > 4 {
			t.Fatalf("Len = %d, more than the size 4", one.Len())
		}
		two.Range(start, func(e Entry) bool {
			u, ok := two.Update(e.Key)
			if m, err := two.MergeUpdate(start, u); !ok || err != nil || m.Moved {
				t.Fatalf("own update of %q = %+v, merged: %+v, %v", e.Key, u, m, err)
			}
			return true
		})
	})
}
