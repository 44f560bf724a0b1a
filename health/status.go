// Package health checks servers: one goroutine per server connects to it at
// intervals, and Status turns the results into up and down.
//
// It changes no server and chooses none: what a check found goes to the
// Report callback. Status is arithmetic without a clock.
package health

import "fmt"

// Status counts checks as HAProxy does: Count runs from 0 to Rise+Fall-1 and
// the server is up from Rise on.
type Status struct{ Count, Rise, Fall int }

// NewStatus is the status before the first check: up, and down at the first
// failure, so that a server that is dead at start is left at once.
func NewStatus(rise, fall int) Status { return Status{Count: rise, Rise: rise, Fall: fall} }

// Up reports whether the server counts as up.
func (s Status) Up() bool { return s.Count >= s.Rise }

// Settled reports whether the last checks agree: fully up or fully down.
func (s Status) Settled() bool { return s.Count == 0 || s.Count == s.top() }

// After is the status after one more check.
func (s Status) After(ok bool) Status {
	switch {
	case ok && s.Count+1 >= s.Rise:
		s.Count = s.top()
	case ok:
		s.Count++
	case s.Count > s.Rise:
		s.Count--
	default:
		s.Count = 0
	}
	return s
}

// Blamed is the status after users' logins have failed too often, by the word
// of on_error. HAProxy's health_adjust.
func (s Status) Blamed(onError string) Status {
	switch onError {
	case "fail-check":
		return s.After(false)
	case "sudden-death": // one more failure and it is down
		s.Count = min(s.Count, s.Rise+1)
		return s.After(false)
	case "mark-down":
		s.Count = 0
	}
	return s
}

// With is the status under other limits: as up or down as before, and as far
// from changing as the new limits allow.
func (s Status) With(rise, fall int) Status {
	n := Status{Rise: rise, Fall: fall}
	switch {
	case s.Up() && s.Settled():
		n.Count = n.top()
	case s.Up():
		n.Count = min(rise+s.Count-s.Rise, n.top())
	default:
		n.Count = min(s.Count, rise-1)
	}
	return n
}

// String is HAProxy's status column: "UP", "UP 1/3", "DOWN" or "DOWN 1/2".
func (s Status) String() string {
	switch {
	case s.Count == s.top():
		return "UP"
	case s.Up():
		return fmt.Sprintf("UP %d/%d", s.Count-s.Rise+1, s.Fall)
	case s.Count > 0:
		return fmt.Sprintf("DOWN %d/%d", s.Count, s.Rise)
	}
	return "DOWN"
}

func (s Status) top() int { return s.Rise + s.Fall - 1 }
