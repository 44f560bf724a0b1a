package sticktable

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.UnixMilli(1_700_000_000_000)

func newTable(size int, expire time.Duration) *Table {
	return New("users", Config{Key: "user", Size: size, Expire: expire}, "lb1")
}

func mustAssign(t *testing.T, tb *Table, now time.Time, key, server string) Entry {
	t.Helper()
	e, ok := tb.Assign(now, key, server, Entry{})
	if !ok || e.Server != server {
		t.Fatalf("Assign(%q, %q) = %+v, %v, want it stored", key, server, e, ok)
	}
	return e
}

func wantServer(t *testing.T, tb *Table, now time.Time, key, want string) {
	t.Helper()
	e, ok := tb.Lookup(now, key)
	if ok != (want != "") || e.Server != want {
		t.Fatalf("Lookup(%q) = %q, %v, want server %q", key, e.Server, ok, want)
	}
}

func TestAssignIsCompareAndSet(t *testing.T) {
	tb := newTable(10, time.Minute)
	first := mustAssign(t, tb, start, "alice", "s1")
	if e, ok := tb.Assign(start, "alice", "s2", Entry{}); ok || e.Server != "s1" || e.Stamp != first.Stamp {
		t.Fatalf("a second first login got %+v, %v, want s1 of the first and false", e, ok)
	}
	if e, ok := tb.Assign(start, "alice", "s2", first); !ok || e.Server != "s2" || e.Stamp.Time <= first.Stamp.Time {
		t.Fatalf("Assign with the stamp seen = %+v, %v, want s2 with a later stamp", e, ok)
	}
	if e, ok := tb.Assign(start, "alice", "s3", first); ok || e.Server != "s2" {
		t.Fatalf("Assign with an old stamp = %+v, %v, want s2 and false", e, ok)
	}
}

func TestAssignDoesNotMoveASessionThatBeganMeanwhile(t *testing.T) {
	tb := newTable(10, time.Minute)
	seen := mustAssign(t, tb, start, "alice", "s1")
	tb.Enter(start, "alice", "s1")
	if e, ok := tb.Assign(start, "alice", "s2", seen); ok || e.Sessions != 1 {
		t.Fatalf("Assign = %+v, %v, want false: a session began since", e, ok)
	}
	seen, _ = tb.Lookup(start, "alice")
	if _, ok := tb.Assign(start, "alice", "s2", seen); !ok {
		t.Fatal("Assign that knows of the session failed, want it to move the user")
	}
}

func TestEntryExpiresAfterTheLastLeave(t *testing.T) {
	tb := newTable(10, time.Minute)
	mustAssign(t, tb, start, "alice", "s1")
	for range 2 {
		if _, ok := tb.Enter(start, "alice", "s1"); !ok {
			t.Fatal("Enter = false, want counted")
		}
	}
	late := start.Add(24 * time.Hour)
	tb.Leave(late, "alice")
	wantServer(t, tb, late.Add(time.Hour), "alice", "s1") // one session left
	tb.Leave(late, "alice")
	e, _ := tb.Lookup(late, "alice")
	if e.Sessions != 0 || e.Local != 0 || !e.LastUsed.Equal(late) || !e.Expires.Equal(late.Add(time.Minute)) {
		t.Fatalf("after the last Leave the entry is %+v, want it unused since %v", e, late)
	}
	wantServer(t, tb, late.Add(time.Minute-time.Millisecond), "alice", "s1")
	wantServer(t, tb, late.Add(time.Minute), "alice", "")
	if n := tb.Sweep(late.Add(time.Minute), 10); n != 1 || tb.Len() != 0 || tb.Expired() != 1 {
		t.Fatalf("Sweep dropped %d, Len %d, want 1 and 0", n, tb.Len())
	}
}

func TestExpiredEntryIsAssignedAnew(t *testing.T) {
	tb := newTable(10, time.Minute)
	old := mustAssign(t, tb, start, "alice", "s1")
	e, ok := tb.Assign(start.Add(time.Hour), "alice", "s2", Entry{})
	if !ok || e.Server != "s2" || e.Stamp.Time <= old.Stamp.Time || tb.Len() != 1 {
		t.Fatalf("Assign over an expired entry = %+v, %v, Len %d", e, ok, tb.Len())
	}
}

func TestEnterAfterTheEntryWent(t *testing.T) {
	tb := newTable(10, time.Minute)
	mustAssign(t, tb, start, "alice", "s1")
	tb.Delete("alice")
	if e, ok := tb.Enter(start, "alice", "s1"); !ok || e.Server != "s1" || e.Sessions != 1 {
		t.Fatalf("Enter on a missing entry = %+v, %v, want it made again", e, ok)
	}
	tb.Leave(start, "alice")
	if e, _ := tb.Lookup(start, "alice"); e.Sessions != 0 {
		t.Fatalf("sessions = %d after Leave, want 0", e.Sessions)
	}
}

func TestEnterOnAnotherServerIsRefused(t *testing.T) {
	tb := newTable(10, time.Minute)
	mustAssign(t, tb, start, "alice", "s1")
	if err := tb.Set(start, "alice", "s2"); err != nil {
		t.Fatal(err)
	}
	if e, ok := tb.Enter(start, "alice", "s1"); ok || e.Server != "s2" || e.Sessions != 0 {
		t.Fatalf("Enter = %+v, %v, want refused because the user lives on s2", e, ok)
	}
}

func TestFullTableDropsTheLongestUnused(t *testing.T) {
	tb := newTable(3, time.Hour)
	for i := range 3 {
		mustAssign(t, tb, start.Add(time.Duration(i)*time.Second), fmt.Sprint("u", i), "s1")
	}
	tb.Enter(start.Add(time.Minute), "u0", "s1")
	mustAssign(t, tb, start.Add(time.Minute), "u3", "s1")
	for key, want := range map[string]string{"u0": "s1", "u1": "", "u2": "s1", "u3": "s1"} {
		wantServer(t, tb, start.Add(time.Minute), key, want)
	}
	if tb.Len() != 3 || tb.Evicted() != 1 {
		t.Fatalf("Len %d, Evicted %d, want 3 and 1", tb.Len(), tb.Evicted())
	}
}

func TestTableFullOfSessionsRefuses(t *testing.T) {
	tb := newTable(2, time.Hour)
	tb.Enter(start, "u0", "s1")
	tb.Enter(start, "u1", "s1")
	if e, ok := tb.Assign(start, "u2", "s2", Entry{}); !ok || e.Server != "s2" || !e.Stamp.IsZero() {
		t.Fatalf("Assign = %+v, %v, want a usable placement that is not stored", e, ok)
	}
	if e, ok := tb.Enter(start, "u2", "s2"); ok || e.Server != "s2" {
		t.Fatalf("Enter = %+v, %v, want the session uncounted on its own server", e, ok)
	}
	if err := tb.Set(start, "u2", "s2"); !errors.Is(err, ErrFull) {
		t.Fatalf("Set = %v, want ErrFull", err)
	}
	if tb.Len() != 2 || tb.Refused() != 3 {
		t.Fatalf("Len %d, Refused %d, want 2 and 3", tb.Len(), tb.Refused())
	}
}

func TestWithdraw(t *testing.T) {
	tb := newTable(10, time.Hour)
	e := mustAssign(t, tb, start, "stranger", "s1")
	if !tb.Withdraw("stranger", e.Stamp) || tb.Len() != 0 {
		t.Fatal("an assignment that led to nothing stayed")
	}
	e = mustAssign(t, tb, start, "alice", "s1")
	tb.Enter(start, "alice", "s1")
	tb.Leave(start, "alice")
	if tb.Withdraw("alice", e.Stamp) {
		t.Fatal("Withdraw removed an entry that had a session")
	}
	e = mustAssign(t, tb, start, "bob", "s1")
	tb.Set(start, "bob", "s2")
	if tb.Withdraw("bob", e.Stamp) {
		t.Fatal("Withdraw removed somebody else's assignment")
	}
}

func TestDeleteAndClearSpareSessions(t *testing.T) {
	tb := newTable(1000, time.Hour)
	for i := range 500 {
		mustAssign(t, tb, start, fmt.Sprint("u", i), "s1")
	}
	tb.Enter(start, "u7", "s1")
	if ok, inUse := tb.Delete("u7"); ok || !inUse {
		t.Fatalf("Delete of an entry in use = %v, %v, want false, true", ok, inUse)
	}
	if ok, inUse := tb.Delete("nobody"); ok || inUse {
		t.Fatalf("Delete of nothing = %v, %v, want false, false", ok, inUse)
	}
	if ok, _ := tb.Delete("u8"); !ok {
		t.Fatal("Delete = false, want true")
	}
	if removed, inUse := tb.Clear(); removed != 498 || inUse != 1 || tb.Len() != 1 {
		t.Fatalf("Clear = %d, %d, Len %d, want 498, 1, 1", removed, inUse, tb.Len())
	}
	wantServer(t, tb, start, "u7", "s1")
}

func TestSetLimitsShrinks(t *testing.T) {
	tb := newTable(100, time.Hour)
	for i := range 100 {
		mustAssign(t, tb, start.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("u", i), "s1")
	}
	tb.SetLimits(Config{Size: 10, Expire: time.Hour})
	tb.Sweep(start, 50)
	if tb.Len() != 50 {
		t.Fatalf("Len = %d after a sweep of 50, want 50", tb.Len())
	}
	tb.Sweep(start, 50)
	if tb.Len() != 10 {
		t.Fatalf("Len = %d, want the new size 10", tb.Len())
	}
	wantServer(t, tb, start, "u90", "s1")
	wantServer(t, tb, start, "u89", "")
	tb.SetLimits(Config{Size: 10, Expire: time.Second})
	wantServer(t, tb, start.Add(2*time.Second), "u99", "")
}

func TestRangeMeetsEachOnce(t *testing.T) {
	tb := newTable(100_000, time.Hour)
	for i := range 50_000 {
		mustAssign(t, tb, start, fmt.Sprint("u", i), fmt.Sprint("s", i%7))
	}
	seen := map[string]int{}
	tb.Range(start, func(e Entry) bool {
		tb.Enter(start, e.Key, e.Server) // no lock is held
		seen[e.Key]++
		return true
	})
	for key, n := range seen {
		if n != 1 {
			t.Fatalf("%q was met %d times", key, n)
		}
	}
	if len(seen) != 50_000 {
		t.Fatalf("Range met %d entries, want 50000", len(seen))
	}
	n := 0
	tb.Range(start, func(Entry) bool { n++; return n < 3 })
	if n != 3 {
		t.Fatalf("Range went on after false: %d calls, want 3", n)
	}
}

func TestKeysAreBounded(t *testing.T) {
	tb := newTable(10, time.Hour)
	for _, key := range []string{"", strings.Repeat("k", MaxKey+1)} {
		if err := tb.Set(start, key, "s1"); !errors.Is(err, ErrKey) {
			t.Errorf("Set of a key of %d bytes = %v, want ErrKey", len(key), err)
		}
		if e, ok := tb.Assign(start, key, "s1", Entry{}); !ok || e.Server != "s1" || tb.Len() != 0 {
			t.Errorf("Assign of a key of %d bytes = %+v, %v, want it unstored", len(key), e, ok)
		}
	}
	if err := tb.Set(start, "k", strings.Repeat("s", MaxName+1)); !errors.Is(err, ErrName) {
		t.Errorf("Set of a long server name = %v, want ErrName", err)
	}
}

func TestStampsGrowWhenTheClockGoesBack(t *testing.T) {
	tb := newTable(10, time.Hour)
	last := Stamp{}
	for i := range 100 {
		e := Entry{Stamp: last}
		e, ok := tb.Assign(start.Add(-time.Duration(i)*time.Second), "alice", "s1", e)
		if !ok || e.Stamp.Time <= last.Time {
			t.Fatalf("stamp %d after %d, want it greater", e.Stamp.Time, last.Time)
		}
		last = e.Stamp
	}
	if !last.When().Equal(start) {
		t.Fatalf("When = %v, want %v", last.When(), start)
	}
}

func TestKeyOf(t *testing.T) {
	for _, c := range []struct{ kind, user, want string }{
		{"user", "alice@example.org", "alice@example.org"},
		{"domain", "alice@example.org", "example.org"},
		{"domain", "a@b@example.org", "example.org"},
		{"domain", "alice", "alice"},
		{"domain", "alice@", "alice@"},
	} {
		if got := KeyOf(c.kind, c.user); got != c.want {
			t.Errorf("KeyOf(%q, %q) = %q, want %q", c.kind, c.user, got, c.want)
		}
	}
}

// The first logins of many users, several connections each at once, agree on
// one server per user, and all sessions that began also end.
func TestConcurrentLogins(t *testing.T) {
	tb := newTable(100, time.Hour)
	var wg sync.WaitGroup
	homes := make([][50]string, 8)
	for w := range homes {
		wg.Go(func() {
			for i := range homes[w] {
				key := fmt.Sprint("u", i)
				e, ok := tb.Lookup(start, key)
				if !ok {
					e, _ = tb.Assign(start, key, fmt.Sprint("s", w), Entry{})
				}
				if e, ok = tb.Enter(start, key, e.Server); !ok {
					t.Errorf("Enter(%q) = %+v, want counted", key, e)
				}
				homes[w][i] = e.Server
			}
		})
		wg.Go(func() {
			for range 100 {
				tb.Sweep(start, 10)
				tb.Range(start, func(e Entry) bool { return e.Sessions >= 0 })
			}
		})
	}
	wg.Wait()
	for w := range homes {
		for i := range homes[w] {
			if homes[w][i] != homes[0][i] {
				t.Fatalf("u%d is on %q and on %q", i, homes[w][i], homes[0][i])
			}
			tb.Leave(start, fmt.Sprint("u", i))
		}
	}
	if removed, inUse := tb.Clear(); removed != 50 || inUse != 0 {
		t.Fatalf("Clear = %d, %d, want 50 and none in use", removed, inUse)
	}
}
