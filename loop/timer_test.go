package loop

import (
	"math/rand/v2"
	"testing"
	"time"
)

// modelTimer is a Timer with what the model knows of it.
type modelTimer struct {
	Timer
	m    *wheelModel
	at   time.Time // zero when it must not fire
	late time.Time // when it must have fired
}

// wheelModel says when timers fire without a wheel.
type wheelModel struct {
	t      *testing.T
	rnd    *rand.Rand
	l      *Loop
	now    time.Time
	timers [200]modelTimer
	fired  int
}

// set arms a timer at a random time, sometimes past, sometimes beyond the
// wheel's horizon.
func (m *wheelModel) set(mt *modelTimer) {
	spans := []time.Duration{tickLen, time.Second, time.Minute, wheelSlots * tickLen, 3 * wheelSlots * tickLen}
	d := time.Duration(m.rnd.Int64N(int64(spans[m.rnd.IntN(len(spans))])))
	if m.rnd.IntN(10) == 0 {
		d = -d
	}
	mt.at = m.now.Add(d)
	mt.late = m.now.Add(max(d, 0) + tickLen)
	m.l.SetTimer(&mt.Timer, mt.at, mt)
}

func (mt *modelTimer) Expired(now time.Time) {
	m := mt.m
	m.fired++
	switch {
	case mt.at.IsZero():
		m.t.Errorf("a stopped timer fired")
	case now.Before(mt.at):
		m.t.Errorf("fired %v early", mt.at.Sub(now))
	}
	mt.at = time.Time{}
	switch m.rnd.IntN(4) {
	case 0:
		m.set(mt)
	case 1: // another one, which may be due in this very turn
		other := &m.timers[m.rnd.IntN(len(m.timers))]
		m.set(other)
	case 2:
		m.stop(&m.timers[m.rnd.IntN(len(m.timers))])
	}
}

func (m *wheelModel) stop(mt *modelTimer) {
	mt.at = time.Time{}
	m.l.StopTimer(&mt.Timer)
}

// advance does as the clock does: it looks at the wheel only when it is due.
func (m *wheelModel) advance(d time.Duration) {
	m.now = m.now.Add(d)
	w := &m.l.wheel
	if w.at(m.now) >= w.due.Load() {
		w.due.Store(never)
		w.advance(m.now)
	}
	for i := range m.timers {
		if mt := &m.timers[i]; !mt.at.IsZero() && !m.now.Before(mt.late) {
			m.t.Fatalf("timer %d is %v late", i, m.now.Sub(mt.at))
		}
	}
}

func TestWheelAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		m := &wheelModel{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), l: new(Loop), now: time.Now()}
		m.l.wheel.init(m.now)
		for i := range m.timers {
			m.timers[i].m = m
		}
		for range 2000 {
			mt := &m.timers[m.rnd.IntN(len(m.timers))]
			switch m.rnd.IntN(4) {
			case 0:
				m.set(mt)
			case 1:
				m.stop(mt)
			case 2:
				m.advance(time.Duration(m.rnd.Int64N(int64(4 * tickLen))))
			default:
				if m.rnd.IntN(20) == 0 {
					m.advance(time.Duration(m.rnd.Int64N(int64(2 * wheelSlots * tickLen))))
				}
			}
		}
		if m.fired < 100 {
			t.Fatalf("seed %d: only %d timers fired, the test tests nothing", seed, m.fired)
		}
	}
}

func TestWheelSleepsWithoutTimers(t *testing.T) {
	t.Parallel()
	l, now := new(Loop), time.Now()
	l.wheel.init(now)
	var tm Timer
	l.SetTimer(&tm, now.Add(time.Second), expirer(func(time.Time) {}))
	if due := l.wheel.due.Load(); due == never {
		t.Errorf("due = never with a timer set")
	}
	l.wheel.advance(now.Add(time.Hour))
	if due := l.wheel.due.Load(); due != never {
		t.Errorf("due = %d without timers, want never", due)
	}
}

// expirer is an Expirer made of a function.
type expirer func(time.Time)

func (f expirer) Expired(now time.Time) { f(now) }

func TestTimerOnLoop(t *testing.T) {
	t.Parallel()
	g := group(t, 1)
	fired := make(chan time.Time, 2)
	var tm Timer
	at := time.Now().Add(120 * time.Millisecond)
	g.Loops[0].Do(func() {
		g.Loops[0].SetTimer(&tm, at, expirer(func(now time.Time) { fired <- now }))
	})
	if now := wait(t, fired, "the timer"); now.Before(at) {
		t.Errorf("fired %v early", at.Sub(now))
	}
}

// TestTimerPanicCostsOneTimer: the others of the same tick, and later ones,
// belong to other sessions.
func TestTimerPanicCostsOneTimer(t *testing.T) {
	t.Parallel()
	g := groupExpecting(t, 1, "this timer fails")
	l := g.Loops[0]
	var bad, same, later Timer
	fired := make(chan string, 2)
	l.Do(func() {
		at := time.Now().Add(time.Millisecond)
		l.SetTimer(&bad, at, expirer(func(time.Time) { panic("this timer fails") }))
		l.SetTimer(&same, at, expirer(func(time.Time) { fired <- "same" }))
		l.SetTimer(&later, at.Add(4*tickLen), expirer(func(time.Time) { fired <- "later" }))
	})
	for _, want := range []string{"same", "later"} {
		if got := wait(t, fired, "the timer of the "+want+" tick"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkSetTimer(b *testing.B) {
	l, now := new(Loop), time.Now()
	l.wheel.init(now)
	var tm Timer
	who := expirer(func(time.Time) {})
	var e Expirer = who
	b.ReportAllocs()
	for b.Loop() {
		l.SetTimer(&tm, now.Add(time.Minute), e)
	}
}
