package sticktable

import (
	"strings"
	"testing"
	"time"
)

func TestParseStore(t *testing.T) {
	s, err := ParseStore([]string{"conn_cnt", "conn_rate(10s)", "gpt0", "auth_fail_rate(100ms)"})
	if err != nil {
		t.Fatal(err)
	}
	for d := range NumData {
		want := d == ConnCnt || d == ConnRate || d == GPT0 || d == AuthFailRate
		if s.Has(d) != want {
			t.Errorf("Has(%s) = %v, want %v", d, s.Has(d), want)
		}
	}
	if s.Period(ConnRate) != 10*time.Second || s.Period(AuthFailRate) != 100*time.Millisecond || s.Period(ConnCnt) != 0 {
		t.Errorf("periods %v", s.period)
	}
	for word, want := range map[string]string{
		"": "unknown counter", "gpc9": "unknown counter", "conn_cnt(1s)": "no rate", "conn_rate": "is a rate",
		"conn_rate()": "bad period", "conn_rate(1s": "bad period", "conn_rate(1s))": "bad period", "conn_rate(99ms)": "bad period",
		"conn_rate(-1s)": "bad period", "conn_rate(577h)": "bad period", "conn_rate(1000100us)": "bad period",
	} {
		if _, err := ParseStore([]string{word}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseStore(%q) = %v, want %q in it", word, err, want)
		}
	}
	if _, err := ParseStore([]string{"gpt0", "gpt0"}); err == nil {
		t.Error("one counter twice is allowed")
	}
}

func FuzzParseStore(f *testing.F) {
	f.Add("conn_rate(10s)")
	f.Add("gpt0")
	f.Fuzz(func(t *testing.T, word string) {
		s, err := ParseStore([]string{word})
		if err != nil && s != (Store{}) {
			t.Errorf("ParseStore(%q) = %v and %v", word, s, err)
		}
		for d := range NumData {
			if s.Has(d) && dataNames[d].rate != (s.Period(d) >= minPeriod) {
				t.Errorf("ParseStore(%q): %s has the period %s", word, d, s.Period(d))
			}
		}
	})
}

// A rate is what a period that ends now covers, as HAProxy counts it.
func TestRate(t *testing.T) {
	const period = 1000
	w := make([]uint64, 2)
	at := start.UnixMilli()
	read := func(now int64) int64 { return int64(readRate(w, period, now) / period) }
	addRate(w, period, at, 100)
	for _, c := range []struct{ after, want int64 }{
		{0, 100}, {999, 100}, {1000, 100}, {1250, 75}, {1999, 0}, {2000, 0}, {1 << 40, 0}, {-5000, 100},
	} {
		if got := read(at + c.after); got != c.want {
			t.Errorf("%d ms later %d, want %d", c.after, got, c.want)
		}
	}
	addRate(w, period, at+1500, 10)
	if got := read(at + 1500); got != 60 {
		t.Errorf("half of 100 and 10 = %d", got)
	}
	addRate(w, period, at+1500, maxEvents)
	if got := w[1] & maxEvents; got != maxEvents || w[1]>>32 != 100 {
		t.Errorf("overflow: %d now, %d before", got, w[1]>>32)
	}
}
