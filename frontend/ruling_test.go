package frontend

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"imaplb/sticktable"
)

// What Ruling says is what a client then meets, for whatever his counters are; it
// changes none of them.
func TestRulingIsWhatHappens(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	r, table := tracked(t, plan{addrs: []string{d.addr()}},
		Rule{Action: "allow", When: Conditions{"gpt0 == 9"}},
		Rule{Action: "deny", Src: []string{"192.0.2.0/24"}},
		Rule{Action: "deny", When: Conditions{"gpt0 == 1"}},
		Rule{Action: "tarpit", When: Conditions{"auth_fail_cnt > 5", "gpt0 == 2"}},
		Rule{Action: "deny", When: Conditions{"conn_cnt > 70"}},
		Rule{Action: "deny", Src: []string{"127.0.0.0/8"}, When: Conditions{"sess_cnt >= 3"}},
	)
	src := netip.MustParseAddr("127.0.0.1")
	put := func(d sticktable.Data, n int64) {
		t.Helper()
		if err := table.Put(time.Now(), "127.0.0.1", d, n); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name        string
		data        sticktable.Data
		n           int64
		at, atLogin int // rules
	}{
		{name: "nothing known", data: sticktable.GPT0},
		{name: "marked", data: sticktable.GPT0, n: 1, at: 3, atLogin: 3},
		{name: "unmarked", data: sticktable.GPT0},
		{name: "guesses", data: sticktable.AuthFailCnt, n: 6},
		{name: "guesses and is marked", data: sticktable.GPT0, n: 2, at: 4, atLogin: 4},
		{name: "allowed", data: sticktable.GPT0, n: 9, at: 1, atLogin: 1},
		{name: "logged in three times", data: sticktable.GPT0, at: 6, atLogin: 6},
		{name: "forgiven", data: sticktable.SessCnt, n: 1},
		{name: "one connection before too many", data: sticktable.ConnCnt, n: 69},
		{name: "one too many", data: sticktable.ConnCnt, n: 70, at: 5, atLogin: 6},
	} {
		put(c.data, c.n)
		before := of(table)
		is := r.fe.Ruling(time.Now(), src)
		if of(table) != before {
			t.Errorf("%s: Ruling changed the counters", c.name)
		}
		if is.Connect.Rule != c.at || is.Login.Rule != c.atLogin || is.Rules != 6 || is.Table != "sources" {
			t.Errorf("%s: Ruling = %+v, want rules %d and %d", c.name, is, c.at, c.atLogin)
		}
		if got := r.meets(); got != is.Connect.Action {
			t.Errorf("%s: the client met %s, Ruling says %s", c.name, got, is.Connect.Action)
		}
		r.eventually("nobody is connected", func() bool { return of(table)[sticktable.ConnCur] == 0 })
	}
	elsewhere := r.fe.Ruling(time.Now(), netip.MustParseAddr("::ffff:192.0.2.7"))
	if want := (Judged{Action: "deny", Rule: 2, Words: "deny src 192.0.2.0/24"}); elsewhere.Connect != want || elsewhere.Login.Rule != 0 {
		t.Errorf("Ruling of another = %+v, want %+v", elsewhere, want)
	}
	if want := "gpt0 0, conn_cnt 71, conn_rate(1h0m0s) "; !strings.HasPrefix(r.fe.Ruling(time.Now(), src).Counters, want) {
		t.Errorf("counters %q, want %q", r.fe.Ruling(time.Now(), src).Counters, want)
	}
}

// meets is what a new client is given: the word of a rule's action.
func (r *rig) meets() string {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	line := c.lineOrEnd()
	switch {
	case line == "":
		return "tarpit"
	case strings.HasPrefix(line, "* BYE"):
		return "deny"
	}
	c.send("a LOGIN alice " + secretWord + "\r\n")
	if line = c.lineOrEnd(); strings.HasPrefix(line, "a OK") {
		return "allow"
	}
	return "deny"
}

// lineOrEnd is a line, or "" if the connection ends instead.
func (c *client) lineOrEnd() string {
	line, _ := c.in.ReadString('\n')
	return line
}

// A login that rules on logins refuse is told of, too; trusted clients are let
// alone.
func TestRulingAtLogin(t *testing.T) {
	r, table := tracked(t, plan{addrs: []string{"127.0.0.1:1"}},
		Rule{Action: "allow", When: Conditions{"conn_cur > 0", "sess_cnt == 0"}},
		Rule{Action: "deny", When: Conditions{"gpc0 > 0"}},
		Rule{Action: "deny", When: Conditions{"gpt0 > 0"}},
	)
	if err := table.Put(time.Now(), "127.0.0.1", sticktable.GPT0, 1); err != nil {
		t.Fatal(err)
	}
	src := netip.MustParseAddr("127.0.0.1")
	if is := r.fe.Ruling(time.Now(), src); is.Connect.Action != "allow" || is.Connect.Rule != 1 {
		t.Errorf("Ruling = %+v, want rule 1", is)
	}
	r.set.Config.Trusted = []string{"127.0.0.0/8"}
	r.fe.Update(r.set)
	if is := r.fe.Ruling(time.Now(), src); !is.Trusted || is.Connect.Rule != 0 || is.Delay != 0 {
		t.Errorf("Ruling of a trusted client = %+v", is)
	}
}

// The level and the delay are those that the next wrong password then meets;
// asking changes nothing.
func TestRulingOfWrongPasswords(t *testing.T) {
	r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}})
	now, src := time.Now(), netip.MustParseAddr("2001:db8::7")
	for i := range 12 {
		is := r.fe.Ruling(now, netip.MustParseAddr("2001:db8::8")) // of the same /64
		again := r.fe.Ruling(now, src)
		if is.Level != min(i, maxLevel) || is.Delay != []time.Duration{0, 0, 2, 4, 8, 15, 15, 15, 15, 15, 15, 15}[i]*time.Second || again != is {
			t.Errorf("after %d wrong passwords: level %d, delay %s, then %+v", i, is.Level, is.Delay, again)
		}
		r.e.penalties.wrong(now, src, "alice", []byte{byte(i)})
	}
	if is := r.fe.Ruling(now.Add(4*levelFalls), src); is.Level != maxLevel-4 {
		t.Errorf("level %d four minutes later, want %d", is.Level, maxLevel-4)
	}
}

// A question that says all has one answer: the route that the login takes.
func TestWaysOfAKnownLogin(t *testing.T) {
	r := newRig(t, plan{addrs: []string{"127.0.0.1:1"}, config: Config{Bind: []string{":143", ":144"}}})
	other := r.backend("other", "127.0.0.1:1", nil)
	s := r.set
	s.Config.Route = []Route{
		{SNI: "*.test", User: "a*", Backend: "other", Tag: "one"}, {Domain: "example.org", Bind: ":144", Backend: "other", Tag: "two"},
		{Src: []string{"10.0.0.0/8"}, Backend: "other", Tag: "three"}, {User: "b*", Src: []string{"10.0.0.0/7"}, Backend: "other"},
	}
	s.Backends = map[string]*Backend{"other": other}
	r.fe.Update(s)
	for _, user := range []string{"alice", "bob", "alice@example.org", "carol@example.org"} {
		for _, sni := range []string{"imap.test", "imap.example.org"} {
			for _, bind := range []string{":143", ":144"} {
				for _, src := range []string{"10.1.1.1", "11.1.1.1", "192.0.2.1", "2001:db8::1"} {
					q := Question{User: user, SNI: sni, Bind: bind, Source: netip.MustParseAddr(src)}
					be, route := r.fe.Route(q)
					ways := r.fe.Ways(q)
					if len(ways) != 1 || ways[0].Backend != be || ways[0].Route != route || ways[0].If != "" || (route > 0) != (ways[0].Since != "") {
						t.Errorf("%+v: Ways = %+v, Route = %s, %d", q, ways, be.Name, route)
					}
					q.SNI, q.Bind, q.Source = "", "", netip.Addr{}
					open := false
					for _, w := range r.fe.Ways(q) { // what is not known may be so
						open = open || w.Backend == be && w.Route == route
					}
					if !open {
						t.Errorf("%+v: %+v has not route %d", q, r.fe.Ways(q), route)
					}
				}
			}
		}
	}
	if ways := r.fe.Ways(Question{User: "alice", Bind: ":993"}); ways != nil {
		t.Errorf("Ways by an address of another frontend = %v", ways)
	}
}
