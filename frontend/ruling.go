package frontend

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"imaplb/session"
	"imaplb/sticktable"
)

// Ruling is what a frontend would do now with a client from an address, whoever
// the user is.
type Ruling struct {
	Trusted  bool // by trusted_networks: no rule holds, and no wrong password makes him wait
	Rules    int  // how many there are
	Table    string
	Counters string // those of the source at all peers, in words; "" if none are stored
	Connect  Judged // when he connects
	Login    Judged // when he logs in
	Level    int    // of wrong passwords of the source
	Delay    time.Duration
}

// Judged is what the rules say.
type Judged struct {
	Action string // "allow", "deny" or "tarpit"
	Rule   int    // its number, from 1; 0 is none
	Words  string // the rule as it stands in the file
}

// Ruling asks the rules of the frontend about one more connection from an
// address, and about a login on it. It counts nothing. Delay is how late another
// wrong password would be answered, as it would be on a new connection.
func (f *Frontend) Ruling(now time.Time, src netip.Addr) (r Ruling) {
	s := f.set.Load()
	r.Rules = len(s.rules)
	r.Connect.Action, r.Login.Action = actions[allow], actions[allow]
	r.Trusted = s.trusted.covers(netip.AddrPortFrom(src, 0))
	var v sticktable.Values
	var store sticktable.Store
	if t := s.Track; t != nil {
		store = t.Stored()
		v, _ = t.Values(now, t.KeyOfAddr(src))
		r.Table, r.Counters = t.Name(), counterWords(&store, &v)
	}
	if r.Trusted {
		return r
	}
	r.Level, _ = f.e.penalties.look(now, sourceOf(src))
	r.Delay = session.LoginDelay(min(r.Level+1, maxLevel))
	for _, d := range [...]sticktable.Data{sticktable.ConnCnt, sticktable.ConnRate, sticktable.ConnCur} {
		if store.Has(d) {
			v[d]++ // admit has counted the connection before it asks
		}
	}
	r.Connect = s.judged(judge(s.rules, src, &v, false))
	if s.Track != nil { // see ruledOut
		r.Login = s.judged(judge(s.rules, src, &v, true))
	}
	return r
}

var actions = [...]string{allow: "allow", deny: "deny", tarpit: "tarpit"}

func (s *settings) judged(what verdict, n int) Judged {
	j := Judged{Action: actions[what], Rule: n}
	if n > 0 {
		j.Words = s.Config.Rules[n-1].words()
	}
	return j
}

// words is a rule in one line.
func (r *Rule) words() string {
	text := r.Action
	if len(r.Src) > 0 {
		text += " src " + strings.Join(r.Src, ", ")
	}
	if len(r.When) > 0 {
		text += " when " + strings.Join(r.When, " and ")
	}
	return text
}

// counterWords are the counters that a table stores, "" for none.
func counterWords(store *sticktable.Store, v *sticktable.Values) string {
	var list []string
	for d := range sticktable.NumData {
		switch {
		case !store.Has(d):
		case store.Period(d) > 0:
			list = append(list, fmt.Sprintf("%s(%s) %d", d, store.Period(d), v[d]))
		default:
			list = append(list, fmt.Sprintf("%s %d", d, v[d]))
		}
	}
	return strings.Join(list, ", ")
}
