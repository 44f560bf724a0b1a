package sticktable

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// countingPeer is a table with all counters that peers share.
func countingPeer(self string) *Table {
	tb := New("users", Config{Key: "user", Size: 1000, Expire: time.Hour, Store: everyCounter}, self)
	tb.Replicate(start)
	return tb
}

// Each peer counts for itself, and all see the sums, whatever gets lost, comes
// twice or late; a peer that starts anew takes back what it had counted, but
// not its connections.
func TestCountsConvergeOverABadNetwork(t *testing.T) {
	for seed := range uint64(12) {
		c := newCluster(t, 3, seed)
		for i := range c.tables {
			c.tables[i] = countingPeer(fmt.Sprint("lb", i))
			for j := range c.tables {
				c.pos[j][i] = c.tables[i].Head()
			}
		}
		want := map[string]*Values{}
		var cur [3]map[string]int64
		for i := range cur {
			cur[i] = map[string]int64{}
		}
		for step := range 800 {
			c.now = c.now.Add(time.Duration(c.rng.IntN(3)) * time.Millisecond)
			p, key := c.rng.IntN(3), fmt.Sprint("user", c.rng.IntN(20))
			x := Counts{Conns: c.rng.IntN(2), Sess: c.rng.IntN(2), AuthFails: c.rng.IntN(3), In: int64(c.rng.IntN(100)), Cur: 1}
			if cur[p][key] > 0 && c.rng.IntN(2) == 0 {
				x.Cur = -1
			}
			var v Values
			if !c.tables[p].Count(c.now, key, &x, &v) {
				t.Fatal("not counted")
			}
			cur[p][key] += int64(x.Cur)
			if want[key] == nil {
				want[key] = &Values{}
			}
			for d, n := range map[Data]int64{
				ConnCnt: int64(x.Conns), ConnRate: int64(x.Conns), SessCnt: int64(x.Sess), SessRate: int64(x.Sess),
				AuthFailCnt: int64(x.AuthFails), AuthFailRate: int64(x.AuthFails), BytesInCnt: x.In,
			} {
				want[key][d] += n
			}
			c.carry()
			if step == 400 && seed%2 == 1 { // lb2 starts anew, and learns
				settle(t, c.now, c.tables)
				c.tables[2] = New("users", Config{Key: "user", Size: 1000, Expire: time.Hour, Store: everyCounter}, "lb2")
				c.now = c.now.Add(time.Second)
				c.tables[2].Replicate(c.now)
				settle(t, c.now, c.tables)
				clear(cur[2])
				for i := range c.tables {
					c.pos[i][2] = c.tables[2].Head()
				}
			}
			if step == 600 && seed%3 == 0 { // lb1 is taken for dead, wrongly
				c.tables[0].Void(c.now, "lb1")
			}
		}
		settle(t, c.now, c.tables)
		for p := range c.tables {
			for _, b := range c.wire { // what is late changes nothing
				mustMerge(t, c.now, c.tables[p], b)
			}
		}
		settle(t, c.now, c.tables)
		allEqual(t, c.tables)
		for key, w := range want {
			w[ConnCur] = cur[0][key] + cur[1][key] + cur[2][key]
			for _, tb := range c.tables {
				if v, ok := tb.Values(c.now, key); !ok || v != *w {
					t.Fatalf("seed %d: %s has %v of %s, want %v", seed, tb.Self(), v, key, *w)
				}
			}
		}
	}
}

// The order in which counts come does not matter, nor who tells of them.
func TestCountsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 50 {
		from, pos := []*Table{countingPeer("lb1"), countingPeer("lb2")}, []uint64{0, 0}
		var blobs [][]byte
		for i := range from {
			pos[i] = from[i].Head()
		}
		for range 20 {
			i, now := rng.IntN(2), start.Add(time.Duration(rng.IntN(3000))*time.Millisecond)
			var v Values
			from[i].Count(now, fmt.Sprint("u", rng.IntN(3)), &Counts{Conns: 1, Cur: rng.IntN(2), AuthFails: 1}, &v)
			b, next, _ := from[i].Pull(nil, pos[i], 1000)
			pos[i] = next
			blobs = append(blobs, b)
		}
		at := start.Add(3 * time.Second)
		one, two, three := countingPeer("lb3"), countingPeer("lb4"), countingPeer("lb5")
		mustMerge(t, at, one, blobs...)
		again := append(slices.Clone(blobs), blobs...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		mustMerge(t, at, two, again...)
		learnAll(t, at, one, three)
		for i := range 3 {
			key := fmt.Sprint("u", i)
			a, _ := one.Values(at, key)
			b, _ := two.Values(at, key)
			c, _ := three.Values(at, key)
			if a != b || a != c {
				t.Fatalf("%s: %v, %v in another order, %v at second hand", key, a, b, c)
			}
		}
	}
}

// A peer's clock may be ahead by some seconds: its rates are as old as it says.
func TestRatesDoNotCareForClocks(t *testing.T) {
	ahead, here := countingPeer("lb1"), countingPeer("lb2")
	pos := ahead.Head()
	var v Values
	theirs := start.Add(7 * time.Second)
	ahead.Count(theirs, "a", &Counts{Conns: 100}, &v)
	ahead.Sweep(theirs.Add(15*time.Second), 1) // half of its last period is over
	b, _, _ := ahead.Pull(nil, pos, 1000)
	now := start.Add(15 * time.Second)
	mustMerge(t, now, here, b)
	if v, _ := here.Values(now, "a"); v[ConnRate] != 50 {
		t.Errorf("conn_rate %d, want 50", v[ConnRate])
	}
}

// A key that changes all the time makes no more marks than are read.
func TestCountsCoalesceInTheJournal(t *testing.T) {
	tb := countingPeer("lb1")
	pos, woken := tb.Head(), 0
	tb.Watch(func() { woken++ })
	var v Values
	for range 1000 {
		tb.Count(start, "a", &Counts{Conns: 1}, &v)
	}
	if n := tb.Head() - pos; n != 1 || woken != 1 {
		t.Errorf("%d marks, woken %d times", n, woken)
	}
	other := countingPeer("lb2")
	for i := range int64(3) {
		b, next, ok := tb.Pull(nil, pos, 1000)
		if !ok {
			t.Fatal("position is not held")
		}
		mustMerge(t, start, other, b)
		if v, _ := other.Values(start, "a"); v[ConnCnt] != 1000+i {
			t.Fatalf("told %d, want %d", v[ConnCnt], 1000+i)
		}
		pos = next
		tb.Count(start, "a", &Counts{Conns: 1}, &v)
	}
}

// Who begins at the head passes over marks that nobody has read: what changes
// then gets a new one.
func TestCountsAreToldToWhoBeginsAtTheHead(t *testing.T) {
	tb, other := countingPeer("lb1"), countingPeer("lb2")
	var v Values
	tb.Count(start, "a", &Counts{Conns: 1}, &v)
	pos := tb.Head()
	tb.Count(start, "a", &Counts{Conns: 1}, &v)
	b, _, _ := tb.Pull(nil, pos, 1000)
	mustMerge(t, start, other, b)
	if v, _ := other.Values(start, "a"); v[ConnCnt] != 2 {
		t.Errorf("told %d connections, want 2", v[ConnCnt])
	}
}

// The bytes stay as they are, and a table that has other counters, or none,
// takes what it knows.
func TestCountsOnTheWire(t *testing.T) {
	tb := New("sources", Config{Key: "src", Size: 10, Expire: time.Hour, Store: []string{"conn_cnt", "conn_rate(10s)", "gpt0"}}, "lb1")
	tb.Replicate(start)
	pos := tb.Head()
	var v Values
	tb.Count(start, "::", &Counts{Conns: 1, Cur: 2}, &v)
	b, _, _ := tb.Pull(nil, pos, 1000)
	want := "960191a36c6231909090919" + "3a23a3acf0000018bcfe5680091" + "9400cf018bcfe56800000102929204019505cd2710000001"
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("bytes\n%s, want\n%s", got, want)
	}
	for _, c := range []struct {
		store []string
		want  Values
	}{
		{nil, Values{}}, {[]string{"auth_fail_cnt"}, Values{}}, {[]string{"conn_rate(10s)"}, Values{ConnRate: 1}},
		{[]string{"conn_rate(20s)", "conn_cnt", "conn_cur"}, Values{ConnCnt: 1, ConnCur: 2}},
	} {
		other := New("sources", Config{Key: "src", Size: 10, Expire: time.Hour, Store: c.store}, "lb2")
		other.Replicate(start)
		mustMerge(t, start, other, b)
		if v, _ := other.Values(start, "::"); v != c.want {
			t.Errorf("a table of %v took %v, want %v", c.store, v, c.want)
		}
	}
}

func TestCountsRefused(t *testing.T) {
	ok := []any{uint64(4), 1}
	slot := func(version, cur uint64, counters ...any) []any {
		return []any{"k", uint64(start.UnixMilli()), []any{[]any{0, version, cur, counters}}}
	}
	for name, c := range map[string]struct {
		counts []any
		want   error
	}{
		"good":            {slot(wall(start), 1, ok), nil},
		"unknown counter": {slot(wall(start), 1, []any{uint64(9000), "what", []any{}}), nil},
		"more fields":     {slot(wall(start), 1, []any{uint64(4), 1, "more"}), nil},
		"no version":      {slot(0, 1, ok), ErrStamp},
		"version ahead":   {slot(wall(start.Add(2*time.Minute)), 1, ok), ErrStamp},
		"mark ahead":      {slot(wall(start), 1, []any{uint64(1), wall(start.Add(2 * time.Minute)), 1}), ErrStamp},
		"used ahead":      {[]any{"k", uint64(1) << 62, []any{}}, ErrStamp},
		"many now":        {slot(wall(start), 1<<32, ok), ErrMessage},
		"many events":     {slot(wall(start), 1, []any{uint64(5), 10000, 0, uint64(1) << 32, 0}), ErrMessage},
		"short rate":      {slot(wall(start), 1, []any{uint64(5), 10000}), ErrMessage},
		"no key":          {[]any{"", 1, []any{}}, ErrMessage},
	} {
		b, err := msgpack.Marshal([]any{blobVersion, []string{"lb2"}, []any{}, []any{}, []any{}, []any{c.counts}})
		if err != nil {
			t.Fatal(err)
		}
		tb := countingPeer("lb1")
		if _, err := tb.Merge(start, "lb2", b); !errors.Is(err, c.want) || (c.want != nil) != (tb.Len() == 0) {
			t.Errorf("%s: %v, %d entries, want %v", name, err, tb.Len(), c.want)
		}
	}
}

// An entry that as many peers count as there may be fits into a blob, and no
// more are taken.
func TestCountsOfManyPeersAreBounded(t *testing.T) {
	tb := countingPeer("lb1")
	full := []any{uint64(5), 10_000, 1000, uint64(maxEvents), uint64(maxEvents)}
	counts := []any{full, []any{uint64(1), wall(start), uint64(1) << 62}}
	for _, id := range []uint64{2, 4, 7, 13, 15, 64} {
		counts = append(counts, []any{id, uint64(1) << 62})
	}
	for i := range maxSlots + 10 {
		b, err := msgpack.Marshal([]any{blobVersion, []string{fmt.Sprint("peer", i)}, []any{}, []any{}, []any{}, []any{
			[]any{"k", uint64(start.UnixMilli()), []any{[]any{0, wall(start), uint64(1)<<32 - 1, counts}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		mustMerge(t, start, tb, b)
	}
	var v Values
	if !tb.Count(start, "k", &Counts{Conns: 1}, &v) {
		t.Error("this peer cannot count any more")
	}
	b, next := tb.Part(nil, int(shardOf(keyHash("k"))), math.MaxUint16, 0, MaxBlob)
	if len(b) < 100*maxSlots || len(b) > MaxBlob || next != 0 {
		t.Errorf("blob of %d bytes, at most %d", len(b), MaxBlob)
	}
	if peers := tb.Holders(); len(peers) != maxSlots-1 {
		t.Errorf("slots of %d other peers, want %d", len(peers), maxSlots-1)
	}
	other := countingPeer("lb2")
	mustMerge(t, start, other, b)
	checkTable(t, other)
}
