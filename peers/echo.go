package peers

import (
	"time"

	"imaplb/wire"
)

// echo measures the way there and back. It is guarded by Remote.mu.
type echo struct {
	id      uint64
	sent    time.Time // of the echo that is out; zero for none
	next    time.Time
	asked   [maxEchoes]uint64 // echoes of the other that wait for their answer
	answers int
}

// appendEchoes appends answers and, once a second, an echo. remote.mu is held.
func (l *Link) appendEchoes(now time.Time, dst []byte) []byte {
	e := &l.echo
	for _, id := range e.asked[:e.answers] {
		dst = appendNumbers(dst, typeEchoed, id, wallMs(now))
	}
	e.answers = 0
	if now.Before(e.next) {
		return dst
	}
	e.id++
	e.sent, e.next = now, now.Add(echoEvery)
	return appendNumbers(dst, typeEcho, e.id)
}

// takeEcho keeps the oldest few: one who asks faster than we write does not
// get all answers.
func (l *Link) takeEcho(_ time.Time, r *wire.Reader) error {
	id := r.Uint()
	if r.Err() != nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if e := &l.echo; e.answers < maxEchoes {
		e.asked[e.answers] = id
		e.answers++
	}
	return nil
}

func (l *Link) takeEchoed(now time.Time, r *wire.Reader) error {
	id, wall := r.Uint(), r.Uint()
	if r.Err() != nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	e := &l.echo
	if id != e.id || e.sent.IsZero() {
		return nil // an old one, or made up
	}
	t := &l.remote.timing
	t.Lag = now.Sub(e.sent)
	if t.Smooth == 0 {
		t.Smooth = t.Lag
	}
	t.Smooth += (t.Lag - t.Smooth) / 8
	t.Offset = time.UnixMilli(int64(min(wall, 1<<53))).Sub(e.sent.Add(t.Lag / 2).Round(0))
	e.sent = time.Time{}
	return nil
}
