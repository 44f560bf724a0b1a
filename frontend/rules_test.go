package frontend

import (
	"net/netip"
	"strings"
	"testing"

	"imaplb/sticktable"
)

func TestParseCondition(t *testing.T) {
	for text, want := range map[string]Condition{
		"conn_rate > 100":      {sticktable.ConnRate, ">", 100},
		" auth_fail_cnt>=20 ":  {sticktable.AuthFailCnt, ">=", 20},
		"gpt0 == 1":            {sticktable.GPT0, "==", 1},
		"gpc0\t!=  0":          {sticktable.GPC0, "!=", 0},
		"conn_cur<5":           {sticktable.ConnCur, "<", 5},
		"bytes_in_cnt <= 1000": {sticktable.BytesInCnt, "<=", 1000},
	} {
		if got, _, err := ParseCondition(text); err != nil || got != want {
			t.Errorf("ParseCondition(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "unknown counter", "rate > 1": `unknown counter "rate"`, "conn_rate(10s) > 1": "unknown counter", "conn_rate": "bad condition", "conn_rate >": "bad condition",
		"conn_rate = 1": "bad condition", "conn_rate > -1": "bad condition", "conn_rate > 1 2": "bad condition", "conn_rate => 1": "bad condition",
		"conn_rate > 99999999999999999999": "bad condition",
	} {
		if _, _, err := ParseCondition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseCondition(%q) = %v, want %q", text, err, want)
		}
	}
}

func FuzzParseCondition(f *testing.F) {
	f.Add("conn_rate > 100")
	f.Add("gpt0==1")
	f.Fuzz(func(t *testing.T, text string) {
		c, name, err := ParseCondition(text)
		if len(name) > len(text) {
			t.Errorf("name %q of %q", name, text)
		}
		if err == nil && (c.Data.String() != name || c.n < 0) {
			t.Errorf("ParseCondition(%q) = %v, %q", text, c, name)
		}
	})
}

// The first rule whose conditions all hold decides; at a login only those that
// look at what logins change.
func TestJudge(t *testing.T) {
	rules := newRules([]Rule{
		{Action: "allow", Src: []string{"10.0.0.0/8", "2001:db8::/32"}},
		{Action: "deny", Src: []string{"192.0.2.66"}},
		{Action: "tarpit", When: Conditions{"auth_fail_rate > 20"}},
		{Action: "deny", When: Conditions{"conn_rate > 100", "conn_cur > 5"}},
		{Action: "deny", Src: []string{"198.51.100.0/24"}, When: Conditions{"conn_cur > 1"}},
	})
	for _, c := range []struct {
		src       string
		v         sticktable.Values
		at, login verdict
	}{
		{"192.0.2.1", sticktable.Values{}, allow, allow},
		{"192.0.2.66", sticktable.Values{}, deny, allow},
		{"::ffff:192.0.2.66", sticktable.Values{}, deny, allow},
		{"10.1.1.1", sticktable.Values{sticktable.AuthFailRate: 99}, allow, allow},
		{"2001:db8::1", sticktable.Values{sticktable.AuthFailRate: 99}, allow, allow},
		{"192.0.2.1", sticktable.Values{sticktable.AuthFailRate: 20}, allow, allow},
		{"192.0.2.1", sticktable.Values{sticktable.AuthFailRate: 21}, tarpit, tarpit},
		{"192.0.2.1", sticktable.Values{sticktable.ConnRate: 101}, allow, allow},
		{"192.0.2.1", sticktable.Values{sticktable.ConnRate: 101, sticktable.ConnCur: 6}, deny, allow},
		{"198.51.100.9", sticktable.Values{sticktable.ConnCur: 2}, deny, allow},
		{"198.51.101.9", sticktable.Values{sticktable.ConnCur: 2}, allow, allow},
	} {
		src := netip.MustParseAddr(c.src)
		at, _ := judge(rules, src, &c.v, false)
		if login, _ := judge(rules, src, &c.v, true); at != c.at || login != c.login {
			t.Errorf("%s with %v: %d and %d at a login, want %d and %d", c.src, c.v, at, login, c.at, c.login)
		}
	}
}
