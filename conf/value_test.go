package conf

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"31m": 31 * time.Minute, "2s": 2 * time.Second, "1d": day, "1d12h": 36 * time.Hour,
		"0": 0, "0s": 0, "1.5h": 90 * time.Minute, "365d": 365 * day, "250ms": 250 * time.Millisecond, "-1s": -time.Second,
	} {
		if got, err := parseDuration(s); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "30", "d", "1d1", "1h1d", "-1d", "1 d", "70000d", "106751d24h", "9999999999h", "x"} {
		if got, err := parseDuration(s); err == nil {
			t.Errorf("%q: %v, want an error", s, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "31m": 31 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second,
		"365d": 365 * day, "36h": 36 * time.Hour, "1.5s": 1500 * time.Millisecond, "10m": 10 * time.Minute,
		"20h": 20 * time.Hour, "10s": 10 * time.Second,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
		if back, err := parseDuration(formatDuration(d)); err != nil || back != d {
			t.Errorf("%v comes back as %v, %v", d, back, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "7": 7, "1k": 1024, "2M": 2 << 20, "3g": 3 << 30, "8589934591g": 8589934591 << 30,
	} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "k", "-1", "1t", "1.5k", "8589934592g", "1 k", "1kk", "99999999999999999999"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	names := []string{"maxconn", "backend", "tls", "ca_file", "key"}
	for got, want := range map[string]string{
		"maxcon": "maxconn", "bakcend": "backend", "tsl": "tls", "ca-file": "ca_file", "MAXCONN": "maxconn",
		"completely": "", "x": "", "": "", "kye": "key", "keystore": "key", "back": "backend", "ba": "",
	} {
		if hint, name := didYouMean(got, names); name != want || (hint == "") != (want == "") {
			t.Errorf("%q: %q %q, want %q", got, hint, name, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestBindsOverlapAsBindRefuses(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"0.0.0.0:993", "127.0.0.1:993", true}, {"0.0.0.0:993", "[::1]:993", false}, {"[::]:993", "127.0.0.1:993", true},
		{":993", "[::1]:993", true}, {":993", "0.0.0.0:993", true}, {"127.0.0.1:993", "127.0.0.2:993", false},
		{"127.0.0.1:993", "127.0.0.1:994", false}, {":0", ":0", false}, {"unix:/a", "unix:/a", true},
		{"unix:/a", "unix:/b", false}, {"unix:/a", ":993", false},
	} {
		a, errA := parseBind(c.a)
		b, errB := parseBind(c.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.overlaps(b) != c.want || b.overlaps(a) != c.want {
			t.Errorf("%s and %s: %t, want %t", c.a, c.b, a.overlaps(b), c.want)
		}
	}
}
