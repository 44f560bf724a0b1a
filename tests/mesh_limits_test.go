package tests

import "testing"

// A limit is shared by three peers. Who is cut off from the others has it
// whole, as they have; when they meet again it is one limit.
func meshLimits(t *testing.T, m *mesh) {
	a, b, c := m.lbs[0], m.lbs[1], m.lbs[2]
	a.tell("set maxconn server mail/s1 30")
	want := func(here string, lbs ...*lb) {
		t.Helper()
		for _, l := range lbs {
			l.wantClaim("s1", "maxconn", "30", here)
		}
	}
	want("10", a, b, c)
	m.part(0)
	want("30", a)
	want("15", b, c)
	m.repair()
	want("10", a, b, c)
	b.kill()
	want("15", a, c)
	m.repair()
	want("10", a, b, c)
	a.tell("set maxconn server mail/s1 0")
	within(t, patience, "there is no limit", func() bool { return c.limitOf("s1", "maxconn") == nil })
}
