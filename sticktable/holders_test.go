package sticktable

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Holders are those with sessions, not those that had some, and not this peer.
func TestHolders(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	table := New("users", Config{Size: 10_000, Expire: time.Hour}, "lb1")
	table.Replicate(now)
	version := wall(now)
	for i := range 3 * rangeStep {
		u := Update{Key: fmt.Sprint("user", i), Server: "s1", Time: version, Writer: "lb2", LastUsed: now.UnixMilli()}
		switch i {
		case 5:
			u.Slots = []Slot{{Peer: "lb3", Count: 2, Version: version}, {Peer: "lb4", Count: 0, Version: version}}
		case 3*rangeStep - 1:
			u.Slots = []Slot{{Peer: "lb2", Count: 1, Version: version}}
		}
		if _, err := table.MergeUpdate(now, u); err != nil {
			t.Fatal(err)
		}
	}
	table.Enter(now, "user1", "s1")
	if got := table.Holders(); !slices.Equal(got, []string{"lb2", "lb3"}) {
		t.Errorf("holders %v, want lb2 and lb3", got)
	}
	table.Void(now, "lb3")
	if got := table.Holders(); !slices.Equal(got, []string{"lb2"}) {
		t.Errorf("holders %v behind the end of lb3, want lb2", got)
	}
}
