package peers

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"
)

// A side is a process at one end of a pipe.
type side struct {
	name        string
	incarnation uint64
	states      []State
	m           *mapState
	remote      *Remote
	link        *Link
	got         []string // messages
	queue       [][]byte // frames on their way to this side
	drops       int
}

// A pipe joins two sides and has the clock.
type pipe struct {
	t     testing.TB
	now   time.Time
	sides [2]*side
	moved int                   // frames delivered
	cut   int                   // the frame at which the connection is lost, 0 for never
	alter func(f []byte) []byte // what becomes of a frame
}

func newPipe(t testing.TB) *pipe {
	p := &pipe{t: t, now: time.Unix(1_700_000_000, 0)}
	for i, name := range []string{"a", "b"} {
		m := newMap("map")
		p.sides[i] = &side{name: name, incarnation: 1, m: m, states: []State{m}}
	}
	p.sides[0].remote, p.sides[1].remote = NewRemote("b"), NewRemote("a")
	return p
}

// connect makes new links.
func (p *pipe) connect() {
	for _, s := range p.sides {
		s.queue = nil
		s.link = NewLink(LinkConfig{
			Self: s.name, Incarnation: s.incarnation, States: s.states,
			OnMessage: func(topic string, b []byte) { s.got = append(s.got, topic+"="+string(b)) },
		}, s.remote)
	}
}

// restart forgets all that a process has.
func (p *pipe) restart(i int) {
	s := p.sides[i]
	s.incarnation++
	s.m = newMap("map")
	s.states, s.remote = []State{s.m}, NewRemote(p.sides[1-i].name)
}

var errCut = errors.New("cut")

// run exchanges frames until nothing moves.
func (p *pipe) run() error {
	p.t.Helper()
	for round := range 100_000 {
		moved := false
		for i, s := range p.sides {
			out := s.link.Next(p.now, nil)
			for f, out, ok := CutFrame(out); ok; f, out, ok = CutFrame(out) {
				p.sides[1-i].queue = append(p.sides[1-i].queue, f)
				moved = true
			}
		}
		for _, s := range p.sides {
			if err := p.deliver(s); err != nil {
				return err
			}
		}
		if !moved {
			return nil
		}
		if round == 99_999 {
			p.t.Fatal("frames without end")
		}
	}
	return nil
}

func (p *pipe) deliver(s *side) error {
	for len(s.queue) > 0 {
		f := s.queue[0]
		s.queue = s.queue[1:]
		if p.moved++; p.moved == p.cut {
			return errCut
		}
		if p.alter != nil {
			f = p.alter(f)
		}
		err := s.link.Receive(p.now, f)
		var drop *DropError
		switch {
		case errors.As(err, &drop):
			s.drops++
		case err != nil:
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// pass lets time go by, in steps as the deadlines want them.
func (p *pipe) pass(d time.Duration) error {
	p.t.Helper()
	for end := p.now.Add(d); p.now.Before(end); {
		next := end
		for _, s := range p.sides {
			if at := s.link.Deadline(p.now); at.Before(next) {
				next = at
			}
		}
		if next.Sub(p.now) < time.Millisecond {
			next = p.now.Add(time.Millisecond)
		}
		p.now = next
		if err := p.run(); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipe) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// equal fails unless both sides hold the same n entries.
func (p *pipe) equal(n int) {
	p.t.Helper()
	a, b := p.sides[0].m.Copy(), p.sides[1].m.Copy()
	if !maps.Equal(a, b) || len(a) != n {
		p.t.Fatalf("a has %d entries, b %d, want %d equal ones", len(a), len(b), n)
	}
}

func (p *pipe) ready() {
	p.t.Helper()
	for _, s := range p.sides {
		if !s.link.Ready() {
			p.t.Fatalf("%s is not ready", s.name)
		}
	}
}
