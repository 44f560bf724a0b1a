package main

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	rows := map[string][]float64{
		"imaplb":  {8, 10, 9},
		"haproxy": {10, 10, 12},
		"nginx":   {20, 5, 20},
	}
	for _, c := range []struct {
		name string
		goal goal
		want string
	}{
		{"none", goal{}, ""},
		{"a number, met", atMost(9), "met: 9 (≤ 9)"},
		{"a number, missed", atMost(8), "MISSED: 9 (≤ 8)"},
		{"at most nothing", atMost(0), "MISSED: 9 (≤ 0)"},
		{"at least a number", atLeast(10), "MISSED: 9 (≥ 10)"},
		{"ratio of each round, not of the medians", atMost(0.8, "haproxy"), "met: 0.8 (≤ 0.8 × haproxy)"},
		{"against the better of two in each round", atMost(0.8, "haproxy", "nginx"), "met: 0.8 (≤ 0.8 × haproxy|nginx)"},
		{"at least a ratio", atLeast(1.3, "haproxy"), "MISSED: 0.8 (≥ 1.3 × haproxy)"},
		{"against what was measured of several", atMost(1, "dovecot", "haproxy"), "met: 0.8 (≤ 1 × haproxy)"},
		{"against a proxy that was not measured", atMost(1, "dovecot"), ""},
	} {
		if got := c.goal.verdict(rows); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	delete(rows, "imaplb")
	if got := atMost(1).verdict(rows); got != "" {
		t.Errorf("without imaplb: got %q, want nothing", got)
	}
}

func TestPrint(t *testing.T) {
	s := samples{}
	s.add("noop-plain/CPU µs", "imaplb", 8)
	s.add("noop-plain/CPU µs", "haproxy", 10)
	m := measurement{name: "noop-plain", figures: []figure{{name: "CPU µs", goal: atMost(1, "haproxy")}, {name: "p99 µs"}}}
	var out strings.Builder
	s.print(&out, []measurement{m}, []string{"imaplb", "haproxy"})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("got %d lines, want a head and two rows:\n%s", len(lines), out.String())
	}
	if got := strings.Join(strings.Fields(lines[1]), " "); got != "noop-plain CPU µs 8 8 to 8 10 10 to 10 0.80 met: 0.8 (≤ 1 × haproxy)" {
		t.Errorf("row: %q", got)
	}
	if !strings.Contains(lines[2], "failed") {
		t.Errorf("a row without values does not say so: %q", lines[2])
	}
}

func TestChoose(t *testing.T) {
	for only, want := range map[string]int{"": len(measurements()), "noop": 2, "login,idle-tls": 4} {
		got, err := choose(measurements(), only)
		if err != nil || len(got) != want {
			t.Errorf("%q: got %d measurements, %v; want %d", only, len(got), err, want)
		}
	}
	if _, err := choose(measurements(), "noop,nonsense"); err == nil {
		t.Error("an unknown name was taken")
	}
}
