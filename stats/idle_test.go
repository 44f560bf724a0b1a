package stats

import (
	"testing"
	"time"
)

func TestIdleMeter(t *testing.T) {
	var m idleMeter
	if got := m.percent(noon, noon, 2); got != 100 {
		t.Errorf("at the start: %d", got)
	}
	m.used = -time.Second // so much CPU was used since
	m.used += cpuTime()
	if got := m.percent(noon.Add(500*time.Millisecond), noon, 2); got != 100 {
		t.Errorf("measured too soon: %d", got)
	}
	if got := m.percent(noon.Add(2*time.Second), noon, 2); got < 60 || got > 75 {
		t.Errorf("1 s of 2 CPUs for 2 s: %d, want about 75", got)
	}
	if got := m.percent(noon.Add(4*time.Second), noon, 0); got < 90 {
		t.Errorf("nothing used since: %d", got)
	}
}
