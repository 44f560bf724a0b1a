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
	Count      int // HAProxy's check_health: 0 to Rise+Fall-1, up from Rise
}

// State is the state of a server: immutable, replaced as a whole.
type State struct {
	Admin    Admin
	FromFile bool // the admin state is the configuration's, not an operator's
	Health   Health
	Verdict  Verdict

	period period
}

// Up reports whether the server counts as healthy: the peers' verdict stands
// above this process's own checks, so that one broken cable moves nobody.
func (s *State) Up() bool {
	if s.Verdict == NoVerdict {
		return s.Health.Up
	}
	return s.Verdict == AllUp
}

// running reports whether sessions can be on the server at all.
func (s *State) running() bool { return s.Admin != Maint && s.Up() }

func (s *State) access() access {
	if s.Up() {
		return usable[s.Admin].up
	}
	return usable[s.Admin].down
}

// Text is the state as HAProxy's status column words it.
func (s *State) Text() string {
	switch {
	case s.Admin == Maint:
		return "MAINT"
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
	SetAdmin                 // admin state, by an operator or a reload
	SetWeight
)

// Change is told to Setup.OnChange.
type Change struct {
	Time   time.Time
	Server *Server
	Kind   Kind
	Old    State // before; Server.State is the one after
	Active int   // servers of the backend that take new users now
}
