package sticktable

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// shared is a replicated table of n entries with a session of this peer each.
func shared(b *testing.B, n int, self string) *Table {
	b.Helper()
	tb := New("users", Config{Size: 2 * million, Expire: time.Hour}, self)
	tb.Replicate(start)
	for i := range n {
		key := key20(i)
		tb.Assign(start, key, "mail1", Entry{})
		tb.Enter(start, key, "mail1")
	}
	return tb
}

// cpu is the time that this process has computed, the collector included: what
// others do on the machine does not count.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLearn carries a table of a million entries to a peer that has none,
// in blobs of 64 KiB, and gives the entries of each side per second of CPU.
func BenchmarkLearn(b *testing.B) {
	from := shared(b, million, "lb1")
	var telling, learning time.Duration
	size, count := 0, 0
	for b.Loop() {
		b.StopTimer()
		to := New("users", Config{Size: 2 * million, Expire: time.Hour}, "lb2")
		to.Replicate(start)
		runtime.GC()
		b.StartTimer()
		var blob []byte
		for part := range numShards {
			for next, more := uint32(0), true; more; more = next != 0 {
				began := cpu()
				blob, next = from.Part(blob[:0], part, 1<<numBuckets-1, next, 1<<16)
				middle := cpu()
				n, err := to.Merge(start, "lb1", blob)
				learning += cpu() - middle
				telling += middle - began
				if err != nil {
					b.Fatal(err)
				}
				size, count = size+len(blob), count+n
			}
		}
		if to.Len() != million {
			b.Fatalf("learned %d entries", to.Len())
		}
	}
	b.ReportMetric(float64(count)/telling.Seconds(), "told/s")
	b.ReportMetric(float64(count)/learning.Seconds(), "learned/s")
	b.ReportMetric(float64(size)/float64(count), "bytes/entry")
}

// BenchmarkLearnAgain is a repair that finds nothing new.
func BenchmarkLearnAgain(b *testing.B) {
	from, to := shared(b, million, "lb1"), shared(b, 0, "lb2")
	count := 0
	round := func() {
		var blob []byte
		for part := range numShards {
			for next, more := uint32(0), true; more; more = next != 0 {
				blob, next = from.Part(blob[:0], part, 1<<numBuckets-1, next, 1<<16)
				n, _ := to.Merge(start, "lb1", blob)
				count += n
			}
		}
	}
	round()
	count = 0
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkPull is what a change costs from the journal into the peer's table:
// entries here and there in a table of a million.
func BenchmarkPull(b *testing.B) {
	from := shared(b, million, "lb1")
	keys := make([]string, 4096)
	for i := range keys {
		keys[i] = key20(i * 7919 % million)
	}
	var blob []byte
	count := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for _, key := range keys {
			from.Leave(start, key)
			from.Enter(start, key, "mail1")
		}
		pos := from.Head() - 2*uint64(len(keys))
		b.StartTimer()
		for pos < from.Head() {
			blob, pos, _ = from.Pull(blob[:0], pos, 1<<16)
		}
		count += len(keys)
	}
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "entries/s")
}

// BenchmarkDigests is what a check costs that finds nothing to repair.
func BenchmarkDigests(b *testing.B) {
	tb := shared(b, 1000, "lb1")
	var d []uint64
	b.ReportAllocs()
	for b.Loop() {
		d = tb.Digests(d[:0])
	}
}

// BenchmarkVoid removes the slots of a dead peer from a million entries.
func BenchmarkVoid(b *testing.B) {
	from := shared(b, million, "lb1")
	for b.Loop() {
		b.StopTimer()
		to := shared(b, 0, "lb2")
		learn(b, from, to)
		b.StartTimer()
		to.Void(start, "lb1")
	}
}

func learn(tb testing.TB, from, to *Table) {
	tb.Helper()
	for part := range numShards {
		for next, more := uint32(0), true; more; more = next != 0 {
			var blob []byte
			blob, next = from.Part(nil, part, 1<<numBuckets-1, next, 1<<16)
			if _, err := to.Merge(start, from.Self(), blob); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// BenchmarkSharedEnterLeave is what one session costs a replicated table.
func BenchmarkSharedEnterLeave(b *testing.B) {
	tb := shared(b, million, "lb1")
	keys := make([]string, million)
	for i := range keys {
		keys[i] = key20(i)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		key := keys[i*7919%million]
		tb.Enter(start, key, "mail1")
		tb.Leave(start, key)
		i++
	}
}

// BenchmarkSharedBytesPerEntry is the memory of a million entries in a
// replicated table, with the slots of other peers.
func BenchmarkSharedBytesPerEntry(b *testing.B) {
	for slots := range 3 {
		b.Run(fmt.Sprint("slots=", slots), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				tb := shared(b, million, "lb1")
				for p := range slots {
					for i := range million {
						tb.MergeUpdate(start, Update{
							Key: key20(i), Server: "mail1", Time: 1, Writer: "lb1",
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
