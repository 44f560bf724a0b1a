package frontend

import (
	"net/netip"
	"testing"
	"time"

	"imaplb/sticktable"
)

// tracked is a rig whose clients are counted, with rules.
func tracked(t *testing.T, p plan, rules ...Rule) (*rig, *sticktable.Table) {
	t.Helper()
	p.config.Rules = rules
	if p.config.Mode == "" {
		p.config.Mode = "imap"
	}
	if p.config.TarpitTimeout == 0 {
		p.config.TarpitTimeout = 50 * time.Millisecond
	}
	r := newRig(t, p)
	r.set.Track = sticktable.New("sources", sticktable.Config{
		Key: "src", Size: 100, Expire: time.Hour,
		Store: []string{"conn_cnt", "conn_cur", "conn_rate(1h)", "sess_cnt", "bytes_in_cnt", "bytes_out_cnt", "auth_fail_cnt", "gpt0"},
	}, "lb")
	r.fe.Update(r.set)
	return r, r.set.Track
}

// of are the counters of the tests' clients.
func of(t *sticktable.Table) sticktable.Values {
	v, _ := t.Values(time.Now(), "127.0.0.1")
	return v
}

// Connections are counted while they last, logins and wrong passwords when they
// happen, bytes at the end.
func TestClientsAreCounted(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(_, pass string) string {
		if pass != secretWord {
			return "L NO [AUTHENTICATIONFAILED] no\r\n"
		}
		return ""
	})
	r, table := tracked(t, plan{addrs: []string{d.addr()}})
	c := r.greeted()
	c.send("a LOGIN alice wrong\r\n")
	c.want("a NO [AUTHENTICATIONFAILED]")
	c.send("b LOGIN alice " + secretWord + "\r\n")
	c.want("b OK")
	other := r.greeted()
	want := sticktable.Values{
		sticktable.ConnCnt: 2, sticktable.ConnRate: 2, sticktable.ConnCur: 2, sticktable.SessCnt: 1, sticktable.AuthFailCnt: 1,
	}
	if v := of(table); v != want {
		t.Errorf("counted %v, want %v", v, want)
	}
	_, _ = c.Close(), other.Close()
	r.eventually("nobody is connected", func() bool { return of(table)[sticktable.ConnCur] == 0 })
	if v := of(table); v[sticktable.BytesOutCnt] == 0 || v[sticktable.ConnCnt] != 2 {
		t.Errorf("at the end %v", v)
	}
}

func TestRuleDeniesAtAccept(t *testing.T) {
	for _, mode := range []string{"none", "implicit"} {
		p := plan{config: Config{TLS: mode}}
		server, cfg := certificate(t, "imap.test")
		if mode == "implicit" {
			p.tls = server
		}
		r, table := tracked(t, p, Rule{Action: "deny", When: Conditions{"conn_cur > 1"}})
		greeted := func() *client {
			c := r.dial()
			if mode == "implicit" {
				c.secure(cfg)
			}
			c.want("* OK ")
			return c
		}
		first := greeted()
		second := r.dial()
		if mode == "none" {
			second.want("* BYE [UNAVAILABLE] Connections from your address")
		}
		if rest := second.gone(); rest != "" {
			t.Errorf("%s: then %q", mode, rest)
		}
		if end := r.ended(reasonDenied); end["state"] != stateDenied {
			t.Errorf("%s: logged %v", mode, end)
		}
		if r.fe.Refused.Load() != 1 || r.e.Refused.Load() != 1 || of(table)[sticktable.ConnCnt] != 2 {
			t.Errorf("%s: refused %d and %d, counted %v", mode, r.fe.Refused.Load(), r.e.Refused.Load(), of(table))
		}
		_ = first.Close()
		r.eventually("nobody is connected", func() bool { return of(table)[sticktable.ConnCur] == 0 })
		greeted()
	}
}

// A client in the tarpit hears nothing, is not read, and is closed in the end;
// there are not too many of them.
func TestTarpitIsBounded(t *testing.T) {
	r, table := tracked(t, plan{limits: Limits{HardMaxconn: 8}, config: Config{TarpitTimeout: 300 * time.Millisecond}},
		Rule{Action: "tarpit", Src: []string{"127.0.0.0/8"}})
	begin := time.Now()
	one, two := r.dial(), r.dial()
	r.eventually("two are in the tarpit", func() bool { return r.e.tarpitted.Load() == 2 })
	if _, ok := r.session(func(s Session) bool { return s.State == "tarpit" }); !ok {
		t.Error("no session is shown in the tarpit")
	}
	three := r.dial()
	three.want("* BYE [UNAVAILABLE] Connections from your address")
	one.send("a LOGIN alice " + secretWord + "\r\n")
	for _, c := range []*client{one, two} {
		if rest := c.gone(); rest != "" {
			t.Errorf("a client in the tarpit heard %q", rest)
		}
	}
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("closed after %s", took)
	}
	if end := r.ended(reasonTarpit); end["state"] != stateTarpit {
		t.Errorf("logged %v", end)
	}
	r.eventually("nobody is left", func() bool { return r.e.tarpitted.Load() == 0 && of(table)[sticktable.ConnCur] == 0 })
	if r.fe.Refused.Load() != 3 {
		t.Errorf("refused %d", r.fe.Refused.Load())
	}
}

// At a login the rules look at what logins have changed; no password is asked
// for then.
func TestRulesAtLogin(t *testing.T) {
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(_, _ string) string { return "L NO [AUTHENTICATIONFAILED] no\r\n" })
	r, table := tracked(t, plan{addrs: []string{d.addr()}, config: Config{TarpitTimeout: 200 * time.Millisecond}},
		Rule{Action: "allow", When: Conditions{"gpt0 == 1"}},
		Rule{Action: "deny", When: Conditions{"auth_fail_cnt > 1"}},
		Rule{Action: "tarpit", When: Conditions{"auth_fail_cnt > 0"}})
	c, other := r.greeted(), r.greeted()
	c.send("a LOGIN alice wrong\r\n")
	c.want("a NO [AUTHENTICATIONFAILED]")
	begin := time.Now()
	other.send("a LOGIN alice wrong\r\n")
	other.want("a NO [LIMIT]")
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("a login in the tarpit was answered after %s", took)
	}
	if err := table.Put(time.Now(), "127.0.0.1", sticktable.AuthFailCnt, 2); err != nil {
		t.Fatal(err)
	}
	other.send("b LOGIN alice wrong\r\n")
	other.want("b NO [LIMIT]")
	if v := of(table); v[sticktable.AuthFailCnt] != 2 || r.fe.Denied.Load() != 2 {
		t.Errorf("counted %v, denied %d", v, r.fe.Denied.Load())
	}
	r.dial().want("* BYE [UNAVAILABLE]") // he is denied at accept, too
	if err := table.Put(time.Now(), "127.0.0.1", sticktable.GPT0, 1); err != nil {
		t.Fatal(err)
	}
	r.greeted().send("a LOGIN alice guess\r\n")
	r.eventually("the server is asked", func() bool { return of(table)[sticktable.AuthFailCnt] == 3 })
}

// So they do where there is no IMAP; a client that is ruled out is closed.
func TestRulesAtTCP(t *testing.T) {
	p := raw(echo(t, "hello\r\n"))
	p.config.UseBackend = []Route{{SNI: "other.test", Backend: "mail"}} // so that the first bytes are waited for
	r, table := tracked(t, p, Rule{Action: "deny", When: Conditions{"gpt0 == 1"}})
	r.set.Backends = map[string]*Backend{"mail": r.be}
	r.fe.Update(r.set)
	c := r.dial()
	r.eventually("he is counted", func() bool { return of(table)[sticktable.ConnCur] == 1 })
	if err := table.Put(time.Now(), "127.0.0.1", sticktable.GPT0, 1); err != nil {
		t.Fatal(err)
	}
	c.send("no TLS\r\n")
	if said := c.gone(); said != "" {
		t.Errorf("he was told %q", said)
	}
	if end := r.ended("denied"); end["state"] != "PR" {
		t.Errorf("logged %v", end)
	}
}

// Behind a proxy it is the client of its header who is counted and judged.
func TestRulesBehindAProxy(t *testing.T) {
	r, table := tracked(t, plan{config: Config{AcceptProxy: []string{"127.0.0.0/8"}, ProxyTimeout: patience}},
		Rule{Action: "deny", Src: []string{"192.0.2.66"}}, Rule{Action: "tarpit", Src: []string{"192.0.2.99"}})
	for src, want := range map[string]string{"192.0.2.66": "* BYE [UNAVAILABLE]", "192.0.2.67": "* OK ", "192.0.2.99": ""} {
		c := r.dial()
		c.send("PROXY TCP4 " + src + " 127.0.0.1 40000 143\r\na NOOP\r\n")
		if want == "" {
			if said := c.gone(); said != "" {
				t.Errorf("%s heard %q", src, said)
			}
		} else {
			c.want(want)
		}
		if v, _ := table.Values(time.Now(), src); v[sticktable.ConnCnt] != 1 {
			t.Errorf("%s has %v", src, v)
		}
		_ = c.Close()
	}
	if v := of(table); v != (sticktable.Values{}) {
		t.Errorf("the proxy has %v", v)
	}
	r.eventually("nobody is in the tarpit", func() bool { return r.e.tarpitted.Load() == 0 })
}

func TestCountingAllocatesNothing(t *testing.T) {
	table := sticktable.New("sources", sticktable.Config{Key: "src", Size: 10, Expire: time.Hour, Store: []string{"conn_rate(1s)"}}, "lb")
	for _, addr := range []string{"[2001:db8:1234:5678:9abc:def0:1234:5678]:40000", "192.0.2.101:40000"} {
		c := &conn{tracked: table, src: netip.MustParseAddrPort(addr)}
		now := time.Now()
		c.tally(now, &sticktable.Counts{Conns: 1})
		if n := testing.AllocsPerRun(100, func() { c.tally(now, &sticktable.Counts{Conns: 1, Cur: 1}) }); n != 0 {
			t.Errorf("%s: %v allocations", addr, n)
		}
	}
}
