package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestPercentile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"nothing", nil, 99, 0},
		{"one value", []time.Duration{7}, 99, 7},
		{"median of two is the lower", []time.Duration{1, 2}, 50, 1},
		{"p0 is the least", hundred, 0, 1},
		{"p50", hundred, 50, 50},
		{"p99", hundred, 99, 99},
		{"p99.5 rounds up", hundred, 99.5, 100},
		{"p100 is the greatest", hundred, 100, 100},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSummarize(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name   string
		values []float64
		want   summary
	}{
		{"one", []float64{3}, summary{1, 3, 3, 3}},
		{"odd, out of order", []float64{9, 1, 5}, summary{3, 5, 1, 9}},
		{"even", []float64{4, 1, 2, 8}, summary{4, 3, 1, 8}},
		{"a failed round is left out", []float64{nan, 2, 6}, summary{2, 4, 2, 6}},
	} {
		before := slices.Clone(c.values)
		if got := summarize(c.values); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if !slices.EqualFunc(before, c.values, sameOrNaN) {
			t.Errorf("%s: values became %v", c.name, c.values)
		}
	}
	if got := summarize([]float64{nan}); got.n != 0 || !math.IsNaN(got.median) {
		t.Errorf("only failures: got %+v, want n 0 and NaN", got)
	}
}

func TestRoundByRound(t *testing.T) {
	nan := math.NaN()
	if got, want := ratios([]float64{2, 9, nan}, []float64{4, 3, 1, 7}), []float64{0.5, 3, nan}; !slices.EqualFunc(got, want, sameOrNaN) {
		t.Errorf("ratios: got %v, want %v", got, want)
	}
	if got, want := lesser([]float64{5, nan, 1}, []float64{3, 2, nan, 8}), []float64{3, 2, 1, 8}; !slices.EqualFunc(got, want, sameOrNaN) {
		t.Errorf("lesser: got %v, want %v", got, want)
	}
}

func sameOrNaN(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
