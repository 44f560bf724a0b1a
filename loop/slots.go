package loop

import (
	"sync"
	"time"
)

// Handshakes bounds the TLS handshakes that run at the same time. crypto/tls
// needs a goroutine for one, since it blocks between the flights. Two bounds:
// as many compute at once as there are processors, so that the loops are not
// starved; and at most max are under way, the others wait in the order of
// their coming and own no goroutine. When all are taken, the handshake that
// has waited longest for its client, at least a second, makes room: clients
// which fall silent in the middle cannot keep others out.
//
// A few goroutines stay for the next handshake, since their stacks have grown
// to what one needs; what they cannot take gets a goroutine of its own.
//
// Shared: any goroutine may call any method.
type Handshakes struct {
	cpu  chan struct{}
	work chan *handshake // to a goroutine that waits for it

	mu      sync.Mutex // guards the fields below; a handshake's mu may be taken under it
	max     int
	running int
	looking bool                     // lookAgain will run
	waiting []*handshake             // in the order of coming; may hold aborted ones
	silent  map[*handshake]time.Time // waits for its client, since when
}

// stayers is how many goroutines stay for each processor.
const stayers = 4

// NewHandshakes allows max handshakes at once, cpus of them computing. Call
// Close in the end.
func NewHandshakes(max, cpus int) *Handshakes {
	s := &Handshakes{
		cpu: make(chan struct{}, cpus), work: make(chan *handshake),
		max: max, silent: make(map[*handshake]time.Time),
	}
	for range stayers * cpus {
		go s.stay() // ends at Close
	}
	return s
}

// Close lets the goroutines go. No handshake may begin any more; those under
// way end with their connections.
func (s *Handshakes) Close() { close(s.work) }

func (s *Handshakes) stay() {
	for hs := range s.work {
		hs.run()
	}
}

// begin gives a handshake that has its slot a goroutine.
func (s *Handshakes) begin(hs *handshake) {
	select {
	case s.work <- hs:
	default:
		go hs.run() // ends with the handshake, at the latest when the loop aborts it
	}
}

// SetMax changes how many may be under way from now on.
func (s *Handshakes) SetMax(n int) {
	s.mu.Lock()
	s.max = n
	s.mu.Unlock()
	for hs := s.admit(); hs != nil; hs = s.admit() {
		s.begin(hs)
	}
}

// admit gives a free slot to the next in line, nil if there is none of either.
func (s *Handshakes) admit() *handshake {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running >= s.max {
		return nil
	}
	hs := s.nextLocked()
	if hs != nil {
		s.running++
	}
	return hs
}

// Running is the number of handshakes under way.
func (s *Handshakes) Running() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// lookAgainLocked arranges for room to be made while handshakes wait, though
// no further one comes.
func (s *Handshakes) lookAgainLocked() {
	if !s.looking {
		s.looking = true
		time.AfterFunc(patience, s.lookAgain)
	}
}

func (s *Handshakes) lookAgain() {
	s.mu.Lock()
	s.looking = false
	var victim *handshake
	if len(s.waiting) > 0 {
		victim = s.longestSilentLocked()
		s.lookAgainLocked()
	}
	s.mu.Unlock()
	if victim != nil {
		victim.abort()
	}
}

// patience is how long a handshake may wait for its client when others wait
// for a slot.
const patience = time.Second

// longestSilentLocked is the handshake that has waited longest for its client,
// nil if none has waited for longer than patience. It looks at all that wait,
// at most max, and is only asked when every slot is taken.
func (s *Handshakes) longestSilentLocked() *handshake {
	var victim *handshake
	first := time.Now().Add(-patience)
	for hs, since := range s.silent {
		if since.Before(first) {
			victim, first = hs, since
		}
	}
	delete(s.silent, victim)
	return victim
}

// release gives the slot to the next in line.
func (s *Handshakes) release() {
	if hs := s.next(); hs != nil {
		go hs.run() // takes over the slot; the caller's goroutine is not free yet
	}
}

// next is the handshake that gets the slot of one that has ended; nil if none
// waits for it.
func (s *Handshakes) next() *handshake {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running <= s.max {
		if hs := s.nextLocked(); hs != nil {
			return hs
		}
	}
	s.running--
	return nil
}

// nextLocked takes the first in line that was not aborted meanwhile.
func (s *Handshakes) nextLocked() *handshake {
	for len(s.waiting) > 0 {
		hs := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		if !hs.isAborted() {
			return hs
		}
	}
	return nil
}
