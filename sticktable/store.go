package sticktable

import (
	"fmt"
	"strings"
	"time"
)

// A Data is a counter that the entries of a table may have. The names are
// HAProxy's but for the last two.
type Data uint8

// The counters, in the order in which they are shown.
const (
	GPT0         Data = iota // a mark that an operator sets
	GPC0                     // a counter that an operator sets
	ConnCnt                  // connections
	ConnRate                 // connections in a period
	ConnCur                  // connections now
	SessCnt                  // logins that a server accepted
	SessRate                 // the same in a period
	BytesInCnt               // bytes from the client, of ended sessions
	BytesOutCnt              // bytes to the client, of ended sessions
	AuthFailCnt              // wrong passwords
	AuthFailRate             // the same in a period
	NumData                  // how many there are
)

// dataNames are the names in Config.Store, whether a counter is a rate, and its
// number between peers, which is HAProxy's where it has one. conn_cur goes
// without: every slot has it.
var dataNames = [NumData]struct {
	name string
	rate bool
	wire uint64
}{
	GPT0: {"gpt0", false, 1}, GPC0: {"gpc0", false, 2},
	ConnCnt: {"conn_cnt", false, 4}, ConnRate: {"conn_rate", true, 5}, ConnCur: {"conn_cur", false, 0},
	SessCnt: {"sess_cnt", false, 7}, SessRate: {"sess_rate", true, 8},
	BytesInCnt: {"bytes_in_cnt", false, 13}, BytesOutCnt: {"bytes_out_cnt", false, 15},
	AuthFailCnt: {"auth_fail_cnt", false, 64}, AuthFailRate: {"auth_fail_rate", true, 65},
}

// dataNamed is the counter with that name, NumData if there is none.
func dataNamed(name string) Data {
	for d := range NumData {
		if dataNames[d].name == name {
			return d
		}
	}
	return NumData
}

// dataOnWire is the counter with that number, NumData if there is none.
func dataOnWire(number uint64) Data {
	for d := range NumData {
		if n := dataNames[d].wire; n != 0 && n == number {
			return d
		}
	}
	return NumData
}

// String is the name as Config.Store spells it, without a period.
func (d Data) String() string { return dataNames[d].name }

// DataNamed is the counter with that name; false if there is none.
func DataNamed(name string) (Data, bool) {
	d := dataNamed(name)
	return d, d < NumData
}

// DataNames are the names of all counters.
func DataNames() (names []string) {
	for _, n := range dataNames {
		names = append(names, n.name)
	}
	return names
}

// The bounds of a rate's period. HAProxy's is at most some 24 days.
const (
	minPeriod = 100 * time.Millisecond
	maxPeriod = 24 * 24 * time.Hour
)

// A Store says which counters the entries of a table have. The zero Store is
// none.
type Store struct {
	has    [NumData]bool
	period [NumData]int64 // of a rate, ms
}

// Has reports whether a counter is stored.
func (s *Store) Has(d Data) bool { return s.has[d] }

// Period is the period of a rate that is stored, 0 for other counters.
func (s *Store) Period(d Data) time.Duration { return time.Duration(s.period[d]) * time.Millisecond }

// ParseStore reads Config.Store: names of counters, rates with their period:
// "conn_cnt", "conn_rate(10s)".
func ParseStore(words []string) (s Store, err error) {
	for _, word := range words {
		name, rest, isRate := strings.Cut(word, "(")
		d := dataNamed(name)
		switch {
		case d >= NumData:
			return Store{}, fmt.Errorf("unknown counter %q", name)
		case s.has[d]:
			return Store{}, fmt.Errorf("%s stands there twice", name)
		case isRate != dataNames[d].rate && isRate:
			return Store{}, fmt.Errorf("%s is no rate: write it without a period", name)
		case isRate != dataNames[d].rate:
			return Store{}, fmt.Errorf("%s is a rate: write its period, such as %s(10s)", name, name)
		}
		s.has[d] = true
		if !isRate {
			continue
		}
		text, closed := strings.CutSuffix(rest, ")")
		p, err := time.ParseDuration(text)
		if err != nil || !closed || p < minPeriod || p > maxPeriod || p%time.Millisecond != 0 {
			return Store{}, fmt.Errorf("bad period in %q: write %s(10s) or the like, %s to %s", word, name, minPeriod, maxPeriod)
		}
		s.period[d] = p.Milliseconds()
	}
	return s, nil
}
