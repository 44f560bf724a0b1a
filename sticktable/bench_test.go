package sticktable

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const million = 1_000_000

// key20 is a user name of 20 bytes.
func key20(i int) string { return fmt.Sprintf("user%07d@mail.tst", i) }

func filled(b *testing.B, n int) (*Table, []string) {
	b.Helper()
	tb := New("users", Config{Size: million, Expire: time.Hour}, "lb1")
	keys := make([]string, n)
	for i := range keys {
		keys[i] = key20(i)
		tb.Assign(start, keys[i], "mail1", Entry{})
	}
	return tb, keys
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// BenchmarkBytesPerEntry fills a table with a million entries whose keys the
// table alone holds; with=1 each has sessions of another peer too.
func BenchmarkBytesPerEntry(b *testing.B) {
	for peers := range 3 {
		b.Run(fmt.Sprint("peers=", peers), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				tb := New("users", Config{Size: million, Expire: time.Hour}, "lb1")
				for i := range million {
					key := key20(i)
					tb.Assign(start, key, "mail1", Entry{})
					tb.Enter(start, key, "mail1")
					for p := range peers {
						tb.MergeUpdate(start, Update{
							Key: key, Server: "mail1", Time: 1, Writer: "lb1",
							Slots: []Slot{{fmt.Sprint("lb", p+2), 1, 1}},
						})
					}
				}
				b.ReportMetric(float64(heap()-before)/million, "bytes/entry")
				runtime.KeepAlive(tb)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	tb, keys := filled(b, million)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := tb.Lookup(start, keys[i*7919%million]); !ok {
			b.Fatal("not found")
		}
		i++
	}
}

func BenchmarkLookupParallel(b *testing.B) {
	tb, keys := filled(b, million)
	b.ReportAllocs()
	b.ResetTimer() // RunParallel does not do it
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			tb.Lookup(start, keys[i*7919%million])
		}
	})
}

// BenchmarkEnterLeave is what one session costs the table in its life.
func BenchmarkEnterLeave(b *testing.B) {
	tb, keys := filled(b, million)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		key := keys[i*7919%million]
		tb.Enter(start, key, "mail1")
		tb.Leave(start, key)
		i++
	}
}

func BenchmarkEnterLeaveParallel(b *testing.B) {
	tb, keys := filled(b, million)
	var worker atomic.Int64
	b.ReportAllocs()
	b.ResetTimer() // RunParallel does not do it
	b.RunParallel(func(pb *testing.PB) {
		for i := int(worker.Add(1)) << 16; pb.Next(); i++ {
			key := keys[i*7919%million]
			tb.Enter(start, key, "mail1")
			tb.Leave(start, key)
		}
	})
}

func BenchmarkAssign(b *testing.B) {
	b.Run("again", func(b *testing.B) {
		tb, keys := filled(b, million)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			key := keys[i*7919%million]
			e, _ := tb.Lookup(start, key)
			tb.Assign(start, key, "mail2", e)
			i++
		}
	})
	b.Run("new into a full table", func(b *testing.B) {
		tb, _ := filled(b, million)
		b.ReportAllocs()
		for i := million; b.Loop(); i++ {
			tb.Assign(start, key20(i), "mail1", Entry{})
		}
	})
}

func BenchmarkMerge(b *testing.B) {
	tb, keys := filled(b, million)
	u := Update{Server: "mail2", Writer: "lb2", LastUsed: start.UnixMilli(), Slots: []Slot{{"lb2", 1, 1}}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		u.Key, u.Time, u.Slots[0].Version = keys[i*7919%million], uint64(i+1), uint64(i+1)
		if _, err := tb.MergeUpdate(start, u); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	updates := make([]Update, 256)
	for i := range updates {
		updates[i] = Update{Key: key20(i), Server: "mail1", Time: wall(start), Writer: "lb1", LastUsed: start.UnixMilli()}
	}
	msg := AppendUpdates(nil, updates)
	b.Run("append", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		for b.Loop() {
			AppendUpdates(msg[:0], updates)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeUpdates(msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSaveMillion(b *testing.B) {
	tb, _ := filled(b, million)
	b.ReportAllocs()
	for b.Loop() {
		if err := tb.Save(start, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadMillion(b *testing.B) {
	tb, _ := filled(b, million)
	var file bytes.Buffer
	tb.Save(start, &file)
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		other := New("users", Config{Size: million, Expire: time.Hour}, "lb1")
		if n, err := other.Load(start, bytes.NewReader(file.Bytes())); n != million || err != nil {
			b.Fatal(n, err)
		}
	}
}

// The paths of a login take no memory.
func TestNoAllocations(t *testing.T) {
	tb := newTable(100, time.Hour)
	key := strings.Repeat("k", 20)
	e := mustAssign(t, tb, start, key, "s1")
	for name, f := range map[string]func(){
		"Lookup": func() { tb.Lookup(start, key) },
		"Assign": func() { e, _ = tb.Assign(start, key, "s1", e) },
		"Enter and Leave": func() {
			tb.Enter(start, key, "s1")
			tb.Leave(start, key)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s takes %v allocations, want 0", name, n)
		}
	}
}

// BenchmarkCount is a connection that begins and ends, of one of many sources.
func BenchmarkCount(b *testing.B) {
	tb := New("sources", Config{Key: "src", Size: 100_000, Expire: time.Hour, Store: everyCounter}, "lb1")
	tb.Replicate(start)
	keys := make([]string, 10_000)
	var v Values
	for i := range keys {
		keys[i] = fmt.Sprintf("192.0.%d.%d", i>>8, i&255)
		tb.Count(start, keys[i], &Counts{Conns: 1}, &v)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := keys[i%len(keys)]
		tb.Count(start, key, &Counts{Conns: 1, Cur: 1}, &v)
		tb.Count(start, key, &Counts{Cur: -1, In: 100, Out: 1000}, &v)
	}
}
