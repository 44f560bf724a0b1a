package sticktable

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// peerTable is a replicated table of a peer with that name.
func peerTable(size int, expire time.Duration, self string) *Table {
	tb := New("users", Config{Key: "user", Size: size, Expire: expire}, self)
	tb.Replicate(start)
	return tb
}

// state is what package peers ships; a table is one without knowing it.
type state interface {
	Name() string
	Head() uint64
	Pull(dst []byte, pos uint64, max int) (b []byte, next uint64, ok bool)
	Digests(dst []uint64) []uint64
	Part(dst []byte, part int, mask uint16, cursor uint32, max int) (b []byte, next uint32)
	Merge(now time.Time, from string, b []byte) (entries int, err error)
	Watch(wake func())
}

var _ state = (*Table)(nil)

// recompute makes the digests of a table anew.
func (t *Table) recompute() []uint64 {
	fresh := &Table{servers: t.servers, peers: t.peers}
	fresh.layout.Store(t.layout.Load())
	fresh.floors.list.Store(t.floors.list.Load())
	for i := range t.shards {
		from := &t.shards[i]
		sh := &shard{digests: new([numBuckets]uint64), counted: new([numBuckets]uint64), slots: from.slots, chunks: from.chunks, counters: from.counters}
		for id := uint32(1); id <= from.top; id++ {
			if from.at(id).key != "" {
				fresh.flip(sh, id)
			}
		}
		fresh.shards[i].digests, fresh.shards[i].counted = sh.digests, sh.counted
	}
	return fresh.Digests(nil)
}

// checkTable fails unless digests, room and idle lists are as the entries say.
func checkTable(t *testing.T, tb *Table) {
	t.Helper()
	if !slices.Equal(tb.Digests(nil), tb.recompute()) {
		t.Fatalf("%s: digests are not those of the content", tb.self)
	}
	live := 0
	for i := range tb.shards {
		sh := &tb.shards[i]
		for id := uint32(1); id <= sh.top; id++ {
			r := sh.at(id)
			if r.key == "" {
				continue
			}
			live++
			if sh.linked(id) == sh.inUse(id) || uint64(i) != shardOf(keyHash(r.key)) {
				t.Fatalf("%s: %q is in shard %d with %d sessions, idle %v", tb.self, r.key, i, sh.count(r), sh.linked(id))
			}
		}
	}
	if live != tb.Len() {
		t.Fatalf("%s: Len = %d, want %d", tb.self, tb.Len(), live)
	}
}

// held is what a table holds, comparable between tables. When an entry was
// last used is left out: it depends on when a floor came.
func held(tb *Table) map[string]Update {
	all := map[string]Update{}
	tb.Range(start, func(e Entry) bool {
		u, _ := tb.Update(e.Key)
		slices.SortFunc(u.Slots, func(a, b Slot) int { return cmp.Compare(a.Peer, b.Peer) })
		u.LastUsed = 0
		all[e.Key] = u
		return true
	})
	return all
}

// blobOf writes a blob with the library.
func blobOf(t testing.TB, floors []Floor, updates []Update, forgets ...Update) []byte {
	t.Helper()
	names := []string{}
	place := func(name string) int {
		if i := slices.Index(names, name); i >= 0 {
			return i
		}
		names = append(names, name)
		return len(names) - 1
	}
	fs, es, gs := []any{}, []any{}, []any{}
	for _, f := range floors {
		fs = append(fs, []any{place(f.Peer), f.Version})
	}
	for _, u := range updates {
		slots := []any{}
		for _, s := range u.Slots {
			slots = append(slots, []any{place(s.Peer), s.Count, s.Version})
		}
		es = append(es, []any{u.Key, place(u.Server), u.Time, place(u.Writer), u.LastUsed, slots})
	}
	for _, u := range forgets {
		gs = append(gs, []any{u.Key, u.Time, place(u.Writer)})
	}
	b, err := msgpack.Marshal([]any{blobVersion, names, fs, es, gs})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustMerge(t *testing.T, now time.Time, tb *Table, blobs ...[]byte) {
	t.Helper()
	for _, b := range blobs {
		if _, err := tb.Merge(now, "peer", b); err != nil {
			t.Fatalf("%s: Merge(%x) = %v", tb.self, b, err)
		}
	}
}

// differing are the buckets of each part in which digests differ.
func differing(a, b []uint64) (masks [numShards]uint16, n int) {
	for i := range a {
		if a[i] != b[i] {
			masks[i/numBuckets] |= 1 << (i % numBuckets)
			n++
		}
	}
	return masks, n
}

// repair tells to what from holds in the buckets where they differ, in blobs
// as short as they get, and tells how many differed.
func repair(t *testing.T, now time.Time, from, to *Table) (buckets int) {
	t.Helper()
	masks, n := differing(from.Digests(nil), to.Digests(nil))
	var keys []string
	if n > 0 {
		keys = slices.Collect(maps.Keys(held(from)))
	}
	for part, mask := range masks {
		if mask == 0 {
			continue
		}
		want, got := 0, 0
		for _, key := range keys {
			if h := keyHash(key); shardOf(h) == uint64(part) && mask>>bucketOf(h)&1 != 0 {
				want++
			}
		}
		for next, more := uint32(0), true; more; more = next != 0 {
			var b []byte
			b, next = from.Part(nil, part, mask, next, 1)
			n, err := to.Merge(now, from.self, b)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if got != want {
			t.Fatalf("part %d told %d entries, want the %d of the buckets %016b", part, got, want, mask)
		}
	}
	return n
}

// settle repairs until nothing differs.
func settle(t *testing.T, now time.Time, tables []*Table) {
	t.Helper()
	for range 6 {
		n := 0
		for _, from := range tables {
			for _, to := range tables {
				n += repair(t, now, from, to)
			}
		}
		if n == 0 {
			return
		}
	}
	t.Fatal("six rounds of repair did not make the tables equal")
}

func allEqual(t *testing.T, tables []*Table) {
	t.Helper()
	for _, tb := range tables {
		checkTable(t, tb)
		if got, want := held(tb), held(tables[0]); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s holds %+v\n%s holds %+v", tb.self, got, tables[0].self, want)
		}
		if got, want := tb.Floors(), tables[0].Floors(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s has floors %+v\n%s has %+v", tb.self, got, tables[0].self, want)
		}
	}
}

// Any order and any repetition of blobs with floors gives the same table, and
// so does hearing of some from a peer that merged them.
func TestBlobsInAnyOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	learned := func(blobs ...[]byte) *Table {
		tb := New("users", Config{Size: 100, Expire: time.Hour}, "self")
		tb.Replicate(start.Add(-time.Hour))
		mustMerge(t, start, tb, blobs...)
		checkTable(t, tb)
		return tb
	}
	for range 150 {
		var blobs [][]byte
		for range 3 + rng.IntN(6) {
			var floors []Floor
			if rng.IntN(3) == 0 {
				floors = append(floors, Floor{fmt.Sprint("lb", rng.IntN(4)), wall(start) + uint64(rng.IntN(8))})
			}
			blobs = append(blobs, blobOf(t, floors, []Update{randomUpdate(rng), randomUpdate(rng)}))
		}
		want := learned(blobs...)
		again := append(slices.Clone(blobs), blobs[:1+rng.IntN(len(blobs))]...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		allEqual(t, []*Table{want, learned(again...)})

		between, end := learned(blobs[1:]...), learned(blobs[0])
		learnAll(t, start, between, end)
		allEqual(t, []*Table{want, end})
		if !slices.Equal(want.Digests(nil), end.Digests(nil)) {
			t.Fatal("equal tables have different digests")
		}
	}
}

func learnAll(t *testing.T, now time.Time, from, to *Table) {
	t.Helper()
	for part := range numShards {
		from.shards[part].mu.Lock()
		worth := from.shards[part].live > 0 || part == 0 // an empty one tells floors alone
		from.shards[part].mu.Unlock()
		for next, more := uint32(0), worth; more; more = next != 0 {
			var b []byte
			b, next = from.Part(nil, part, 1<<numBuckets-1, next, 100)
			mustMerge(t, now, to, b)
		}
	}
}

// Any goroutine may call any method.
func TestSharedByGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := peerTable(1000, time.Hour, "lb1"), peerTable(1000, time.Hour, "lb2")
		woken := make(chan struct{}, 1)
		a.Watch(func() {
			select {
			case woken <- struct{}{}:
			default:
			}
		})
		b.OnMoved(func(key, _, _ string) { b.Lookup(start, key) })
		done := make(chan struct{})
		go func() { // ends when done is closed
			pos := a.Head()
			for {
				select {
				case <-woken:
				case <-done:
					return
				}
				var blob []byte
				for pos != a.Head() {
					blob, pos, _ = a.Pull(blob[:0], pos, 1000)
					b.Merge(start, "lb1", blob)
				}
			}
		}()
		logins := func(tb *Table, w int) {
			for i := range 2000 {
				key := fmt.Sprint("user", i*7%500)
				e, ok := tb.Lookup(start, key)
				if !ok {
					e, _ = tb.Assign(start, key, fmt.Sprint("s", w), e)
				}
				if _, ok := tb.Enter(start, key, e.Server); ok {
					tb.Leave(start, key)
				}
				if i%100 == 0 {
					tb.Withdraw(key, e.Stamp)
					tb.Void(start, "lb9")
				}
			}
		}
		finished := make(chan struct{})
		for w := range 2 {
			go func() { logins(a, w); finished <- struct{}{} }()
			go func() { logins(b, w); finished <- struct{}{} }()
			go func() { learnAll(t, start, b, a); finished <- struct{}{} }()
			go func() { a.Digests(nil); a.Sweep(start, 10); a.Clear(); a.Slots("user1"); finished <- struct{}{} }()
		}
		for range 8 {
			<-finished
		}
		synctest.Wait() // the reader has caught up
		close(done)
		settle(t, start, []*Table{a, b})
		allEqual(t, []*Table{a, b})
	})
}
