package sticktable

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

func TestCodecRoundTrip(t *testing.T) {
	for _, updates := range [][]Update{
		nil,
		{{Key: "a", Server: "s1", Time: 1, Writer: "lb1", LastUsed: 0}},
		{
			{Key: "a\x00ü", Server: "s1", Time: 1<<64 - 1, Writer: "lb1", LastUsed: 1<<63 - 1, Slots: []Slot{{"lb1", 1<<32 - 1, 1 << 60}, {"lb2", 0, 1}}},
			{Key: strings.Repeat("k", MaxKey), Server: strings.Repeat("s", MaxName), Time: 7, Writer: "w", LastUsed: -5},
		},
	} {
		b := AppendUpdates([]byte("before"), updates)
		got, err := DecodeUpdates(bytes.TrimPrefix(b, []byte("before")))
		if err != nil || !reflect.DeepEqual(got, updates) {
			t.Errorf("round trip of %+v = %+v, %v", updates, got, err)
		}
	}
}

// A later version may add fields to every array.
func TestCodecSkipsUnknownFields(t *testing.T) {
	later := []any{codecVersion, []any{
		[]any{"a", "s1", uint64(5), "lb1", int64(6), []any{
			[]any{"lb2", 1, uint64(7), "new", map[string]int{"x": 1}},
		}, []string{"new"}, 1.5},
	}, "new", nil}
	b, err := msgpack.Marshal(later)
	if err != nil {
		t.Fatal(err)
	}
	want := []Update{{Key: "a", Server: "s1", Time: 5, Writer: "lb1", LastUsed: 6, Slots: []Slot{{"lb2", 1, 7}}}}
	if got, err := DecodeUpdates(b); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("DecodeUpdates = %+v, %v, want %+v", got, err, want)
	}
}

func TestCodecRefuses(t *testing.T) {
	update := func(change func(u []any)) any {
		u := []any{"a", "s1", uint64(5), "lb1", int64(6), []any{}}
		change(u)
		return []any{codecVersion, []any{u}}
	}
	for name, v := range map[string]any{
		"version":       []any{2, []any{}},
		"no array":      "x",
		"short":         []any{1},
		"long key":      update(func(u []any) { u[0] = strings.Repeat("k", MaxKey+1) }),
		"long server":   update(func(u []any) { u[1] = strings.Repeat("k", MaxName+1) }),
		"nil key":       update(func(u []any) { u[0] = nil }),
		"number as key": update(func(u []any) { u[0] = 5 }),
		"float time":    update(func(u []any) { u[2] = 1.5 }),
		"nil time":      update(func(u []any) { u[2] = nil }),
		"slots":         update(func(u []any) { u[5] = make([]int, maxSlots+1) }),
		"short slot":    update(func(u []any) { u[5] = []any{[]any{"lb1"}} }),
		"count":         update(func(u []any) { u[5] = []any{[]any{"lb1", uint64(1 << 32), 1}} }),
		"updates":       []any{codecVersion, make([]int, MaxUpdates+1)},
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeUpdates(b); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: DecodeUpdates = %+v, %v, want ErrMessage", name, got, err)
		}
	}
	good := AppendUpdates(nil, []Update{{Key: "a", Server: "s1", Time: 5, Writer: "lb1"}})
	for n := range good {
		if _, err := DecodeUpdates(good[:n]); !errors.Is(err, ErrMessage) {
			t.Errorf("first %d of %d bytes: %v, want ErrMessage", n, len(good), err)
		}
	}
	if _, err := DecodeUpdates(append(good, 0)); !errors.Is(err, ErrMessage) {
		t.Errorf("a byte behind the end: %v, want ErrMessage", err)
	}
	if _, err := DecodeUpdates(make([]byte, MaxMessage+1)); !errors.Is(err, ErrMessage) {
		t.Errorf("too long: %v, want ErrMessage", err)
	}
}

// An array that promises four billion elements takes no memory for them.
func TestCodecBelievesNoLength(t *testing.T) {
	for _, b := range [][]byte{
		{0x92, 1, 0xdd, 0xff, 0xff, 0xff, 0xff},
		{0x92, 1, 0x91, 0x96, 0xdb, 0xff, 0xff, 0xff, 0xff},
	} {
		if n := testing.AllocsPerRun(10, func() { DecodeUpdates(b) }); n > 20 {
			t.Errorf("DecodeUpdates(%x) took %v allocations", b, n)
		}
		if _, err := DecodeUpdates(b); !errors.Is(err, ErrMessage) {
			t.Errorf("DecodeUpdates(%x) = %v, want ErrMessage", b, err)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	tb := newTable(10_000, time.Hour)
	for i := range 5000 {
		mustAssign(t, tb, start.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("u", i), fmt.Sprint("s", i%5))
	}
	tb.Enter(start, "u0", "s0")
	mustAssign(t, tb, start.Add(-2*time.Hour), "gone", "s1")
	now := start.Add(time.Minute)
	var file bytes.Buffer
	if err := tb.Save(now, &file); err != nil {
		t.Fatal(err)
	}
	other := newTable(10_000, time.Hour)
	n, err := other.Load(now, bytes.NewReader(file.Bytes()))
	if err != nil || n != 5000 || other.Len() != 5000 {
		t.Fatalf("Load = %d, %v, Len %d, want 5000", n, err, other.Len())
	}
	for i := range 5000 {
		key := fmt.Sprint("u", i)
		was, _ := tb.Lookup(now, key)
		is, ok := other.Lookup(now, key)
		if i == 0 {
			was.LastUsed, was.Expires = now, now.Add(time.Hour)          // it was in use
			was.Sessions, was.Local, was.Use, was.InUse = 0, 0, 0, false // and is not any more
		}
		if was.Stamp = is.Stamp; !ok || !reflect.DeepEqual(is, was) {
			t.Fatalf("%q was %+v, is %+v", key, was, is)
		}
	}
	if slots := other.Slots("u0"); slots != nil {
		t.Fatalf("slots %+v, want none: sessions end with the process", slots)
	}
	// The order of expiry survives too.
	other.Sweep(start.Add(time.Hour+999*time.Millisecond), 10_000)
	if other.Len() != 4001 {
		t.Fatalf("Len = %d after a sweep, want 4001", other.Len())
	}
	if _, err := other.Load(now, &file); err == nil {
		t.Fatal("Load into a table in use went through")
	}
}

func TestLoadKeepsTheYoungest(t *testing.T) {
	tb := newTable(1000, time.Hour)
	for i := range 1000 {
		mustAssign(t, tb, start.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("u", i), "s1")
	}
	var file bytes.Buffer
	tb.Save(start, &file)
	small := newTable(10, time.Hour)
	if n, err := small.Load(start.Add(time.Second), &file); n != 10 || err != nil {
		t.Fatalf("Load = %d, %v, want 10", n, err)
	}
}

// A clock that was far ahead when the file was written spoils nothing.
func TestLoadOfTheFuture(t *testing.T) {
	tb := newTable(10, time.Hour)
	mustAssign(t, tb, start.Add(1000*time.Hour), "alice", "s1")
	var file bytes.Buffer
	tb.Save(start.Add(1000*time.Hour), &file)
	other := newTable(10, time.Hour)
	if n, err := other.Load(start, &file); n != 1 || err != nil {
		t.Fatalf("Load = %d, %v, want 1", n, err)
	}
	e, ok := other.Lookup(start, "alice")
	if !ok || !e.Stamp.When().Equal(start) || e.LastUsed.After(start) {
		t.Fatalf("entry %+v, want its times cut to now", e)
	}
}

// Times that were a little ahead when the file was written are gone on from, until
// the clock has come so far.
func TestLoadOfALittleAhead(t *testing.T) {
	ahead := start.Add(maxAhead - time.Second)
	tb := newTable(10, time.Hour)
	mustAssign(t, tb, ahead, "alice", "s1")
	var file bytes.Buffer
	tb.Save(ahead, &file)
	other := newTable(10, time.Hour)
	if n, err := other.Load(start, &file); n != 1 || err != nil {
		t.Fatalf("Load = %d, %v, want 1", n, err)
	}
	alice, _ := other.Lookup(start, "alice")
	for _, test := range []struct{ now, want time.Time }{{start, ahead}, {ahead.Add(time.Millisecond), ahead.Add(time.Millisecond)}} {
		if err := other.Set(test.now, "alice", "s2"); err != nil {
			t.Fatal(err)
		}
		e, _ := other.Lookup(test.now, "alice")
		if !e.Stamp.When().Equal(test.want) || e.Stamp.Time <= alice.Stamp.Time {
			t.Errorf("at %v the time of an assignment is %v, want %v", test.now, e.Stamp.When(), test.want)
		}
	}
}

func TestLoadOfDamage(t *testing.T) {
	tb := newTable(1000, time.Hour)
	for i := range 300 {
		mustAssign(t, tb, start, fmt.Sprint("u", i), "s1")
	}
	var buf bytes.Buffer
	tb.Save(start, &buf)
	file := buf.Bytes()
	check := func(what string, b []byte) {
		t.Helper()
		other := newTable(1000, time.Hour)
		if n, err := other.Load(start, bytes.NewReader(b)); !errors.Is(err, ErrFile) || n != 0 || other.Len() != 0 {
			t.Errorf("%s: Load = %d, %v, Len %d, want ErrFile and nothing", what, n, err, other.Len())
		}
	}
	for n := 0; n < len(file); n += 7 {
		check(fmt.Sprintf("cut to %d of %d", n, len(file)), file[:n])
		flipped := bytes.Clone(file)
		flipped[n] ^= 0x10
		check(fmt.Sprintf("bit of byte %d", n), flipped)
	}
	check("something behind the end", append(bytes.Clone(file), 'x'))
	head, tail := len(fileMagic), len(file)-16
	check("blocks left out", append(bytes.Clone(file[:head]), file[tail:]...))
}

func FuzzDecodeUpdates(f *testing.F) {
	f.Add(AppendUpdates(nil, nil))
	f.Add(AppendUpdates(nil, []Update{{Key: "a", Server: "s1", Time: 5, Writer: "lb1", Slots: []Slot{{"lb1", 3, 9}}}}))
	f.Add([]byte{0x92, 1, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		updates, err := DecodeUpdates(b)
		if err != nil {
			return
		}
		again, err := DecodeUpdates(AppendUpdates(nil, updates))
		if err != nil || !reflect.DeepEqual(again, updates) {
			t.Fatalf("%+v came back as %+v, %v", updates, again, err)
		}
	})
}

func FuzzLoad(f *testing.F) {
	tb := newTable(10, time.Hour)
	tb.Assign(start, "alice", "s1", Entry{})
	tb.Assign(start, "bob", "s2", Entry{})
	var file bytes.Buffer
	tb.Save(start, &file)
	f.Add(file.Bytes(), true)
	f.Add([]byte(fileMagic), false)
	f.Add(AppendUpdates(nil, []Update{{Key: "a", Server: "s1", Time: 5, Writer: "lb1"}}), true)
	f.Fuzz(func(t *testing.T, b []byte, block bool) {
		if block { // behind a checksum that fits
			b = block1(b)
		}
		tb := newTable(10, time.Hour)
		n, err := tb.Load(start, bytes.NewReader(b))
		if n != tb.Len() || n > 10 || err != nil && n > 0 {
			t.Fatalf("Load = %d, %v, Len %d", n, err, tb.Len())
		}
		var again bytes.Buffer
		if err := tb.Save(start, &again); err != nil {
			t.Fatal(err)
		}
		if m, err := newTable(10, time.Hour).Load(start, &again); m != n || err != nil {
			t.Fatalf("what was saved loads as %d, %v, want %d", m, err, n)
		}
	})
}

// block1 is a saved table of the one message b, which it says holds one update.
func block1(b []byte) []byte {
	out := []byte(fileMagic)
	for _, p := range []struct {
		mark    uint32
		payload []byte
	}{{0, b}, {lastBlock, []byte{0, 0, 0, 0, 0, 0, 0, 1}}} {
		out = appendUint32(out, uint32(len(p.payload))|p.mark)
		out = appendUint32(out, checksum(p.payload))
		out = append(out, p.payload...)
	}
	return out
}

func appendUint32(b []byte, v uint32) []byte {
	return append(b, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
