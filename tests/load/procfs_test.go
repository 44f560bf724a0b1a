package main

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestParentInStat(t *testing.T) {
	for stat, want := range map[string]int{
		"12 (nginx) S 7 12 12 0":  7,
		"12 (a) b) 3 (x) R 9 1 1": 9,
		"12 (with space) S 5":     5,
		"12 (cut) S":              0,
		"12 (not a number) S x 1": 0,
	} {
		if got, _ := parentInStat([]byte(stat)); got != want {
			t.Errorf("%q: got %d, want %d", stat, got, want)
		}
	}
}

func TestPssInRollup(t *testing.T) {
	const rollup = "5606-7fff ---p 00000000 00:00 0   [rollup]\nRss:      1716 kB\nPss:       352 kB\nPss_Dirty: 112 kB\n"
	if got, err := pssInRollup([]byte(rollup)); err != nil || got != 352 {
		t.Errorf("got %g, %v; want 352", got, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Pss: many kB\n"} {
		if got, err := pssInRollup([]byte(bad)); err == nil {
			t.Errorf("%q: got %g and no error", bad, got)
		}
	}
}

func TestBusyInStat(t *testing.T) {
	const stat = "cpu  100 20 3 9999 8888 4 5 6 7 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
	if got, err := busyInStat([]byte(stat)); err != nil || got != 1380*time.Millisecond {
		t.Errorf("got %v, %v; want 1.38s", got, err)
	}
	for _, bad := range []string{"", "intr 1 2 3 4 5 6 7 8 9\n", "cpu 1 2 3\n", "cpu a b c d e f g h i\n"} {
		if got, err := busyInStat([]byte(bad)); err == nil {
			t.Errorf("%q: got %v and no error", bad, got)
		}
	}
}

// TestOwnProcess reads what can be told of the test itself.
func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	tree, err := processTree(pid)
	if err != nil || tree[0] != pid {
		t.Errorf("process tree: %v, %v", tree, err)
	}
	above, err := processTree(os.Getppid())
	if err != nil || !slices.Contains(above, pid) {
		t.Errorf("the parent's tree %v lacks %d, %v", above, pid, err)
	}
	before, err := cpuTime(tree)
	if err != nil || before <= 0 {
		t.Fatalf("CPU time: %v, %v", before, err)
	}
	for after := before; after == before; {
		if after, err = cpuTime(tree); err != nil {
			t.Fatal(err)
		}
	}
	if kib, err := memory(tree); err != nil || kib < 100 {
		t.Errorf("memory: %g KiB, %v", kib, err)
	}
	if n := descriptors(tree); n < 3 {
		t.Errorf("descriptors: %d, want at least the three standard ones", n)
	}
}
