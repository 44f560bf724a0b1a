package sticktable

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// pulled merges all that from has to tell behind pos.
func pulled(t *testing.T, now time.Time, from, to *Table, pos uint64) uint64 {
	t.Helper()
	for pos != from.Head() {
		b, next, ok := from.Pull(nil, pos, 1<<16)
		if !ok {
			t.Fatalf("Pull(%d) = false, Head %d", pos, from.Head())
		}
		mustMerge(t, now, to, b)
		pos = next
	}
	return pos
}

// A key that changed often is told once, as it is.
func TestJournalCoalesces(t *testing.T) {
	from, to := peerTable(100, time.Hour, "lb1"), peerTable(100, time.Hour, "lb2")
	pos := from.Head()
	mustAssign(t, from, start, "alice", "s1")
	mustAssign(t, from, start, "bob", "s1")
	for range 500 {
		from.Enter(start, "alice", "s1")
	}
	b, next, ok := from.Pull(nil, pos, 1<<16)
	if !ok || next != from.Head() {
		t.Fatalf("Pull = %d, %v, want all up to %d", next, ok, from.Head())
	}
	if n, err := to.Merge(start, "lb1", b); n != 2 || err != nil {
		t.Fatalf("Merge = %d, %v, want 2 entries", n, err)
	}
	if want := []Slot{{"lb1", 500, from.sharedVersion("alice")}}; !reflect.DeepEqual(to.Slots("alice"), want) {
		t.Fatalf("slots %+v, want %+v", to.Slots("alice"), want)
	}
	if b, again, ok := from.Pull([]byte("x"), next, 100); string(b) != "x" || again != next || !ok {
		t.Fatalf("Pull with nothing new = %q, %d, %v", b, again, ok)
	}
}

func (t *Table) sharedVersion(key string) uint64 { return t.Slots(key)[0].Version }

// A reader that is too far behind, or asks for what never was, is told so.
func TestJournalIsBounded(t *testing.T) {
	tb := peerTable(100, time.Hour, "lb1")
	pos := tb.Head()
	mustAssign(t, tb, start, "alice", "s1")
	for range journalLen - 1 {
		tb.Set(start, "alice", "s1")
	}
	if b, next, ok := tb.Pull(nil, pos, 100); !ok || len(b) == 0 || next != pos+journalLen {
		t.Fatalf("Pull of all that is held = %d bytes, %d, %v", len(b), next-pos, ok)
	}
	tb.Set(start, "alice", "s1")
	for _, p := range []uint64{pos, 0, pos - journalLen, tb.Head() + 1, 1<<64 - 1} {
		if b, next, ok := tb.Pull(nil, p, 100); ok || b != nil || next != p {
			t.Errorf("Pull(%d) = %x, %d, %v, want false: %d to %d are held", p, b, next, ok, pos+1, tb.Head())
		}
	}
	if _, _, ok := tb.Pull(nil, pos+1, 100); !ok {
		t.Error("the oldest position that is held is refused")
	}
	// The next run's positions are not those of this one.
	later := New("users", Config{Size: 1, Expire: time.Hour}, "lb1")
	later.Replicate(start.Add(time.Minute))
	if _, _, ok := later.Pull(nil, tb.Head(), 100); ok {
		t.Error("a position of the run before is believed")
	}
}

func TestPullIsBounded(t *testing.T) {
	from, to := peerTable(1000, time.Hour, "lb1"), peerTable(1000, time.Hour, "lb2")
	pos := from.Head()
	for i := range 500 {
		mustAssign(t, from, start, fmt.Sprint("user", i), "s1")
	}
	for _, limit := range []int{-1, 0, 300, 3000} {
		at, blobs := pos, 0
		for at != from.Head() {
			b, next, ok := from.Pull(nil, at, limit)
			if !ok || next == at || len(b) > max(limit, 0)+100 {
				t.Fatalf("Pull of at most %d = %d bytes, %d positions, %v", limit, len(b), next-at, ok)
			}
			mustMerge(t, start, to, b)
			at = next
			blobs++
		}
		if to.Len() != 500 || limit <= 0 && blobs != 500 {
			t.Fatalf("%d entries in %d blobs of at most %d bytes, want 500", to.Len(), blobs, limit)
		}
		to.Clear()
	}
}

// An entry that went is not told; the record's next tenant is, in its turn.
func TestPullAfterDelete(t *testing.T) {
	from, to := peerTable(100, time.Hour, "lb1"), peerTable(100, time.Hour, "lb2")
	pos := from.Head()
	mustAssign(t, from, start, "alice", "s1")
	from.Delete("alice")
	if b, next, ok := from.Pull(nil, pos, 100); len(b) != 0 || next != from.Head() || !ok {
		t.Fatalf("Pull = %x, %d, %v, want nothing and the end", b, next, ok)
	}
	mustMerge(t, start, from, blobOf(t, nil, []Update{{Key: "bob", Server: "s1", Time: wall(start), Writer: "lb3", LastUsed: start.UnixMilli()}}))
	mustAssign(t, from, start, "carol", "s1")
	pulled(t, start, from, to, pos)
	wantServer(t, to, start, "alice", "")
	wantServer(t, to, start, "bob", "") // not this peer's change
	wantServer(t, to, start, "carol", "s1")
}

// Withdrawn assignments go at the peers too, if nobody had a session there.
func TestForget(t *testing.T) {
	from, to := peerTable(100, time.Hour, "lb1"), peerTable(100, time.Hour, "lb2")
	pos := from.Head()
	stamps := map[string]Stamp{}
	for _, key := range []string{"stranger", "alice", "bob"} {
		stamps[key] = mustAssign(t, from, start, key, "s1").Stamp
	}
	pos = pulled(t, start, from, to, pos)
	to.Enter(start, "alice", "s1")
	to.Set(start, "bob", "s2")
	for key, stamp := range stamps {
		if !from.Withdraw(key, stamp) {
			t.Fatalf("Withdraw(%q) = false", key)
		}
	}
	mustAssign(t, from, start, "stranger", "s3") // again, behind the forgetting
	e, _ := from.Lookup(start, "stranger")
	from.Withdraw("stranger", e.Stamp)
	pulled(t, start, from, to, pos)
	wantServer(t, to, start, "stranger", "")
	wantServer(t, to, start, "alice", "s1")
	wantServer(t, to, start, "bob", "s2")
	checkTable(t, from)
	checkTable(t, to)
}

// Of more withdrawals than are kept the older are not told.
func TestForgottenAreBounded(t *testing.T) {
	from, to := peerTable(10*forgetLen, time.Hour, "lb1"), peerTable(10*forgetLen, time.Hour, "lb2")
	pos := from.Head()
	for i := range forgetLen + 5 {
		mustAssign(t, from, start, fmt.Sprint("u", i), "s1")
	}
	pos = pulled(t, start, from, to, pos)
	for i := range forgetLen + 5 {
		e, _ := from.Lookup(start, fmt.Sprint("u", i))
		from.Withdraw(e.Key, e.Stamp)
	}
	pulled(t, start, from, to, pos)
	if to.Len() != 5 {
		t.Fatalf("Len = %d, want the 5 that were not told of", to.Len())
	}
}

// What a peer told is not told on, and what changes nothing wakes nobody.
func TestMergeIsNotJournalled(t *testing.T) {
	from, to := peerTable(100, time.Minute, "lb1"), peerTable(100, time.Minute, "lb2")
	woken := 0
	to.Watch(func() { woken++; to.Head() })
	to.Watch(func() { woken++ })
	pos, head := from.Head(), to.Head()
	mustAssign(t, from, start, "alice", "s1")
	from.Enter(start, "alice", "s1")
	from.Leave(start, "alice")
	pulled(t, start, from, to, pos)
	late := start.Add(time.Minute)
	to.Sweep(late, 10)
	if to.Head() != head || woken != 0 || to.Len() != 0 {
		t.Fatalf("Head grew by %d, %d calls, Len %d, want none", to.Head()-head, woken, to.Len())
	}
	// The other's clock is behind: it still has the entry and offers it again
	// and again. It stays refused, until it has expired there too.
	for i := range 3 {
		n := repair(t, late, from, to)
		repair(t, start, to, from)
		if floors := max(1-i, 0); n != 1+floors {
			t.Fatalf("%d buckets differ, want that of the entry, and at first that of the floors", n)
		}
	}
	if to.Head() != head || woken != 0 || to.Len() != 0 || from.Len() != 1 {
		t.Fatalf("Head grew by %d, %d calls, Len %d and %d", to.Head()-head, woken, to.Len(), from.Len())
	}
	from.Sweep(late, 10)
	settle(t, late, []*Table{from, to})
	to.Enter(late, "bob", "s1") // an assignment and a session, told at once
	if woken != 2 || to.Head() != head+2 {
		t.Fatalf("%d calls and %d positions for a session that begins, want 2 and 2", woken, to.Head()-head)
	}
}

func TestOnMoved(t *testing.T) {
	tb := peerTable(100, time.Hour, "lb1")
	mustAssign(t, tb, start, "alice", "s1")
	mustAssign(t, tb, start, "bob", "s1")
	tb.Enter(start, "alice", "s1")
	var calls []string
	tb.OnMoved(func(key, from, to string) {
		tb.Enter(start, key, to) // no lock is held
		calls = append(calls, key+" "+from+" "+to)
	})
	at := wall(start) + 100
	updates := []Update{}
	for _, key := range []string{"alice", "bob", "carol"} {
		updates = append(updates, Update{Key: key, Server: "s2", Time: at, Writer: "lb2", LastUsed: start.UnixMilli()})
	}
	b := blobOf(t, nil, updates)
	mustMerge(t, start, tb, b, b)
	if want := []string{"alice s1 s2"}; !reflect.DeepEqual(calls, want) {
		t.Fatalf("moved %q, want %q: only who has sessions here, once", calls, want)
	}
}

// What is impossible is passed over, and the rest merged.
func TestMergePassesOverTheImpossible(t *testing.T) {
	good := Update{Key: "good", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli()}
	future := wall(start.Add(2 * time.Minute))
	for name, spoil := range map[string]func(*Update){
		"time ahead":    func(u *Update) { u.Time = future },
		"no time":       func(u *Update) { u.Time = 0 },
		"slot ahead":    func(u *Update) { u.Slots = []Slot{{"lb2", 1, future}} },
		"slot of never": func(u *Update) { u.Slots = []Slot{{"lb2", 1, 0}} },
		"used ahead":    func(u *Update) { u.LastUsed = start.Add(time.Hour).UnixMilli() },
	} {
		bad := good
		bad.Key = "bad"
		spoil(&bad)
		tb := peerTable(10, time.Hour, "lb1")
		n, err := tb.Merge(start, "lb2", blobOf(t, nil, []Update{bad, good, bad}))
		if n != 3 || !errors.Is(err, ErrStamp) || tb.Len() != 1 || !strings.Contains(err.Error(), "2 entries") {
			t.Errorf("%s: Merge = %d, %v, Len %d, want 3, ErrStamp for 2 and 1", name, n, err, tb.Len())
		}
	}
	tb := peerTable(10, time.Hour, "lb1")
	n, err := tb.Merge(start, "lb2", blobOf(t, []Floor{{"lb3", future}, {"lb4", 0}}, []Update{good}))
	if n != 1 || !errors.Is(err, ErrStamp) || len(tb.Floors()) != 1 || tb.Len() != 1 {
		t.Errorf("floor ahead: Merge = %d, %v, floors %v", n, err, tb.Floors())
	}
}
