package cluster

import (
	"fmt"
	"testing"
	"time"
)

// Who asks for the events behind those he knows gets each once, and those that
// are no longer held are left out.
func TestEventsAfter(t *testing.T) {
	now := time.UnixMilli(1_700_000_000_000)
	c, err := New(now, "lb1", DefaultConfig(), nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := uint64(0)
	for _, step := range []struct{ add, want int }{{0, 0}, {1, 1}, {0, 0}, {3, 3}, {maxEvents + 5, maxEvents}, {1, 1}} {
		for i := range step.add {
			c.Note(now, "admin uid=0", fmt.Sprint("order ", i))
		}
		var list []Event
		before := seen
		list, seen = c.EventsAfter(seen)
		if len(list) != step.want || seen != before+uint64(step.add) {
			t.Fatalf("behind %d: %d events, %d in all; want %d", before, len(list), seen, step.want)
		}
		if n := len(list); n > 0 && list[n-1].What != fmt.Sprint("order ", step.add-1) {
			t.Errorf("the last one is %q", list[n-1].What)
		}
	}
}
