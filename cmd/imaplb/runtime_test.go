package main

import (
	"runtime"
	"testing"
)

// TestSpareProcessors: there are as many more than loops as there are CPUs, but
// nothing is taken away, and what was set from outside holds.
func TestSpareProcessors(t *testing.T) {
	before, cpus := runtime.GOMAXPROCS(0), runtime.NumCPU()
	defer runtime.GOMAXPROCS(before)
	for _, tt := range []struct {
		env                string
		procs, loops, want int
	}{
		{"", 2, 2, 2 + cpus},
		{"", 2, 5, 5 + cpus},
		{"", 2*cpus + 4, 2, 2*cpus + 4},
		{"2", 2, 2, 2},
	} {
		t.Setenv("GOMAXPROCS", tt.env)
		runtime.GOMAXPROCS(tt.procs)
		spareProcessors(tt.loops)
		if got := runtime.GOMAXPROCS(0); got != tt.want {
			t.Errorf("GOMAXPROCS=%q, %d before, %d loops: %d, want %d", tt.env, tt.procs, tt.loops, got, tt.want)
		}
	}
}
