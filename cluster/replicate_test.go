package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPull(t *testing.T) {
	c := newOne(t, "lb1")
	begin := c.Head()
	if b, next, ok := c.Pull([]byte("x"), begin, 100); string(b) != "x" || next != begin || !ok {
		t.Fatalf("Pull of nothing = %q, %d, %v", b, next, ok)
	}
	woken := 0
	c.Watch(func() { woken++ })
	for i := range 3 {
		if err := c.OrderWeight(start, "admin", "mail", "s1", i); err != nil {
			t.Fatal(err)
		}
	}
	if woken != 3 || c.Head() != begin+3 {
		t.Fatalf("woken %d times, Head %d, want 3 and %d", woken, c.Head(), begin+3)
	}
	b, next, ok := c.Pull(nil, begin, 100)
	other := newOne(t, "lb2")
	n, err := other.Merge(start, "lb1", b)
	if next != c.Head() || !ok || n != 1 || err != nil {
		t.Fatalf("Pull, %d, %v merged: %d, %v, want the last of three alone", next, ok, n, err)
	}
	if w, ok := other.Weight("mail", "s1"); w != 2 || !ok {
		t.Errorf("Weight = %d, %v, want 2", w, ok)
	}
	if other.Head() != other.facts.journal.begin {
		t.Error("what was merged went into the journal")
	}
	for i := range journalLen + 1 {
		c.Vote(start, "mail", fmt.Sprint("v", i), true)
	}
	for _, pos := range []uint64{0, begin - 1, next, c.Head() - journalLen - 1, c.Head() + 1} {
		if b, at, ok := c.Pull(nil, pos, 100); ok || len(b) > 0 || at != pos {
			t.Errorf("Pull(%d) = %d bytes, %d, %v, want no", pos, len(b), at, ok)
		}
	}
	total := 0
	for pos := c.Head() - journalLen; pos < c.Head(); {
		b, next, ok := c.Pull(nil, pos, 500)
		if n, err := other.Merge(start, "lb1", b); !ok || err != nil || next <= pos || len(b) > 600 {
			t.Fatalf("Pull(%d): %d bytes, next %d, %v; Merge %v", pos, len(b), next, ok, err)
		} else {
			total += n
		}
		pos = next
	}
	if total != journalLen {
		t.Errorf("%d facts from the journal, want %d", total, journalLen)
	}
}

// Part gives the facts of the buckets asked for, each once, a few at a time.
func TestPart(t *testing.T) {
	c := newOne(t, "lb1")
	for i := range 500 {
		c.Vote(start, "mail", fmt.Sprint("v", i), true)
	}
	for _, mask := range []uint16{0, 1, 0x8000, 0x5555, 0xffff} {
		want := 0
		for n, list := range c.facts.buckets {
			if mask&(1<<n) != 0 {
				want += len(list)
			}
		}
		got, seen := 0, map[string]bool{}
		for cursor, more := uint32(0), true; more; more = cursor != 0 {
			var b []byte
			b, cursor = c.Part(nil, 0, mask, cursor, 200)
			facts, err := decodeMessage(b, 300)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range facts {
				seen[f.key] = mask&(1<<bucket(f.key)) != 0
			}
			got += len(facts)
		}
		if got != want || len(seen) != want {
			t.Errorf("mask %x: %d facts, %d keys, want %d", mask, got, len(seen), want)
		}
	}
	if b, next := c.Part(nil, 1, 0xffff, 0, 100); len(b) > 0 || next != 0 {
		t.Error("there is a second part")
	}
	if b, next := c.Part(nil, 0, 0xffff, 0xffffffff, 100); len(b) > 0 || next != 0 {
		t.Error("there is something behind the end")
	}
}

func FuzzMerge(f *testing.F) {
	hold := move{id: "lb2-1", phase: phaseHold, by: "a", backend: "mail", server: "s2", timeout: time.Second, deadline: start.UnixMilli()}
	done := hold
	done.phase, done.stamp, done.missing = phaseDone, Stamp{7, "lb2"}, []string{"lb3"}
	at := wall(start)
	f.Add(encode(&fact{key: "vote/lb2/mail/s1", value: "down", time: at, writer: "lb2", expires: start.Add(time.Hour).UnixMilli()}))
	f.Add(encode(&fact{key: "vote/lb1/mail/s1", value: "up", time: at, writer: "lb1"}, &fact{key: "vote/lb2/mail/s1", time: at, writer: "lb2"}))
	f.Add(encode(&fact{key: "admin/mail/s1", value: orderText{"a", "drain"}.encode(), time: at, writer: "lb2"}))
	f.Add(encode(&fact{key: "weight/mail/s1", value: orderText{"a", "7"}.encode(), time: at, writer: "lb2"}))
	f.Add(encode(&fact{key: "kick/lb2-1", value: orderText{"a", "u", ""}.encode(), time: at, writer: "lb2"}))
	f.Add(encode(&fact{key: "move/users/u", value: hold.encode(), time: at, writer: "lb2"}, &fact{key: "gone/lb2-1/lb3", time: at, writer: "lb3"}))
	f.Add(encode(&fact{key: "move/users/u", value: done.encode(), time: at, writer: "lb2"}))
	f.Add(encode(&fact{key: "move/users/u", value: hold.encode(), time: at, writer: "lb1"}))
	flush := Flush{Backend: "mail", Server: "s1", Phase: FlushRuns, By: "a", Peer: "lb3", Since: start, Parallel: 1}
	f.Add(encode(&fact{key: "flush/mail/s1", value: flush.encode(), time: at, writer: "lb3", expires: start.Add(time.Hour).UnixMilli()}))
	flush.Peer = "lb1"
	f.Add(encode(&fact{key: "flush/mail/s1", value: flush.encode(), time: at, writer: "lb2"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		one, two := newOne(t, "lb1"), newOne(t, "lb2")
		if _, err := one.Merge(start, "lb2", b); err != nil {
			if one.Counters().Facts > 0 {
				t.Fatal("a message that is an error left facts")
			}
			return
		}
		before := content(one)
		if _, err := one.Merge(start, "lb2", b); err != nil || !reflect.DeepEqual(content(one), before) {
			t.Fatalf("Merge again = %v, or changed something", err)
		}
		for _, part := range parts(one, 100) {
			if _, err := two.Merge(start, "lb1", part); err != nil {
				t.Fatalf("own part is refused: %v", err)
			}
		}
		if err := newOne(t, "lb3").Load(start, one.Save()); err != nil {
			t.Fatalf("Load of what was saved = %v", err)
		}
		one.Votes("mail", "s1")
		for _, e := range one.Events(0) {
			if strings.ContainsAny(e.String(), "\n\r") {
				t.Fatalf("event of two lines %q", e.String())
			}
		}
		one.Tick(start.Add(MaxMoveTimeout + releaseAfter))
		if one.held.Load() != nil {
			t.Fatal("somebody is held for ever")
		}
	})
}

// Whatever is said, taken and removed, the buckets have what the map has, and
// the digests are those of what is there.
func TestStoreStaysWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	s := newStore(start, "lb1")
	for step := range 5000 {
		key := fmt.Sprint("later/", rng.IntN(200))
		switch f := s.byKey[key]; {
		case rng.IntN(3) == 0 && f != nil:
			s.remove(f)
		case rng.IntN(2) == 0:
			s.say(start, key, fmt.Sprint(step), 0)
		default:
			s.place(&fact{key: key, value: fmt.Sprint(step), time: uint64(step + 1), writer: "lb2"})
		}
		found := map[string]*fact{}
		for n, list := range s.buckets {
			digest := uint64(0)
			for i, f := range list {
				digest ^= f.digest()
				if found[f.key] = f; f.index != i || bucket(f.key) != n {
					t.Fatalf("step %d: %q is at %d in bucket %d, says %d", step, f.key, i, n, f.index)
				}
			}
			if digest != s.digests[n] {
				t.Fatalf("step %d: digest of bucket %d is %x, want %x", step, n, s.digests[n], digest)
			}
		}
		if !maps.Equal(found, s.byKey) {
			t.Fatalf("step %d: %d facts in the buckets, %d in the map", step, len(found), len(s.byKey))
		}
	}
}
