package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads Go's durations, and days in front: "1d", "1d12h".
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf(`bad duration %q: write numbers with units (ms, s, m, h, d), such as "30s"`, s)
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, bad
	}
	d := time.Duration(0)
	if rest != "" || !found {
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, bad
		}
	}
	if d > math.MaxInt64-time.Duration(n)*day {
		return 0, bad
	}
	return time.Duration(n)*day + d, nil
}

// formatDuration is the shortest text that parseDuration reads as d.
func formatDuration(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseSize reads a whole number that may end in k, m or g: times 1024, 1024²
// or 1024³, as HAProxy counts.
func parseSize(s string) (int64, error) {
	digits, shift := s, 0
	if s != "" {
		shift = 10 * (1 + strings.IndexByte("kmg", s[len(s)-1]|0x20))
	}
	if shift > 0 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf(`bad number %q: write digits, and k, m or g behind them for 1024, 1024² or 1024³`, s)
	}
	return int64(n) << shift, nil
}

// describe tells what kind of value the file has where another was expected.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the string %q", v)
	case bool:
		return fmt.Sprintf("%t", v)
	case int64, float64:
		return fmt.Sprintf("the number %v", v)
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "a list"
}

// elements are the elements of a list, whichever way the library holds it.
func elements(v any) (list []any, ok bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case []map[string]any:
		for _, table := range v {
			list = append(list, table)
		}
		return list, true
	}
	return nil, false
}
