package sticktable

import (
	"bytes"
	"testing"
	"time"
)

var everyCounter = []string{
	"conn_cnt", "conn_cur", "conn_rate(10s)", "sess_cnt", "sess_rate(60s)", "bytes_in_cnt", "bytes_out_cnt",
	"gpc0", "gpt0", "auth_fail_cnt", "auth_fail_rate(60s)",
}

func sources(size int, store ...string) *Table {
	return New("sources", Config{Key: "src", Size: size, Expire: time.Minute, Store: store}, "lb1")
}

func TestCount(t *testing.T) {
	tb := sources(10, everyCounter...)
	var v Values
	for range 3 {
		tb.Count(start, "192.0.2.1", &Counts{Conns: 1, Cur: 1}, &v)
	}
	tb.Count(start, "192.0.2.1", &Counts{Sess: 1, AuthFails: 2}, &v)
	if !tb.Count(start, "192.0.2.1", &Counts{Cur: -1, In: 5, Out: 1 << 40}, &v) {
		t.Fatal("not counted")
	}
	want := Values{
		ConnCnt: 3, ConnRate: 3, ConnCur: 2, SessCnt: 1, SessRate: 1, AuthFailCnt: 2, AuthFailRate: 2,
		BytesInCnt: 5, BytesOutCnt: 1 << 40,
	}
	if v != want {
		t.Errorf("counted %v, want %v", v, want)
	}
	want[ConnRate] = 1 // a third of 3
	if v, ok := tb.Values(start.Add(16*time.Second), "192.0.2.1"); !ok || v != want {
		t.Errorf("16 s later %v, %v, want %v", v, ok, want)
	}
	if _, ok := tb.Values(start, "192.0.2.2"); ok || tb.Len() != 1 {
		t.Error("another key has counters")
	}
	few := sources(10, "conn_rate(1s)")
	few.Count(start, "192.0.2.1", &Counts{Conns: 1, Cur: 1, Sess: 1, AuthFails: 1, In: 1, Out: 1}, &v)
	if v != (Values{ConnRate: 1}) {
		t.Errorf("a table of one counter has %v", v)
	}
	if newTable(10, time.Hour).Count(start, "a", &Counts{Conns: 1}, &v) || sources(10, "gpt0").Count(start, "b", &Counts{Known: true}, &v) {
		t.Error("counted without counters, or without an entry")
	}
}

// An entry stays while it has connections, and then expires like others; what
// comes after that begins anew.
func TestConnectionsHoldTheEntry(t *testing.T) {
	tb := sources(1, "conn_cur", "conn_cnt")
	var v Values
	tb.Count(start, "a", &Counts{Conns: 1, Cur: 1}, &v)
	day := start.Add(24 * time.Hour)
	tb.Sweep(day, 10)
	if v, ok := tb.Values(day, "a"); !ok || v[ConnCur] != 1 {
		t.Errorf("a day later %v, %v", v, ok)
	}
	if tb.Count(day, "b", &Counts{Conns: 1, Cur: 1}, &v) || tb.Refused() != 1 {
		t.Error("a table full of connections took another")
	}
	if ok, inUse := tb.Delete("a"); ok || !inUse {
		t.Error("deleted in use")
	}
	tb.Count(day, "a", &Counts{Cur: -1}, &v)
	if _, ok := tb.Values(day.Add(time.Minute), "a"); ok {
		t.Error("it did not expire")
	}
	if tb.Count(day.Add(time.Minute), "a", &Counts{Conns: 1}, &v); v[ConnCnt] != 1 || tb.Len() != 1 {
		t.Errorf("anew: %v, %d entries", v, tb.Len())
	}
	if tb.Sweep(day.Add(2*time.Minute), 10) != 1 || tb.Len() != 0 {
		t.Error("it was not swept")
	}
}

// Slots of entries that went are used again, and hold nothing of them.
func TestCountersAreBounded(t *testing.T) {
	tb := sources(100, everyCounter...)
	var v Values
	for i := range 20_000 {
		key := string([]byte{byte(i), byte(i >> 8), 'x'})
		if !tb.Count(start.Add(time.Duration(i)), key, &Counts{Conns: 1, AuthFails: 1}, &v) || v[ConnCnt] != 1 || v[AuthFailRate] != 1 {
			t.Fatalf("key %d counted %v", i, v)
		}
	}
	slots := 0
	for i := range tb.shards {
		slots += int(tb.shards[i].counters.top)
	}
	if tb.Len() != 100 || slots > 2500 {
		t.Errorf("%d entries, %d slots", tb.Len(), slots)
	}
}

// Entries that nobody has assigned are not saved yet.
func TestCountsAreNotSaved(t *testing.T) {
	tb := sources(10, "conn_cnt")
	var v Values
	tb.Count(start, "192.0.2.1", &Counts{Conns: 1}, &v)
	var file bytes.Buffer
	if err := tb.Save(start, &file); err != nil {
		t.Fatal(err)
	}
	if n, err := sources(10, "conn_cnt").Load(start, &file); n != 0 || err != nil {
		t.Errorf("loaded %d, %v", n, err)
	}
}

func TestCountAllocatesNothing(t *testing.T) {
	tb := sources(10, everyCounter...)
	var v Values
	tb.Count(start, "192.0.2.1", &Counts{Conns: 1}, &v)
	if n := testing.AllocsPerRun(100, func() {
		tb.Count(start, "192.0.2.1", &Counts{Conns: 1, Cur: 1, In: 1}, &v)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A counter is set for all peers, though each writes its own part only; a mark
// is that of the last who set it.
func TestPut(t *testing.T) {
	a, b := countingPeer("lb1"), countingPeer("lb2")
	var v Values
	a.Count(start, "k", &Counts{Conns: 10, Cur: 1}, &v)
	b.Count(start, "k", &Counts{Conns: 5}, &v)
	exchange := func() { learnAll(t, start, a, b); learnAll(t, start, b, a) }
	exchange()
	for _, x := range []struct {
		on   *Table
		d    Data
		n    int64
		want int64
	}{
		{a, ConnCnt, 7, 7}, {b, ConnCnt, 100, 100}, {a, ConnCnt, 0, 0},
		{a, ConnRate, 50, 50}, {a, ConnRate, 1, 5}, // b's
		{a, GPT0, 3, 3}, {b, GPT0, 2, 2}, {a, GPC0, 4, 4},
	} {
		if err := x.on.Put(start, "k", x.d, x.n); err != nil {
			t.Fatal(err)
		}
		exchange()
		for _, tb := range []*Table{a, b} {
			if v, _ := tb.Values(start, "k"); v[x.d] != x.want || v[ConnCur] != 1 {
				t.Errorf("%s: %s set to %d at %s is %d, want %d", tb.Self(), x.d, x.n, x.on.Self(), v[x.d], x.want)
			}
		}
	}
	if a.Put(start, "k", ConnCur, 1) == nil || a.Put(start, "", GPC0, 1) == nil || newTable(1, time.Hour).Put(start, "k", GPC0, 1) == nil {
		t.Error("what cannot be set was set")
	}
}
