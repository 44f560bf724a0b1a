package main

import (
	"runtime"
	"testing"
)

// TestSpareProcessor: there is one more than loops, but nothing is taken away,
// and what was set from outside holds.
func TestSpareProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct {
		env                string
		procs, loops, want int
	}{
		{"", 2, 2, 3},
		{"", 2, 5, 6},
		{"", 4, 2, 4},
		{"", 1, 1, 2},
		{"2", 2, 2, 2},
	} {
		t.Setenv("GOMAXPROCS", tt.env)
		runtime.GOMAXPROCS(tt.procs)
		spareProcessor(tt.loops)
		if got := runtime.GOMAXPROCS(0); got != tt.want {
			t.Errorf("GOMAXPROCS=%q, %d before, %d loops: %d, want %d", tt.env, tt.procs, tt.loops, got, tt.want)
		}
	}
}
