package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

// Each story is a row of checks, + or -, and the status after each.
func TestStatus(t *testing.T) {
	for _, c := range []struct {
		rise, fall int
		checks     string
		want       string
	}{
		{2, 3, "++", "UP|UP"},
		{2, 3, "-", "DOWN"},
		{2, 3, "+---", "UP|UP 2/3|UP 1/3|DOWN"},
		{2, 3, "+--+--", "UP|UP 2/3|UP 1/3|UP|UP 2/3|UP 1/3"},
		{2, 3, "-+-++", "DOWN|DOWN 1/2|DOWN|DOWN 1/2|UP"},
		{2, 3, "--", "DOWN|DOWN"},
		{1, 1, "+-+-", "UP|DOWN|UP|DOWN"},
		{1, 3, "-+-", "DOWN|UP|UP 2/3"},
		{3, 1, "-++-+++", "DOWN|DOWN 1/3|DOWN 2/3|DOWN|DOWN 1/3|DOWN 2/3|UP"},
	} {
		s := NewStatus(c.rise, c.fall)
		if !s.Up() {
			t.Errorf("rise %d fall %d: a new server is not up", c.rise, c.fall)
		}
		var got []string
		for _, r := range c.checks {
			s = s.After(r == '+')
			got = append(got, s.String())
			if s.Up() != strings.HasPrefix(s.String(), "UP") || s.Settled() == strings.Contains(s.String(), "/") {
				t.Errorf("%v: up %v, settled %v", s, s.Up(), s.Settled())
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("rise %d fall %d, checks %s: %s, want %s", c.rise, c.fall, c.checks, strings.Join(got, "|"), c.want)
		}
	}
	if s := NewStatus(2, 3); s.String() != "UP 1/3" || s.Settled() {
		t.Errorf("before the first check: %v, want UP 1/3", s)
	}
}

// Other limits turn no server up or down and leave the count in its range.
func TestStatusWithOtherLimits(t *testing.T) {
	for rise := 1; rise < 5; rise++ {
		for fall := 1; fall < 5; fall++ {
			for count := 0; count < rise+fall; count++ {
				s := Status{count, rise, fall}
				for n := 1; n < 6; n++ {
					w := s.With(n, 6-n)
					if w.Up() != s.Up() || w.Count < 0 || w.Count > w.top() || s.Settled() && !w.Settled() {
						t.Fatalf("%+v with rise %d, fall %d is %+v", s, n, 6-n, w)
					}
				}
				if w := s.With(rise, fall); w != s {
					t.Fatalf("%+v with its own limits is %+v", s, w)
				}
			}
		}
	}
}

func TestWord(t *testing.T) {
	for _, c := range []struct {
		err         error
		check, desc string
	}{
		{nil, "L4OK", ""},
		{context.DeadlineExceeded, "L4TOUT", "connection timed out"},
		{fmt.Errorf("dial: %w", os.ErrDeadlineExceeded), "L4TOUT", "connection timed out"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}, "L4TOUT", "connection timed out"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "L4CON", "connection refused"},
		{&net.OpError{Op: "dial", Err: &net.DNSError{Name: "mail"}}, "L4CON", "name not resolved"},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, "SOCKERR", "too many open files"},
		{errors.New("else"), "L4CON", "cannot connect"},
	} {
		if check, desc := word(Seen{Check: "L4OK"}, c.err); check != c.check || desc != c.desc {
			t.Errorf("word(%v) = %s %q, want %s %q", c.err, check, desc, c.check, c.desc)
		}
	}
}

func TestConnect(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 7)}
	probe := NewProbe("tcp", Target{Network: "tcp", Address: l.Addr().String(), Source: source}, "", nil)
	if seen, err := probe(t.Context()); err != nil || seen.Check != "L4OK" {
		t.Fatalf("probe of a listener = %v", err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if from := conn.RemoteAddr().(*net.TCPAddr).IP; !from.Equal(source.IP) {
		t.Errorf("probe came from %v, want %v", from, source.IP)
	}
	l.Close()
	if check, desc := word(probe(t.Context())); check != "L4CON" || desc != "connection refused" {
		t.Errorf("probe of a closed port = %s %q", check, desc)
	}
	ctx, cancel := context.WithDeadline(t.Context(), timeZero())
	defer cancel()
	if check, _ := word(probe(ctx)); check != "L4TOUT" {
		t.Errorf("probe without time = %s, want L4TOUT", check)
	}
}

func TestConnectUnix(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := NewProbe("tcp", Target{Network: "unix", Address: path}, "", nil)(t.Context()); err != nil {
		t.Fatalf("probe = %v", err)
	}
}

// What failed logins of users do to the status, by on_error.
func TestBlamed(t *testing.T) {
	for _, c := range []struct {
		onError, before, want string
	}{
		{"fastinter", "UP", "UP"},
		{"fail-check", "UP", "UP 2/3"},
		{"fail-check", "UP 1/3", "DOWN"},
		{"sudden-death", "UP", "UP 1/3"},
		{"sudden-death", "UP 2/3", "UP 1/3"},
		{"sudden-death", "UP 1/3", "DOWN"},
		{"mark-down", "UP", "DOWN"},
		{"mark-down", "DOWN 1/2", "DOWN"},
		{"fail-check", "DOWN", "DOWN"},
	} {
		for count := range 5 {
			if s := (Status{count, 2, 3}); s.String() == c.before {
				if got := s.Blamed(c.onError).String(); got != c.want {
					t.Errorf("%s: %s becomes %s, want %s", c.onError, c.before, got, c.want)
				}
			}
		}
	}
}
