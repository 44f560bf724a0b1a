package balancer

import (
	"fmt"
	"testing"
	"time"
)

// heard is a Setup whose changes are written down, one word each.
func heard(s Setup, log *[]string) Setup {
	s.OnChange = func(c Change) {
		words := map[Kind]string{WentUp: "up", WentDown: "down", SetAdmin: c.Server.State().Admin.String(), SetWeight: "weight"}
		*log = append(*log, fmt.Sprintf("%s %s active=%d", c.Server.Name, words[c.Kind], c.Active))
	}
	return s
}

func wantLog(t *testing.T, log *[]string, want ...string) {
	t.Helper()
	if fmt.Sprint(*log) != fmt.Sprint(want) {
		t.Fatalf("changes told: %q, want %q", *log, want)
	}
	*log = nil
}

func TestChangesAreTold(t *testing.T) {
	var log []string
	b := NewBackend(start, "mail", 3, heard(setup(2, "hash", nil), &log))
	s1 := b.Server("s1")
	wantLog(t, &log)
	s1.SetHealth(start, up)
	wantLog(t, &log)
	s1.SetHealth(start, down)
	s1.SetHealth(start, down)
	s1.SetHealth(start, up)
	wantLog(t, &log, "s1 down active=1", "s1 up active=2")
	s1.SetAdmin(start, Drain)
	s1.SetAdmin(start, Drain)
	s1.SetAdmin(start, Maint)
	s1.SetHealth(start, down) // a check that was under way
	s1.SetAdmin(start, Ready)
	wantLog(t, &log, "s1 drain active=1", "s1 maint active=1", "s1 ready active=2")
	s1.SetWeight(start, 0)
	s1.SetWeight(start, 0)
	wantLog(t, &log, "s1 weight active=1")
}

func TestLeavingMaintenanceForgetsTheChecks(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(1, "hash", nil))
	s := b.Server("s1")
	s.SetHealth(start, Health{Text: "DOWN", Check: "L4CON", Rise: 2, Fall: 3})
	s.SetAdmin(start, Maint)
	s.SetAdmin(start, Ready)
	st := s.State()
	if st.Text() != "UP" || !st.Health.Up || st.Health.Count != 2 || st.Health.Check != "" {
		t.Fatalf("health %+v, want up and one failure away from down", st.Health)
	}
}

func TestTimesAndChkdown(t *testing.T) {
	b := NewBackend(start, "mail", 3, setup(2, "hash", nil))
	s1, s2 := b.Server("s1"), b.Server("s2")
	at := func(sec int) time.Time { return start.Add(time.Duration(sec) * time.Second) }
	s1.SetHealth(at(10), down)
	s1.SetAdmin(at(15), Maint)
	s2.SetAdmin(at(20), Maint)
	s1.SetAdmin(at(30), Ready)
	s1.SetHealth(at(40), up)
	if since, d := s1.Since(at(50)); !since.Equal(at(30)) || d != 20*time.Second {
		t.Errorf("s1 runs since %v after %v down, want second 30 and 20s", since, d)
	}
	if since, d := s2.Since(at(50)); !since.Equal(at(20)) || d != 30*time.Second {
		t.Errorf("s2 stands since %v after %v down, want second 20 and 30s", since, d)
	}
	if isUp, since, d := b.Up(at(50)); !isUp || !since.Equal(at(30)) || d != 10*time.Second {
		t.Errorf("backend up %v since %v after %v down, want since second 30 after 10s", isUp, since, d)
	}
	if s1.Chkdown.Load() != 1 || s1.Chkfail.Load() != 1 || s2.Chkdown.Load() != 0 || b.Chkdown.Load() != 1 {
		t.Errorf("chkdown %d %d, backend %d, chkfail %d", s1.Chkdown.Load(), s2.Chkdown.Load(), b.Chkdown.Load(), s1.Chkfail.Load())
	}
}

func TestReload(t *testing.T) {
	var log []string
	b := NewBackend(start, "mail", 3, heard(setup(3, "hash", newTable()), &log))
	s1, s2, s3 := b.Server("s1"), b.Server("s2"), b.Server("s3")
	s1.SetAdmin(start, Drain)
	s1.SetWeight(start, 7)
	s2.SetHealth(start, down)
	s2.Stot.Add(5)
	log = nil

	next := heard(setup(4, "roundrobin", nil), &log)
	next.Servers = append(next.Servers[:2], next.Servers[3]) // s3 goes, s4 comes
	next.Servers[0].Config.Weight = 50
	next.Servers[0].Config.State = "maint"
	next.Servers[1].Config.State = "drain"
	next.Servers[1].Config.Maxconn = 9
	removed := b.Update(start, next)

	if len(removed) != 1 || removed[0] != s3 || b.Server("s3") != nil {
		t.Errorf("removed %v, want s3", removed)
	}
	if b.Server("s1") != s1 || b.Server("s2") != s2 {
		t.Error("a server whose name stayed is another one")
	}
	if got := s1.State(); got.Admin != Drain || got.FromFile || s1.Weight() != 50 || s1.InitialWeight() != 50 {
		t.Errorf("s1: %+v weight %d, want the operator's drain and the file's weight", got, s1.Weight())
	}
	if got := s2.State(); got.Admin != Drain || !got.FromFile || got.Health.Up || s2.Stot.Load() != 5 || s2.Maxconn() != 9 {
		t.Errorf("s2: %+v, want the file's drain, health and counters kept", got)
	}
	if s4 := b.Server("s4"); s4.ID != 4 || b.Config().Balance != "roundrobin" || b.Table() != nil {
		t.Errorf("s4 has ID %d, want a new one, 4", s4.ID)
	}
	wantLog(t, &log, "s2 drain active=1")
	if effective, set := b.Weights(start); b.Active() != 1 || effective != 100 || set != 100 {
		t.Errorf("active %d of weight %d, %d, want 1 of 100", b.Active(), effective, set)
	}
}

func TestParseAdmin(t *testing.T) {
	for _, a := range []Admin{Ready, Drain, Maint} {
		if got, err := ParseAdmin(a.String()); got != a || err != nil {
			t.Errorf("ParseAdmin(%q) = %v, %v", a.String(), got, err)
		}
	}
	if _, err := ParseAdmin("up"); err == nil {
		t.Error("ParseAdmin(\"up\") went through")
	}
}

func TestRate(t *testing.T) {
	var r Rate
	at := func(ms int) time.Time { return time.UnixMilli(1_700_000_000_000 + int64(ms)) }
	for ms := 0; ms < 1000; ms += 10 {
		r.Add(at(ms), 1)
	}
	for _, c := range []struct {
		ms   int
		want int64
	}{{999, 100}, {1000, 100}, {1500, 50}, {1990, 1}, {2000, 0}, {100_000, 0}} {
		if got := r.Value(at(c.ms)); got != c.want {
			t.Errorf("at %d ms: rate %d, want %d", c.ms, got, c.want)
		}
	}
	r.Add(at(1500), 40)
	if got := r.Value(at(1500)); got != 90 {
		t.Errorf("rate %d, want 40 and half of 100", got)
	}
	r.Add(at(5000), 3)
	if got := r.Value(at(5000)); got != 3 || r.Max() != 100 {
		t.Errorf("rate %d, max %d, want 3 and 100", got, r.Max())
	}
	r.Add(at(4000), 1) // the clock went back
	if got := r.Value(at(5000)); got != 4 {
		t.Errorf("rate %d, want 4", got)
	}
}

func TestAverage(t *testing.T) {
	var a Average
	if a.Value() != 0 {
		t.Error("an average of nothing is not 0")
	}
	for _, ms := range []int{10, 20, 60, -5} {
		a.Add(time.Duration(ms) * time.Millisecond)
	}
	if a.Value() != 23 || a.Max() != 60 {
		t.Errorf("mean %d, max %d, want 23 and 60", a.Value(), a.Max())
	}
	for range 20_000 {
		a.Add(100 * time.Millisecond)
	}
	if v := a.Value(); v < 99 || v > 100 {
		t.Errorf("mean %d after many samples of 100", v)
	}
	for range 20_000 {
		a.Add(0)
	}
	if a.Value() != 0 || a.Max() != 100 {
		t.Errorf("mean %d, max %d, want it down to 0 and 100", a.Value(), a.Max())
	}
}

// A server that is kept stays as it is, with what was set at run time; one that
// is new takes what the file says.
func TestUpdateKeeps(t *testing.T) {
	t.Parallel()
	spec := func(name string, weight int) ServerSpec {
		cfg := DefaultServerConfig()
		cfg.Weight = weight
		return ServerSpec{Name: name, Config: cfg, Keep: true}
	}
	b := NewBackend(start, "mail", 2, Setup{Config: DefaultConfig(), Servers: []ServerSpec{spec("a", 10), spec("b", 10)}})
	a := b.Server("a")
	a.SetWeight(start, 7)
	a.SetMaxconn(3)
	removed := b.Update(start, Setup{Config: DefaultConfig(), Servers: []ServerSpec{spec("a", 10), spec("c", 20)}})
	if len(removed) != 1 || removed[0].Name != "b" {
		t.Errorf("removed %v, want b", removed)
	}
	if b.Server("a") != a || a.Weight() != 7 || a.Maxconn() != 3 {
		t.Errorf("a has weight %d and maxconn %d, want 7 and 3", a.Weight(), a.Maxconn())
	}
	if w := b.Server("c").Weight(); w != 20 {
		t.Errorf("c has weight %d, want 20", w)
	}
}
