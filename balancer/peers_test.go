package balancer

import (
	"errors"
	"testing"
)

// The peers' verdict stands above the checks of this process.
func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name    string
		health  Health
		verdict Verdict
		up      bool
		text    string
	}{
		{"no peers, up", up, NoVerdict, true, "UP"},
		{"no peers, down", down, NoVerdict, false, "DOWN"},
		{"all see it", up, AllUp, true, "UP"},
		{"only this peer does not reach it", down, AllUp, true, "UP"},
		{"only this peer reaches it", up, AllDown, false, "DOWN"},
		{"nobody reaches it", down, AllDown, false, "DOWN"},
	} {
		b := NewBackend(start, "mail", 3, setup(2, "hash", newTable()))
		s := b.Server("s1")
		s.SetHealth(start, c.health)
		s.SetVerdict(start, c.verdict)
		state := s.State()
		if state.Up() != c.up || state.Text() != c.text || s.Away() == c.up {
			t.Errorf("%s: up %v, text %q, away %v; want up %v, text %q", c.name, state.Up(), state.Text(), s.Away(), c.up, c.text)
		}
	}
}

func TestVerdictIsToldOnce(t *testing.T) {
	var told []Kind
	st := setup(2, "hash", newTable())
	st.OnChange = func(c Change) { told = append(told, c.Kind) }
	b := NewBackend(start, "mail", 3, st)
	s := b.Server("s1")
	s.SetVerdict(start, AllUp)
	s.SetHealth(start, down) // this peer alone
	s.SetVerdict(start, AllDown)
	s.SetVerdict(start, AllDown)
	s.SetHealth(start, up)
	s.SetVerdict(start, AllUp)
	if len(told) != 2 || told[0] != WentDown || told[1] != WentUp {
		t.Errorf("told %v, want down once and up once", told)
	}
	if s.Chkdown.Load() != 1 {
		t.Errorf("counted down %d times, want once", s.Chkdown.Load())
	}
	s.SetAdmin(start, Maint)
	told = nil
	s.SetVerdict(start, AllDown)
	if len(told) != 0 {
		t.Errorf("a verdict about a server in maintenance was told: %v", told)
	}
}

// While most peers are out of sight nobody is moved: a user whose server is
// not usable waits, one without a home is placed.
func TestFrozen(t *testing.T) {
	frozen := false
	st := setup(2, "hash", newTable())
	st.Frozen = func() bool { return frozen }
	b := NewBackend(start, "mail", 3, st)
	p := begin(t, b, "alice")
	home := p.Server
	p.End(start)

	frozen = true
	if again := mustPlace(t, b, "alice"); again.Server != home {
		t.Errorf("a usable home was left for %s", again.Server.Name)
	}
	home.SetHealth(start, down)
	if _, err := b.Place(start, Ask{Key: "alice"}); !errors.Is(err, ErrFrozen) {
		t.Errorf("Place with the home down while frozen = %v, want ErrFrozen", err)
	}
	if n := b.Scur.Load(); n != 1 {
		t.Errorf("%d places reserved, want 1: a refused placement reserves none", n)
	}
	mustPlace(t, b, "bob")
	frozen = false
	if moved := mustPlace(t, b, "alice"); moved.Server == home {
		t.Error("placed on a server that is down")
	}
}
