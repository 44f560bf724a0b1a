package tests

import (
	"fmt"
	"regexp"
	"testing"
	"time"
)

// stay is a session as Dovecot's log tells of it. Its times are whole seconds.
type stay struct {
	user     string
	from, to time.Time
	server   int // by which of the logs, from 1
}

// Lines of Dovecot's log: of a login, and of the end of the session.
var (
	loginLine = regexp.MustCompile(`(?m)^(\w+ [ \d]\d [\d:]+) imap-login: Info: Login: user=<([^>]+)>.*session=<([^>]+)>`)
	endLine   = regexp.MustCompile(`(?m)^(\w+ [ \d]\d [\d:]+) imap\([^)]*\)<\d+><([^>]+)>: Info: (?:Disconnected|Logged out|Connection closed)`)
)

// stays are the sessions of a Dovecot, those open yet included.
func (d *dovecot) stays(t testing.TB) []stay {
	t.Helper()
	now := time.Now()
	at := func(text string) time.Time {
		when, err := time.ParseInLocation("2006 Jan _2 15:04:05", fmt.Sprint(now.Year(), " ", text), time.Local)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	log := d.log()
	ends := map[string]time.Time{}
	for _, m := range endLine.FindAllStringSubmatch(log, -1) {
		ends[m[2]] = at(m[1])
	}
	var all []stay
	for _, m := range loginLine.FindAllStringSubmatch(log, -1) {
		s := stay{user: m[2], from: at(m[1]), to: now}
		if end, ended := ends[m[3]]; ended {
			s.to = end
		}
		all = append(all, s)
	}
	return all
}

// logTruth is how far a time that is cut to whole seconds may be off, for both
// ends of an overlap.
const logTruth = time.Second

// wantOneHome fails the test if one of the users was on two servers at once
// after since, as far as the Dovecots' logs can tell.
func wantOneHome(t testing.TB, users []string, since time.Time, dovecots ...*dovecot) {
	t.Helper()
	wanted := map[string]bool{}
	for _, u := range users {
		wanted[u] = true
	}
	all := map[string][]stay{} // by user
	for i, d := range dovecots {
		for _, s := range d.stays(t) {
			if s.server = i + 1; wanted[s.user] {
				all[s.user] = append(all[s.user], s)
			}
		}
	}
	for _, stays := range all {
		for i, a := range stays {
			wantApart(t, a, stays[:i], since)
		}
	}
}

// wantApart is wantOneHome for one session of a user and others of his.
func wantApart(t testing.TB, a stay, others []stay, since time.Time) {
	t.Helper()
	for _, b := range others {
		if both := overlap(a, b, since); a.server != b.server && both > logTruth {
			t.Errorf("%s was on servers %d and %d for %v from %s on", a.user, a.server, b.server, both,
				latest(a.from, b.from).Format(time.TimeOnly))
		}
	}
}

// overlap is how long two sessions were open at once after since.
func overlap(a, b stay, since time.Time) time.Duration {
	end := a.to
	if b.to.Before(end) {
		end = b.to
	}
	return end.Sub(latest(latest(a.from, b.from), since))
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
