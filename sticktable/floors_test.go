package sticktable

import (
	"bytes"
	"fmt"
	"testing"
	"time"
)

// A peer found dead has no sessions any more, whoever still tells of them.
func TestVoid(t *testing.T) {
	a, b, dead := peerTable(1000, time.Minute, "lb1"), peerTable(1000, time.Minute, "lb2"), peerTable(1000, time.Minute, "lb3")
	for i := range 600 {
		dead.Enter(start, fmt.Sprint("u", i), "s1")
	}
	b.Enter(start, "u0", "s1")
	learnAll(t, start, dead, a)
	learnAll(t, start, dead, b)
	settle(t, start, []*Table{a, b})
	pos := a.Head()
	late := start.Add(time.Hour)
	a.Void(late, "lb3")
	checkTable(t, a)
	if e, _ := a.Lookup(late, "u0"); e.Sessions != 1 {
		t.Fatalf("u0 has %d sessions, want that of lb2", e.Sessions)
	}
	if e, ok := a.Lookup(late, "u1"); !ok || e.Sessions != 0 || !e.Expires.Equal(late.Add(time.Minute)) {
		t.Fatalf("u1 is %+v, %v, want it idle from now on", e, ok)
	}
	pulled(t, late, a, b, pos) // the floor travels, the entries need not
	if e, _ := b.Lookup(late, "u1"); e.Sessions != 0 {
		t.Fatalf("u1 has %d sessions at the other peer, want none", e.Sessions)
	}
	learnAll(t, late, dead, a) // late news
	if e, _ := a.Lookup(late, "u1"); e.Sessions != 0 {
		t.Fatalf("u1 has %d sessions again, want them gone for good", e.Sessions)
	}
	settle(t, late, []*Table{a, b})
	allEqual(t, []*Table{a, b})
	a.Void(late, "lb1") // not one's own
	a.Void(late, "")
	if f := a.Floors(); len(f) != 3 || f[0] != (Floor{"lb1", wall(start) + 1}) && f[0].Peer != "lb1" {
		t.Fatalf("floors %+v, want one for each of three peers", f)
	}
	if a.Sweep(late.Add(time.Minute), 1000) != 599 {
		t.Fatal("the entries that became idle did not expire")
	}
}

// A peer that was only cut off counts its sessions anew.
func TestPeerThatWasNotDead(t *testing.T) {
	a, b := peerTable(100, time.Minute, "lb1"), peerTable(100, time.Minute, "lb2")
	b.Enter(start, "alice", "s1")
	b.Enter(start, "bob", "s1")
	b.Leave(start, "bob")
	settle(t, start, []*Table{a, b})
	posA, posB := a.Head(), b.Head()
	a.Void(start, "lb2")
	woken := 0
	b.Watch(func() { woken++ })
	pulled(t, start, a, b, posA)
	if woken == 0 || b.Head() != posB+1 {
		t.Fatalf("%d calls and %d positions, want one for the live slot", woken, b.Head()-posB)
	}
	checkTable(t, b)
	pulled(t, start, b, a, posB)
	if e, _ := a.Lookup(start, "alice"); e.Sessions != 1 || a.Slots("bob") != nil {
		t.Fatalf("alice has %d sessions, bob's slots are %+v, want 1 and none", e.Sessions, a.Slots("bob"))
	}
	settle(t, start, []*Table{a, b})
	allEqual(t, []*Table{a, b})
	b.Leave(start, "alice")
	pulled(t, start, b, a, posB)
	if e, _ := a.Lookup(start, "alice"); e.Sessions != 0 {
		t.Fatalf("alice has %d sessions, want 0", e.Sessions)
	}
}

// A process that begins again tells by its floor that its sessions are gone.
func TestRestart(t *testing.T) {
	a, b := peerTable(100, time.Hour, "lb1"), peerTable(100, time.Hour, "lb2")
	b.Enter(start, "alice", "s1")
	b.Enter(start, "bob", "s2")
	settle(t, start, []*Table{a, b})
	var file bytes.Buffer
	b.Save(start, &file)
	later := start.Add(time.Second)
	b = New("users", Config{Size: 100, Expire: time.Hour}, "lb2")
	if n, err := b.Load(later, &file); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	b.Replicate(later)
	b.Replicate(later) // once is enough
	checkTable(t, b)
	b.Enter(later, "alice", "s1")
	settle(t, later, []*Table{a, b})
	allEqual(t, []*Table{a, b})
	for key, want := range map[string]int{"alice": 1, "bob": 0} {
		if e, ok := a.Lookup(later, key); !ok || e.Sessions != want {
			t.Errorf("%s has %d sessions, %v, want %d", key, e.Sessions, ok, want)
		}
	}
}

// A process whose clock was set back between two runs corrects the sessions
// that its peers still count from the run before.
func TestRestartInThePast(t *testing.T) {
	a, b := peerTable(100, time.Minute, "lb1"), peerTable(100, time.Minute, "lb2")
	later := start.Add(30 * time.Second)
	for i := range 10 {
		b.Enter(later, fmt.Sprint("u", i), "s1")
	}
	b.Leave(later, "u9")
	settle(t, later, []*Table{a, b})
	b = peerTable(100, time.Minute, "lb2") // at start, without a file
	b.Enter(start, "u1", "s1")
	b.Enter(start, "u1", "s1")
	b.Enter(start, "u2", "s1")
	pos := b.Head()
	far := start.Add(2 * time.Minute) // the entries would have expired here
	a.Sweep(far, 100)
	repair(t, far, a, b)
	if b.Sweep(far, 100) != 0 {
		t.Error("what is to be corrected expires before it is told")
	}
	pulled(t, far, b, a, pos)
	if e, _ := a.Lookup(far, "u5"); e.Sessions != 0 {
		t.Errorf("u5 has %d sessions after the journal was read, want 0", e.Sessions)
	}
	settle(t, far, []*Table{a, b})
	allEqual(t, []*Table{a, b})
	for i := range 10 {
		want := map[int]int{1: 2, 2: 1}[i]
		if e, _ := a.Lookup(far, fmt.Sprint("u", i)); e.Sessions != want {
			t.Errorf("u%d has %d sessions, want %d", i, e.Sessions, want)
		}
	}
	if b.Head() == pos || b.Slots("u9") != nil && b.Slots("u9")[0].Count != 0 {
		t.Errorf("Head grew by %d, u9 has slots %+v", b.Head()-pos, b.Slots("u9"))
	}
	head := b.Head()
	settle(t, far, []*Table{a, b})
	if b.Head() != head {
		t.Error("what was corrected is corrected again")
	}
}

// Beyond their bound the lowest floors go, on every peer the same.
func TestFloorsAreBounded(t *testing.T) {
	var all []Floor
	for i := range maxFloors + 51 {
		all = append(all, Floor{fmt.Sprintf("peer%05d", i), wall(start) + uint64(i/2)})
	}
	a, b := New("users", Config{Size: 10, Expire: time.Hour}, "lb1"), New("users", Config{Size: 10, Expire: time.Hour}, "lb1")
	for i := range all {
		mustMerge(t, start, a, blobOf(t, all[i:i+1], nil))
		mustMerge(t, start, b, blobOf(t, all[len(all)-1-i:][:1], nil))
	}
	allEqual(t, []*Table{a, b})
	if f := a.Floors(); len(f) != maxFloors || f[0] != all[51] {
		t.Fatalf("%d floors from %+v on, want the %d highest from %+v on", len(f), f[0], maxFloors, all[51])
	}
	c := New("users", Config{Size: 10, Expire: time.Hour}, "lb1")
	if _, err := c.Merge(start, "x", blobOf(t, all, nil)); err == nil || len(c.Floors()) != 0 {
		t.Fatalf("a blob of %d floors: %v", len(all), err)
	}
}

// Idle entries of a peer do not push out younger ones: two full tables that
// forgot different entries come to hold the same.
func TestFullTablesDoNotPushEntriesAtEachOther(t *testing.T) {
	a, b := peerTable(50, time.Hour, "lb1"), peerTable(50, time.Hour, "lb2")
	for i := range 100 {
		tb := []*Table{a, b}[i%2]
		mustAssign(t, tb, start.Add(time.Duration(i)*time.Millisecond), fmt.Sprint("u", i), "s1")
	}
	now := start.Add(time.Second)
	for range 4 {
		repair(t, now, a, b)
		repair(t, now, b, a)
	}
	gone := a.Evicted() + b.Evicted()
	repair(t, now, a, b)
	repair(t, now, b, a)
	if n := a.Evicted() + b.Evicted() - gone; n != 0 {
		t.Fatalf("%d entries still go each round", n)
	}
	for i := 50; i < 100; i++ {
		wantServer(t, a, now, fmt.Sprint("u", i), "s1")
	}
	allEqual(t, []*Table{a, b})
	if a.Refused()+b.Refused() != 0 {
		t.Fatal("old entries of peers are counted as refused")
	}
}

func TestOldEntriesOfPeersAreNotWorthYoungerOnes(t *testing.T) {
	a, b := peerTable(50, time.Hour, "lb1"), peerTable(50, time.Hour, "lb2")
	for i := range 50 {
		mustAssign(t, a, start, fmt.Sprint("old", i), "s1")
		mustAssign(t, b, start.Add(time.Second), fmt.Sprint("young", i), "s1")
	}
	now := start.Add(2 * time.Second)
	repair(t, now, a, b)
	if b.Evicted() != 0 {
		t.Fatalf("%d entries went for older ones", b.Evicted())
	}
	repair(t, now, b, a)
	if a.Evicted() != 50 {
		t.Fatalf("%d entries went, want all 50 for younger ones", a.Evicted())
	}
	a.Enter(now, "young1", "s1")
	a.Leave(now, "young1")
	settle(t, now, []*Table{a, b})
	allEqual(t, []*Table{a, b})
}
