package main

import (
	"cmp"
	"math"
	"slices"
)

// percentile returns the smallest value that at least p percent of the values
// do not exceed (the nearest-rank method). sorted is ascending; of nothing it
// is zero.
func percentile[T any](sorted []T, p float64) T {
	var zero T
	if len(sorted) == 0 {
		return zero
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// summary is what is shown of the values of several rounds.
type summary struct {
	n                int
	median, min, max float64
}

// summarize leaves out NaN, which stands for a round that failed. values is
// not changed.
func summarize(values []float64) summary {
	v := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(v) == 0 {
		return summary{median: math.NaN(), min: math.NaN(), max: math.NaN()}
	}
	slices.SortFunc(v, cmp.Compare[float64])
	mid := len(v) / 2
	median := v[mid]
	if len(v)%2 == 0 {
		median = (v[mid-1] + v[mid]) / 2
	}
	return summary{n: len(v), median: median, min: v[0], max: v[len(v)-1]}
}

// ratios divides round by round: what disturbs a round disturbs both sides of
// it alike. A round missing on either side is NaN.
func ratios(a, b []float64) []float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return r
}

// lesser is the smaller of a and b round by round. A round missing on one side
// has the other's value.
func lesser(a, b []float64) []float64 {
	if len(a) < len(b) {
		a, b = b, a
	}
	r := slices.Clone(a)
	for i, v := range b {
		if math.IsNaN(r[i]) || v < r[i] {
			r[i] = v
		}
	}
	return r
}
