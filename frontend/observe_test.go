package frontend

import (
	"testing"
	"time"

	"imaplb/balancer"
)

// What of users' logins tells that a server is ill: that it cannot at present,
// nonsense and hanging up, never a wrong password.
func TestLoginsAreObserved(t *testing.T) {
	answers := map[string]string{
		"no": "NO wrong", "expired": "NO [EXPIRED] change it", "full": "NO [LIMIT] full",
		"later": "NO [UNAVAILABLE] later", "bug": "NO [SERVERBUG] oops", "bad": "BAD what",
	}
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(user, _ string) string {
		if a := answers[user]; a != "" {
			return "L " + a + "\r\n"
		}
		return ""
	})
	r := newRig(t, plan{addrs: []string{d.addr()}})
	s := r.be.Server("s1")
	for user, bad := range map[string]int64{"no": 0, "expired": 0, "full": 0, "later": 1, "bug": 1, "bad": 1} {
		before := s.Hanafail.Load()
		s.SetObserver(&balancer.Observer{Layer7: true, Limit: 100, Act: func(time.Time) {}})
		c := r.greeted()
		c.send("a LOGIN " + user + " " + secretWord + "\r\n")
		c.want("a NO")
		c.send("x LOGOUT\r\n")
		c.gone()
		if got := s.Hanafail.Load() - before; got != bad {
			t.Errorf("a login of %s counts %d times, want %d", user, got, bad)
		}
	}
}
