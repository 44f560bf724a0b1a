package sticktable

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// compare repairs what two tables can compare, as a link of peers does, and
// tells how many buckets differed.
func compare(t *testing.T, now time.Time, from, to *Table) (n int) {
	t.Helper()
	digests, part := (*Table).Digests, (*Table).Part
	if from.Shape() != to.Shape() {
		digests, part = (*Table).DigestsUnlike, (*Table).PartUnlike
	}
	masks, n := differing(digests(from, nil), digests(to, nil))
	for p, mask := range masks {
		for next, more := uint32(0), mask != 0; more; more = next != 0 {
			var b []byte
			b, next = part(from, nil, p, mask, next, 1000)
			mustMerge(t, now, to, b)
		}
	}
	return n
}

// Peers whose tables store different counters agree on who lives where, see
// the sums of those that both store, and find nothing to repair for ever; those
// whose tables are alike have all that the others do not know.
func TestTablesThatStoreOtherCounters(t *testing.T) {
	stores := [][]string{
		{"conn_cnt", "conn_cur", "sess_cnt", "conn_rate(10s)"}, {"conn_rate(10s)", "sess_cnt", "conn_cur", "conn_cnt"},
		{"conn_cnt", "auth_fail_cnt", "conn_rate(1m)"}, nil,
	}
	for seed := range uint64(10) {
		rnd, now := rand.New(rand.NewPCG(seed, 1)), start
		var tables []*Table
		for i, store := range stores {
			tb := New("sources", Config{Key: "src", Size: 1000, Expire: time.Hour, Store: store}, fmt.Sprint("lb", i))
			tb.Replicate(now)
			tables = append(tables, tb)
		}
		settleUnlike(t, now, tables)
		var pos [4][4]uint64
		for i := range tables {
			for j, from := range tables {
				pos[i][j] = from.Head()
			}
		}
		for range 300 {
			now = now.Add(time.Millisecond)
			p, key := tables[rnd.IntN(len(tables))], fmt.Sprint("192.0.2.", rnd.IntN(20))
			if rnd.IntN(4) == 0 {
				p.Assign(now, key, fmt.Sprint("s", rnd.IntN(3)), Entry{})
			}
			var v Values
			p.Count(now, key, &Counts{Conns: 1, Cur: 1, Sess: rnd.IntN(2), AuthFails: rnd.IntN(2)}, &v)
			to, from := rnd.IntN(len(tables)), rnd.IntN(len(tables))
			if to != from && rnd.IntN(3) == 0 {
				compare(t, now, tables[from], tables[to])
			}
			for to := range tables {
				from := rnd.IntN(len(tables))
				if to != from && rnd.IntN(2) == 0 {
					pull(t, now, tables[from], tables[to], &pos[to][from])
				}
			}
		}
		for to := range tables {
			for from := range tables {
				if to != from {
					pull(t, now, tables[from], tables[to], &pos[to][from])
				}
			}
		}
		settleUnlike(t, now, tables)
		for i := range 20 {
			key := fmt.Sprint("192.0.2.", i)
			a, okA := tables[0].Values(now, key)
			b, okB := tables[1].Values(now, key)
			c, _ := tables[2].Values(now, key)
			if okA != okB || a != b || a[ConnCnt] != c[ConnCnt] || c[SessCnt] != 0 {
				t.Errorf("seed %d: %s is counted as %v, %v and, by who stores others, %v", seed, key, a, b, c)
			}
			for _, tb := range tables[1:] {
				x, _ := tables[0].Lookup(now, key)
				if y, _ := tb.Lookup(now, key); x.Server != y.Server {
					t.Errorf("seed %d: %s lives at %q, at another peer at %q", seed, key, x.Server, y.Server)
				}
			}
		}
	}
}

func pull(t *testing.T, now time.Time, from, to *Table, pos *uint64) {
	t.Helper()
	b, next, ok := from.Pull(nil, *pos, 1<<20)
	if !ok {
		t.Fatal("the journal has gone on")
	}
	if *pos = next; len(b) > 0 {
		mustMerge(t, now, to, b)
	}
}

// settleUnlike compares all pairs until nothing differs.
func settleUnlike(t *testing.T, now time.Time, tables []*Table) {
	t.Helper()
	for range 8 {
		n := 0
		for _, from := range tables {
			for _, to := range tables {
				n += compare(t, now, from, to)
			}
		}
		if n == 0 {
			return
		}
	}
	t.Fatal("there is always something to repair")
}

// The order in which counters stand in the file is no difference, periods are.
func TestShape(t *testing.T) {
	shape := func(store ...string) uint64 {
		return New("t", Config{Key: "src", Size: 1, Expire: time.Hour, Store: store}, "lb").Shape()
	}
	if shape("conn_cnt", "conn_rate(10s)") != shape("conn_rate(10s)", "conn_cnt") {
		t.Error("the order makes a difference")
	}
	seen := map[uint64]bool{}
	for _, store := range [][]string{nil, {"conn_cnt"}, {"conn_rate(10s)"}, {"conn_rate(11s)"}, {"conn_cnt", "conn_rate(10s)"}, {"sess_cnt"}} {
		if s := shape(store...); seen[s] || (s == 0) != (store == nil) {
			t.Errorf("%v has the shape %x", store, s)
		} else {
			seen[s] = true
		}
	}
}

// A table that stores more from now on keeps what it had, and a peer that was
// wider before it tells it again what it passed over; digests and room stay
// right. Nothing is taken away, and no period changed.
func TestWiden(t *testing.T) {
	narrow, wide := []string{"conn_cnt", "gpt0", "conn_rate(10s)"}, []string{"conn_rate(10s)", "auth_fail_cnt", "conn_cur", "conn_cnt", "gpt0", "sess_rate(1m)"}
	store, err := ParseStore(wide)
	if err != nil {
		t.Fatal(err)
	}
	now := start
	var tables []*Table
	for i := range 3 {
		tb := New("sources", Config{Key: "src", Size: 1000, Expire: time.Hour, Store: narrow}, fmt.Sprint("lb", i))
		tb.Replicate(now)
		tables = append(tables, tb)
	}
	none := New("sources", Config{Key: "src", Size: 1000, Expire: time.Hour}, "lb3")
	none.Replicate(now)
	tables = append(tables, none)
	work := func() {
		for i := range 400 {
			now = now.Add(time.Millisecond)
			var v Values
			tables[i%len(tables)].Count(now, fmt.Sprint("192.0.2.", i%50), &Counts{Conns: 1, Cur: 1, Sess: 1, AuthFails: 1}, &v)
		}
		if err := tables[0].Put(now, "192.0.2.1", GPT0, 7); err != nil {
			t.Fatal(err)
		}
		settleUnlike(t, now, tables)
	}
	work()
	for i, tb := range tables {
		before, _ := tb.Values(now, "192.0.2.1")
		if tb.Widen(store); tb.Stored() != store {
			t.Fatalf("lb%d was not widened", i)
		}
		checkTable(t, tb)
		after, _ := tb.Values(now, "192.0.2.1")
		if before[ConnCnt] != after[ConnCnt] || before[ConnRate] != after[ConnRate] || before[GPT0] != after[GPT0] {
			t.Errorf("lb%d has %v, before it was widened %v", i, after, before)
		}
		work()
		checkTable(t, tb)
	}
	want, _ := tables[0].Values(now, "192.0.2.1")
	for i, tb := range tables {
		if got, _ := tb.Values(now, "192.0.2.1"); got != want || got[AuthFailCnt] == 0 {
			t.Errorf("lb%d counts %v, lb0 %v", i, got, want)
		}
		less, _ := ParseStore(narrow)
		other, _ := ParseStore([]string{"conn_rate(11s)", "auth_fail_cnt", "conn_cur", "conn_cnt", "gpt0", "sess_rate(1m)"})
		tb.Widen(less)
		if tb.Widen(other); tb.Stored() != store {
			t.Errorf("lb%d was narrowed", i)
		}
	}
}

// Counting, merging and comparing go on while a table is widened.
func TestWidenWhileUsed(t *testing.T) {
	one, two := New("sources", Config{Key: "src", Size: 1000, Expire: time.Hour}, "lb0"), countingPeer("lb1")
	one.Replicate(start)
	var users sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		users.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				now, key := start.Add(time.Duration(n)*time.Millisecond), fmt.Sprint("192.0.2.", n%100)
				var v Values
				switch i {
				case 0:
					one.Count(now, key, &Counts{Conns: 1, Cur: 1}, &v)
					one.Values(now, key)
				case 1:
					two.Count(now, key, &Counts{Conns: 1, Cur: 1}, &v)
					b, _ := two.Part(nil, n%numShards, 1<<numBuckets-1, 0, 1<<16)
					_, _ = one.Merge(now, "lb1", b) // it may be too far ahead: that is no matter here
				default:
					one.Digests(nil)
					_, _ = one.Part(nil, n%numShards, 1<<numBuckets-1, 0, 1<<16)
				}
			}
		})
	}
	for i := range everyCounter {
		store, err := ParseStore(everyCounter[:i+1])
		if err != nil {
			t.Fatal(err)
		}
		one.Widen(store)
	}
	close(stop)
	users.Wait()
	checkTable(t, one)
}
