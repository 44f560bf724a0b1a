package balancer

import (
	"fmt"
	"strings"
	"time"
)

// Admin is the state an operator gives a server.
type Admin uint8

// The admin states.
const (
	Ready Admin = iota
	Drain       // no new users; a user with live sessions stays
	Maint       // nobody; not checked
	numAdmin
)

var adminNames = [numAdmin]string{"ready", "drain", "maint"}

// String is the word of the configuration and the runtime socket.
func (a Admin) String() string { return adminNames[a] }

// ParseAdmin is the inverse of String.
func ParseAdmin(s string) (Admin, error) {
	for a, name := range adminNames {
		if s == name {
			return Admin(a), nil
		}
	}
	return Ready, fmt.Errorf("balancer: admin state %q: expects \"ready\", \"drain\" or \"maint\"", s)
}

// usable says who may go to a server: by admin state and health, a user the
// table does not know (if the weight is not zero), one stuck to it who has
// sessions, and one stuck to it who has none.
var usable = [numAdmin]struct{ up, down access }{
	Ready: {up: access{fresh: true, busy: true, idle: true}},
	Drain: {up: access{busy: true}},
	Maint: {},
}

type access struct{ fresh, busy, idle bool }

// Verdict is what the peers together say of a server's health.
type Verdict uint8

// The verdicts.
const (
	NoVerdict Verdict = iota // there are no peers: this process's checks decide
	AllUp
	AllDown
)

// Health is what this process's checks say of a server.
type Health struct {
	Up         bool
	Text       string        // "UP", "UP 1/3", "DOWN", "DOWN 1/2"; "" is no check
	Check      string        // result of the last check: "L4OK", "L4TOUT", "L4CON" …; "" is none yet
	Desc       string        // what the last check met, such as "connection refused"
	Duration   time.Duration // of the last check
	Failed     bool          // the last check failed and the server was not quite down before it
	Rise, Fall int
	Count      int    // HAProxy's check_health: 0 to Rise+Fall-1, up from Rise
	Caps       string // capabilities the server told a check of kind imap or login; "" is none yet
}

// State is the state of a server: immutable, replaced as a whole.
type State struct {
	Admin    Admin
	FromFile bool // the admin state is the configuration's, not an operator's
	Health   Health
	Verdict  Verdict
	Agent    Agent
	// Unresolved says that the server's name has no address.
	Unresolved bool

	period period
}

// Up reports whether the server counts as healthy: the peers' verdict stands
// above this process's own checks, so that one broken cable moves nobody.
func (s *State) Up() bool {
	if s.Verdict == NoVerdict {
		return s.LocalUp()
	}
	return s.Verdict == AllUp
}

// LocalUp is what this process finds: its checks, and the server's agent.
func (s *State) LocalUp() bool { return s.Health.Up && !s.Agent.Down }

// Effective is the stricter of the operator's and the agent's admin state.
func (s *State) Effective() Admin { return max(s.Admin, s.Agent.Admin) }

// running reports whether sessions can be on the server at all.
func (s *State) running() bool { return s.Effective() != Maint && !s.Unresolved && s.Up() }

// asIfUp is the state with good health.
func (s *State) asIfUp() *State {
	up := *s
	up.Verdict = AllUp
	return &up
}

// access says who may go to the server; in panic health counts for nothing.
func (s *State) access(inPanic bool) access {
	switch {
	case s.Unresolved:
		return access{}
	case inPanic || s.Up():
		return usable[s.Effective()].up
	}
	return usable[s.Effective()].down
}

// Text is the state as HAProxy's status column words it.
func (s *State) Text() string {
	switch {
	case s.Admin == Maint:
		return "MAINT"
	case s.Agent.Admin == Maint:
		return "MAINT (agent)"
	case s.Unresolved:
		return "MAINT (resolution)"
	case !s.Up() && s.Agent.Down && s.Health.Up:
		return "DOWN (agent)"
	case !s.Up() && s.Health.Up:
		return "DOWN" // by the peers' votes
	case !s.Up():
		return s.Health.Text
	case !s.Health.Up: // for this peer alone
		return s.upText("UP")
	}
	return s.upText(s.Health.Text)
}

// upText is the text of a server that is up, of which its checks say health.
func (s *State) upText(health string) string {
	switch {
	case s.Admin < s.Agent.Admin:
		return "DRAIN (agent)"
	case s.Admin == Drain && health == "":
		return "DRAIN"
	case s.Admin == Drain:
		return strings.Replace(health, "UP", "DRAIN", 1)
	case health == "":
		return "no check"
	}
	return health
}

// period is how long something has been running or not, and how long it was
// not before. It is immutable.
type period struct {
	running bool
	since   time.Time     // of the last change
	down    time.Duration // until then
}

func (p *period) next(now time.Time, running bool) *period {
	return &period{running: running, since: now, down: p.downtime(now)}
}

func (p *period) downtime(now time.Time) time.Duration {
	if p.running {
		return p.down
	}
	return p.down + now.Sub(p.since)
}

// Kind says what of a server has changed.
type Kind uint8

// The kinds of changes.
const (
	WentUp   Kind = iota + 1 // by its checks, or the peers' verdict
	WentDown                 // the same
	SetAdmin                 // admin state, by an operator, a reload or the agent; or the name has an address, or none any more
	SetWeight
	PanicBegan // of the backend: health counts for nothing
	PanicOver  // and for something again: servers that are down are left now
)

// Change is told to Setup.OnChange.
type Change struct {
	Time   time.Time
	Server *Server
	Kind   Kind
	Old    State // before; Server.State is the one after
	Active int   // servers of the backend that take new users now
}
