package sticktable

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"imaplb/wire"
)

// What this table writes the library reads as it is described.
func TestBlobIsMsgpack(t *testing.T) {
	tb := New("users", Config{Size: 10, Expire: time.Hour}, "lb1")
	tb.Replicate(start)
	pos := tb.Head()
	e, _ := tb.Assign(start, "alice", "s1", Entry{})
	tb.Enter(start, "alice", "s1")
	gone := mustAssign(t, tb, start, "gone", "s2")
	tb.Withdraw("gone", gone.Stamp)
	tb.Void(start, "lb9")
	b, _, _ := tb.Pull(nil, pos, 1000)
	var got []any
	if err := msgpack.Unmarshal(b, &got); err != nil || len(got) != blobFields {
		t.Fatalf("the library reads %x as %v, %v", b, got, err)
	}
	want := fmt.Sprint([]any{
		1, []string{"s1", "lb1", "lb9"},
		[]any{[]any{1, tb.floors.of(selfID)}, []any{2, tb.floors.of(2)}},
		[]any{[]any{"alice", 0, e.Stamp.Time, 1, start.UnixMilli(), []any{[]any{1, 1, tb.sharedVersion("alice")}}}},
		[]any{[]any{"gone", gone.Stamp.Time, 1}},
	})
	if fmt.Sprint(got) != want {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

// A later version may add fields to every array.
func TestBlobSkipsUnknownFields(t *testing.T) {
	at := wall(start)
	b, err := msgpack.Marshal([]any{
		blobVersion, []any{"s1", "lb2"},
		[]any{[]any{1, at, "new"}},
		[]any{[]any{"a", 0, at, 1, start.UnixMilli(), []any{[]any{1, 3, at + 1, map[string]int{"x": 1}}}, 1.5, nil}},
		[]any{[]any{"b", at, 1, []int{1}}},
		[]any{},
		"new", []any{nil},
	})
	if err != nil {
		t.Fatal(err)
	}
	tb := newTable(10, time.Hour)
	if n, err := tb.Merge(start, "lb2", b); n != 2 || err != nil {
		t.Fatalf("Merge = %d, %v, want 2", n, err)
	}
	if got, want := tb.Slots("a"), []Slot{{"lb2", 3, at + 1}}; !reflect.DeepEqual(got, want) {
		t.Fatalf("slots %+v, want %+v", got, want)
	}
}

func TestMergeRefusesMalformed(t *testing.T) {
	at, used := wall(start), start.UnixMilli()
	entry := func(change func(e []any)) any {
		e := []any{"a", 0, at, 1, used, []any{[]any{1, 1, at}}}
		change(e)
		return []any{blobVersion, []any{"s1", "lb2"}, []any{}, []any{e}, []any{}}
	}
	for name, v := range map[string]any{
		"version":       []any{2, []any{}, []any{}, []any{}, []any{}},
		"short":         []any{1, []any{}, []any{}, []any{}},
		"no array":      "x",
		"names":         []any{1, make([]string, maxBlobNames+1), []any{}, []any{}, []any{}},
		"empty name":    []any{1, []any{""}, []any{}, []any{}, []any{}},
		"long name":     []any{1, []any{strings.Repeat("n", MaxName+1)}, []any{}, []any{}, []any{}},
		"floor's name":  []any{1, []any{}, []any{[]any{0, 1}}, []any{}, []any{}},
		"forget's name": []any{1, []any{}, []any{}, []any{}, []any{[]any{"a", at, 0}}},
		"empty key":     entry(func(e []any) { e[0] = "" }),
		"long key":      entry(func(e []any) { e[0] = strings.Repeat("k", MaxKey+1) }),
		"nil key":       entry(func(e []any) { e[0] = nil }),
		"server":        entry(func(e []any) { e[1] = 2 }),
		"writer":        entry(func(e []any) { e[3] = uint64(1 << 63) }),
		"float time":    entry(func(e []any) { e[2] = 1.5 }),
		"negative use":  entry(func(e []any) { e[4] = -1 }),
		"slots":         entry(func(e []any) { e[5] = make([]int, maxSlots+1) }),
		"short slot":    entry(func(e []any) { e[5] = []any{[]any{1, 1}} }),
		"count":         entry(func(e []any) { e[5] = []any{[]any{1, uint64(1 << 32), at}} }),
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		tb := newTable(10, time.Hour)
		if n, err := tb.Merge(start, "lb2", b); !errors.Is(err, ErrMessage) || n != 0 || tb.Len() != 0 {
			t.Errorf("%s: Merge = %d, %v, Len %d, want ErrMessage and nothing", name, n, err, tb.Len())
		}
	}
	good, _ := msgpack.Marshal(entry(func([]any) {}))
	for n := 1; n < len(good); n++ {
		if _, err := newTable(10, time.Hour).Merge(start, "lb2", good[:n]); !errors.Is(err, ErrMessage) {
			t.Errorf("first %d of %d bytes: %v, want ErrMessage", n, len(good), err)
		}
	}
	tb := newTable(10, time.Hour)
	if n, err := tb.Merge(start, "lb2", append(good, 0)); n != 1 || !errors.Is(err, ErrMessage) || tb.Len() != 1 {
		t.Errorf("a byte behind the end: %d, %v, Len %d, want what came before and ErrMessage", n, err, tb.Len())
	}
	if _, err := tb.Merge(start, "lb2", make([]byte, MaxBlob+1)); !errors.Is(err, ErrMessage) {
		t.Errorf("too long: %v, want ErrMessage", err)
	}
	if n, err := tb.Merge(start, "lb2", nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

// An array that promises four billion elements takes no memory for them.
func TestMergeBelievesNoLength(t *testing.T) {
	tb := newTable(10, time.Hour)
	for _, b := range [][]byte{
		{0x95, 1, 0xdd, 0xff, 0xff, 0xff, 0xff},
		{0x95, 1, 0x90, 0xdd, 0xff, 0xff, 0xff, 0xff},
		{0x95, 1, 0x90, 0x90, 0xdd, 0xff, 0xff, 0xff, 0xff},
		{0x95, 1, 0x91, 0xdb, 0xff, 0xff, 0xff, 0xff},
	} {
		if n := testing.AllocsPerRun(10, func() { tb.Merge(start, "lb2", b) }); n > 20 {
			t.Errorf("Merge(%x) took %v allocations", b, n)
		}
		if _, err := tb.Merge(start, "lb2", b); !errors.Is(err, ErrMessage) {
			t.Errorf("Merge(%x) = %v, want ErrMessage", b, err)
		}
	}
	// The most memory for its length takes a list of short names.
	list := slices.Concat([]byte{0x95, 1}, wire.AppendArray(nil, maxBlobNames), bytes.Repeat([]byte{0xa1, 'x'}, maxBlobNames), []byte{0x90, 0x90, 0x90})
	var before, after runtime.MemStats
	fresh := newTable(10, time.Hour)
	runtime.ReadMemStats(&before)
	if _, err := fresh.Merge(start, "lb2", list); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64*uint64(len(list)) {
		t.Errorf("%d bytes took %d of memory", len(list), n)
	}
}

// The longest blob there can be is one that Merge takes.
func TestBlobsStayBelowTheirBound(t *testing.T) {
	tb := New("users", Config{Size: 4000, Expire: time.Hour}, strings.Repeat("l", MaxName))
	tb.Replicate(start)
	long := func(kind string, i int) string { return fmt.Sprintf("%s%0*d", kind, MaxName-1, i) }
	var floors []Floor
	for i := range maxFloors - 1 {
		floors = append(floors, Floor{long("f", i), wall(start)})
	}
	mustMerge(t, start, tb, blobOf(t, floors, nil))
	huge := Update{Key: strings.Repeat("k", MaxKey), Server: long("s", 0), Time: wall(start), Writer: long("w", 0), LastUsed: start.UnixMilli()}
	for i := range maxSlots + 5 {
		huge.Slots = append(huge.Slots, Slot{long("p", i), math.MaxUint32, wall(start)})
	}
	for _, slots := range [][]Slot{huge.Slots[:maxSlots], huge.Slots[maxSlots:]} {
		u := huge
		u.Slots = slots
		if _, err := tb.MergeUpdate(start, u); err != nil {
			t.Fatal(err)
		}
	}
	part := int(shardOf(keyHash(huge.Key)))
	for i, made := 0, 0; made < 300; i++ { // more entries of that part, with long names
		key := fmt.Sprintf("%0*d", MaxKey, i)
		if shardOf(keyHash(key)) == uint64(part) {
			tb.Set(start, key, long("s", i))
			made++
		}
	}
	pos, longest, entries := tb.Head()-200, 0, 0
	tb.Void(start, long("f", 0))
	other := peerTable(4000, time.Hour, "lb2")
	merge := func(b []byte) {
		longest = max(longest, len(b))
		n, err := other.Merge(start, "lb1", b)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
		entries += n
	}
	for next, more := uint32(0), true; more; more = next != 0 {
		var b []byte
		b, next = tb.Part(nil, part, math.MaxUint16, next, math.MaxInt)
		merge(b)
	}
	for pos != tb.Head() {
		b, next, _ := tb.Pull(nil, pos, math.MaxInt)
		merge(b)
		pos = next
	}
	if longest > MaxBlob || longest < askedBlob || entries != 501 || len(other.Slots(huge.Key)) != maxSlots-1 {
		t.Fatalf("longest blob %d, %d entries, %d slots", longest, entries, len(other.Slots(huge.Key)))
	}
}

// A replicated table's paths of a login take no memory either.
func TestNoAllocationsReplicated(t *testing.T) {
	tb := peerTable(100, time.Hour, "lb1")
	tb.Watch(func() {})
	mustAssign(t, tb, start, "alice", "s1")
	buf := make([]byte, 0, 1000)
	digests := make([]uint64, 0, numShards*numBuckets)
	other := peerTable(100, time.Hour, "lb2")
	for name, f := range map[string]func(){
		"Enter and Leave": func() {
			tb.Enter(start, "alice", "s1")
			tb.Leave(start, "alice")
		},
		"Pull":    func() { tb.Enter(start, "alice", "s1"); tb.Pull(buf, tb.Head()-1, 1000) },
		"Part":    func() { tb.Part(buf, int(shardOf(keyHash("alice"))), math.MaxUint16, 0, 1000) },
		"Digests": func() { tb.Digests(digests) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s takes %v allocations, want 0", name, n)
		}
	}
	b, _, _ := tb.Pull(nil, tb.Head()-1, 1000)
	if n := testing.AllocsPerRun(100, func() { other.Merge(start, "lb1", b) }); n > 1 {
		t.Errorf("Merge of a known entry takes %v allocations, want at most that of the blob", n)
	}
}

// A table that is not replicated keeps neither journal nor digests.
func TestNotReplicated(t *testing.T) {
	tb := newTable(10, time.Hour)
	mustAssign(t, tb, start, "alice", "s1")
	tb.Enter(start, "alice", "s1")
	if b, pos, ok := tb.Pull(nil, 0, 100); ok || b != nil || pos != 0 || tb.Head() != 0 {
		t.Fatalf("Pull = %x, %d, %v", b, pos, ok)
	}
	d := tb.Digests([]uint64{7})
	if len(d) != 1+numShards*numBuckets || d[0] != 7 || slices.Max(d[1:]) != 0 {
		t.Fatalf("%d digests, the greatest %d, want zeros", len(d)-1, slices.Max(d[1:]))
	}
	if b, next := tb.Part(nil, numShards, 1, 0, 100); b != nil || next != 0 {
		t.Fatalf("a part that is none = %x, %d", b, next)
	}
}

func FuzzMergeBlob(f *testing.F) {
	u := Update{Key: "a", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli(), Slots: []Slot{{"lb1", 1, 5}, {"lb3", 2, 6}}}
	f.Add(blobOf(f, nil, nil))
	f.Add(blobOf(f, []Floor{{"lb3", 4}}, []Update{u}, u))
	f.Add(blobOf(f, []Floor{{"lb1", wall(start) + 9}, {"lb3", 6}}, []Update{u, u}))
	from := peerTable(10, time.Hour, "lb2")
	from.Enter(start, "a", "s1")
	b, _ := from.Part(nil, int(shardOf(keyHash("a"))), math.MaxUint16, 0, 1000)
	f.Add(b)
	counting := countingPeer("lb2")
	var v Values
	counting.Count(start, "a", &Counts{Conns: 1, Cur: 1, AuthFails: 3, In: 1 << 40}, &v)
	b, _ = counting.Part(nil, int(shardOf(keyHash("a"))), math.MaxUint16, 0, 1000)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		tb := countingPeer("lb1")
		tb.SetLimits(Config{Size: 4, Expire: time.Hour})
		tb.Assign(start, "a", "s2", Entry{})
		tb.Enter(start, "a", "s2")
		tb.OnMoved(func(key, _, _ string) { tb.Lookup(start, key) })
		n, err := tb.Merge(start, "lb2", b)
		if tb.Len() > 4 || n > len(b) {
			t.Fatalf("Merge = %d, %v, Len %d", n, err, tb.Len())
		}
		checkTable(t, tb)
		if e, ok := tb.Lookup(start, "a"); !ok || e.Local != 1 {
			t.Fatalf("entry %+v, %v, want its session kept", e, ok)
		}
		again := tb.Digests(nil)
		learnAll(t, start, tb, tb)
		if !slices.Equal(tb.Digests(nil), again) {
			t.Fatal("a table changed by its own blobs")
		}
	})
}
