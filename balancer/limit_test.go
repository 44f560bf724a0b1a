package balancer

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// The limit in force, as HAProxy's srv_dynamic_maxconn has it.
func TestDynamicLimit(t *testing.T) {
	for _, c := range []struct {
		minconn, maxconn, fullconn int
		conns, want                int64
	}{
		{0, 100, 0, 50, 100},
		{0, 0, 0, 50, 0},
		{10, 100, 1000, 0, 10},
		{10, 100, 1000, 100, 10},
		{10, 100, 1000, 500, 50},
		{10, 100, 1000, 999, 99},
		{10, 100, 1000, 1000, 100},
		{10, 100, 1000, 5000, 100},
		{10, 100, 0, 5, 100},
		{100, 100, 1000, 5, 100},
	} {
		s := setup(1, "hash", nil)
		s.Config.Fullconn = c.fullconn
		s.Servers[0].Config.Minconn, s.Servers[0].Config.Maxconn = c.minconn, c.maxconn
		b := NewBackend(start, "mail", 3, s)
		b.Scur.Store(c.conns)
		if got, some := b.Server("s1").Limit(); got != c.want || some != (c.want > 0) {
			t.Errorf("minconn %d maxconn %d fullconn %d with %d sessions: %d, want %d", c.minconn, c.maxconn, c.fullconn, c.conns, got, c.want)
		}
	}
}

// Those who wait raise the limits by minconn, of all servers: the one who
// makes room for others too is not the only one let in.
func TestWaitingRaisesTheLimits(t *testing.T) {
	s := queued(3, 4)
	s.Config.Balance, s.Config.Fullconn = "roundrobin", 12
	for i := range s.Servers {
		s.Servers[i].Config.Minconn = 1
	}
	b := NewBackend(start, "mail", 3, s)
	var in []*Placement
	for i := range 3 {
		in = append(in, begin(t, b, fmt.Sprint("in", i)))
	}
	guests := []*guest{mustWait(t, b, "alice"), mustWait(t, b, "bob"), mustWait(t, b, "carol")}
	for _, g := range guests {
		in = append(in, mustClaim(t, b, g))
	}
	for _, s := range b.Servers() {
		if n := s.Scur.Load(); n != 2 {
			t.Errorf("%s has %d sessions, want 2", s.Name, n)
		}
	}
	for _, p := range in {
		p.End(start)
	}
	wantEmpty(t, b)
}

// A bucket gives a second's tokens at once, then one at a time.
func TestBucket(t *testing.T) {
	var b bucket
	now := start.UnixNano()
	taken := func(at time.Duration) (n int) {
		for b.take(now+int64(at), 10) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		at   time.Duration
		want int
	}{{0, 10}, {99 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {350 * time.Millisecond, 2}, {time.Hour, 10}} {
		if got := taken(c.at); got != c.want {
			t.Errorf("at %v: %d tokens, want %d", c.at, got, c.want)
		}
	}
	if wait := b.wait(now+int64(time.Hour), 10); wait != 100*time.Millisecond {
		t.Errorf("the next in %v, want 100ms", wait)
	}
	if got := taken(0); got != 10 { // the clock went back an hour
		t.Errorf("after the clock went back: %d tokens, want 10", got)
	}
}

// Logins under way are bounded; the sessions behind them are not.
func TestMaxlogins(t *testing.T) {
	s := queued(1, 0)
	s.Servers[0].Config.Maxlogins = 2
	b := NewBackend(start, "mail", 3, s)
	p, q := mustPlace(t, b, "alice"), mustPlace(t, b, "bob")
	g, h := mustWait(t, b, "carol"), mustWait(t, b, "dave")
	if err := p.Begin(start); err != nil {
		t.Fatal(err)
	}
	c := mustClaim(t, b, g)
	q.End(start) // it failed
	d := mustClaim(t, b, h)
	if n := b.Server("s1").Logins.Load(); n != 2 || b.Server("s1").LoginMax.Load() != 2 || b.Scur.Load() != 3 {
		t.Errorf("%d logins under way, %d sessions, want 2 and 3", n, b.Scur.Load())
	}
	for _, p := range []*Placement{&p, c, d} {
		p.End(start)
	}
	wantEmpty(t, b)
}

// At login_rate who waits is let in when it is time, by the alarm.
func TestLoginRate(t *testing.T) {
	s := queued(1, 0)
	s.Servers[0].Config.LoginRate = 5
	b := NewBackend(start, "mail", 3, s)
	var alarm time.Time
	b.SetAlarm(func(at time.Time) { alarm = at })
	var all []*Placement
	for i := range 5 {
		all = append(all, begin(t, b, fmt.Sprint("u", i)))
	}
	g, h := mustWait(t, b, "u0"), mustWait(t, b, "new")
	for i, g := range []*guest{g, h} {
		if want := start.Add(time.Duration(i+1) * 200 * time.Millisecond); !alarm.Equal(want) || g.isWoken() {
			t.Fatalf("alarm at %v, want %v", alarm, want)
		}
		b.Serve(alarm.Add(-time.Millisecond))
		if g.isWoken() {
			t.Fatal("woken too early")
		}
		now := start.Add(time.Duration(i+1) * 200 * time.Millisecond)
		b.Serve(now)
		all = append(all, mustClaim(t, b, g))
	}
	for _, p := range all {
		p.End(start)
	}
	wantEmpty(t, b)
}

// With a place elsewhere nobody waits for a token.
func TestLoginRateSpreads(t *testing.T) {
	s := queued(2, 0)
	s.Servers[0].Config.LoginRate, s.Servers[1].Config.LoginRate = 1, 5
	b := NewBackend(start, "mail", 3, s)
	for i := range 6 {
		p, err := b.Place(start, Ask{Key: fmt.Sprint("u", i)})
		if err != nil {
			t.Fatal(err)
		}
		defer p.End(start)
	}
	if _, err := b.Place(start, Ask{Key: "u7"}); !errors.Is(err, ErrFull) {
		t.Errorf("without a token: %v, want ErrFull", err)
	}
	p, err := b.Place(start.Add(200*time.Millisecond), Ask{Key: "u7"})
	if err != nil || p.Server.Name != "s2" {
		t.Fatalf("with a new token at s2: %v", err)
	}
	p.End(start)
}

// Choosing a place without limits, and with them, takes no memory.
func TestPlacesCostNoMemory(t *testing.T) {
	for _, maxconn := range []int{0, 100} {
		s := setup(10, "hash", nil)
		for i := range s.Servers {
			s.Servers[i].Config.Maxconn = maxconn
		}
		b := NewBackend(start, "mail", 3, s)
		var g guest
		n := testing.AllocsPerRun(100, func() {
			p, err := b.PlaceOrWait(start, Ask{Key: "alice"}, &g.w, &g)
			if err != nil {
				t.Fatal(err)
			}
			p.End(start)
		})
		if n != 0 {
			t.Errorf("maxconn %d: %v allocations", maxconn, n)
		}
	}
}

// The limits of a server that came up lately rise with its weight, and who
// waits is let in as they do.
func TestLimitsInSlowStart(t *testing.T) {
	s := queued(1, 100)
	s.Servers[0].Config.Maxlogins, s.Servers[0].Config.LoginRate = 40, 1000
	s.Servers[0].Config.Slowstart = 100 * time.Second
	b := NewBackend(start, "mail", 3, s)
	var alarm time.Time
	b.SetAlarm(func(at time.Time) { alarm = at })
	s1 := b.Server("s1")
	s1.SetHealth(start, down)
	s1.SetHealth(start, up)
	p, q := mustPlace(t, b, "a"), mustPlace(t, b, "b") // 5 per cent of 40 logins
	g := mustWait(t, b, "c")
	if want := start.Add(warmStep); !alarm.Equal(want) {
		t.Fatalf("alarm at %v, want %v", alarm, want)
	}
	b.Serve(start.Add(2 * time.Second))
	if g.isWoken() {
		t.Fatal("woken too early")
	}
	b.Serve(start.Add(10 * time.Second)) // 14 per cent
	r := mustClaim(t, b, g)
	if got, _ := s1.Limit(); got != 14 {
		t.Errorf("limit %d after 10 of 100 seconds, want 14", got)
	}
	b.Serve(start.Add(100 * time.Second))
	h := newGuest("d")
	x, err := b.PlaceOrWait(start.Add(101*time.Second), Ask{Key: "d"}, &h.w, h)
	if got, _ := s1.Limit(); err != nil || got != 100 {
		t.Fatalf("after the slow start: %v, limit %d, want 100", err, got)
	}
	for _, p := range []*Placement{&p, &q, r, &x} {
		p.End(start)
	}
	wantEmpty(t, b)
}

// A backup server takes nobody from the queue while another server could, and
// everybody when there is none.
func TestQueueAndBackup(t *testing.T) {
	s := queued(2, 1)
	s.Servers[1].Config.Backup = true
	b := NewBackend(start, "mail", 3, s)
	p := begin(t, b, "alice")
	g := mustWait(t, b, "bob")
	b.Serve(start)
	if g.isWoken() || p.Server.Name != "s1" {
		t.Fatal("the backup server was used")
	}
	b.Server("s1").SetHealth(start, down)
	q := mustClaim(t, b, g)
	if q.Server.Name != "s2" {
		t.Errorf("placed on %s, want the backup", q.Server.Name)
	}
	p.End(start)
	q.End(start)
	wantEmpty(t, b)
}

// A user who is pinned waits for the server he is pinned to.
func TestQueueOfPinned(t *testing.T) {
	s := queued(2, 1)
	s.Pinned = func(key string) string {
		if key == "bob" {
			return "s1"
		}
		return ""
	}
	b := NewBackend(start, "mail", 3, s)
	if err := b.Table().Set(start, "alice", "s1"); err != nil {
		t.Fatal(err)
	}
	p := begin(t, b, "alice")
	g := mustWait(t, b, "bob")
	if b.Server("s1").Qcur.Load() != 1 {
		t.Error("does not wait for his server")
	}
	p.End(start)
	q := mustClaim(t, b, g)
	if q.Server.Name != "s1" {
		t.Errorf("placed on %s, want s1", q.Server.Name)
	}
	q.End(start)
	wantEmpty(t, b)
}
