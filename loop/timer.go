package loop

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	tickLen    = 50 * time.Millisecond
	wheelSlots = 8192 // × tickLen: about seven minutes; later timers come round again
)

// A Timer calls its Expirer once on the loop, at most two ticks (100 ms) late.
// The zero Timer is stopped. It is a field of what it times, so that arming it
// takes no memory. Owned by the loop.
type Timer struct {
	next, prev *Timer // in the slot's ring; nil when stopped
	at         int64  // tick
	who        Expirer
}

// Expirer is what a Timer calls.
type Expirer interface {
	// Expired runs on the loop. The timer is stopped and may be set again.
	Expired(now time.Time)
}

// wheel is a hashed timing wheel: arming, stopping and expiring a timer cost
// the same whatever their number. Owned by its loop, but for due.
type wheel struct {
	caught func(*Conn) // deferred around each call; nil is not
	start  time.Time
	tick   int64 // all ticks up to this one have been served
	slots  [wheelSlots]Timer
	used   [wheelSlots / 64]uint64 // a bit for each slot that holds timers
	due    atomic.Int64            // earliest tick that may have a timer; read by the clock
}

const never = int64(1) << 62

func (w *wheel) init(now time.Time) {
	w.start = now
	w.due.Store(never)
	for i := range w.slots {
		w.slots[i].next, w.slots[i].prev = &w.slots[i], &w.slots[i]
	}
}

// at is the tick during which t lies.
func (w *wheel) at(t time.Time) int64 { return int64(t.Sub(w.start) / tickLen) }

// SetTimer has who.Expired called at the given time, or as soon as can be if
// that is past. A timer that is set already is moved.
func (l *Loop) SetTimer(t *Timer, at time.Time, who Expirer) {
	l.StopTimer(t)
	w := &l.wheel
	t.who = who
	t.at = max(w.at(at)+1, w.tick+1)
	w.insert(t)
}

// StopTimer disarms t. A stopped timer is left alone.
func (l *Loop) StopTimer(t *Timer) {
	if t.next == nil {
		return
	}
	t.unlink()
	t.who = nil
}

func (t *Timer) unlink() {
	t.next.prev, t.prev.next = t.prev, t.next
	t.next, t.prev = nil, nil
}

func (w *wheel) insert(t *Timer) {
	i := t.at % wheelSlots
	head := &w.slots[i]
	t.prev, t.next = head.prev, head
	head.prev.next, head.prev = t, t
	w.used[i/64] |= 1 << (i % 64)
	// A timer beyond the horizon is looked at once a turn of the wheel.
	if visit := w.tick + 1 + (t.at-w.tick-1)%wheelSlots; visit < w.due.Load() {
		w.due.Store(visit)
	}
}

// advance serves every timer up to now.
func (w *wheel) advance(now time.Time) {
	for last := w.at(now); w.tick < last; {
		w.tick++
		i := w.tick % wheelSlots
		if w.used[i/64]&(1<<(i%64)) != 0 {
			w.serve(i, now)
		}
	}
	w.due.Store(w.nextUsed())
}

func (w *wheel) serve(i int64, now time.Time) {
	head := &w.slots[i]
	w.used[i/64] &^= 1 << (i % 64)
	// Take the ring out first: what Expired arms must not be met in this turn.
	var ring Timer
	if head.next == head {
		return
	}
	ring.next, ring.prev = head.next, head.prev
	ring.next.prev, ring.prev.next = &ring, &ring
	head.next, head.prev = head, head
	for t := ring.next; t != &ring; t = ring.next {
		t.unlink()
		if t.at > w.tick {
			w.insert(t) // a later turn of the wheel
			continue
		}
		who := t.who
		t.who = nil
		w.call(who, now)
	}
}

// nextUsed is the tick of the next slot that holds timers.
func (w *wheel) nextUsed() int64 {
	from := w.tick + 1
	for d := int64(0); d < wheelSlots; {
		i := (from + d) % wheelSlots
		word := w.used[i/64] >> (i % 64)
		if word != 0 {
			return from + d + int64(bits.TrailingZeros64(word))
		}
		d += 64 - i%64
	}
	return never
}

// tick is the clock of all loops: it wakes a loop only when a timer may be due.
func (g *Group) tick() {
	defer g.wg.Done()
	t := time.NewTicker(tickLen)
	defer t.Stop()
	for {
		select {
		case <-g.stop:
			return
		case now := <-t.C:
			g.clock.Store(g.start.UnixMilli() + now.Sub(g.start).Milliseconds())
			for _, l := range g.Loops {
				l.wakeIfDue(now)
			}
		}
	}
}

func (l *Loop) wakeIfDue(now time.Time) {
	if l.wheel.at(now) >= l.wheel.due.Load() {
		l.wheel.due.Store(never) // until served, one post is enough
		l.Post(l.expire)
	}
}

func (l *Loop) expire() { l.wheel.advance(time.Now()) }

// call calls one Expirer. If it panics, the timers behind it still get theirs.
func (w *wheel) call(who Expirer, now time.Time) {
	if w.caught != nil {
		defer w.caught(nil)
	}
	who.Expired(now)
}
