package peers

import (
	"fmt"
	"time"

	"imaplb/wire"
)

// appendStart says from where on our changes come: from where the other has
// them if the journal still does, else from its head, and the rest is repaired.
func (l *Link) appendStart(now time.Time, ln *lane, dst []byte) []byte {
	if ln.started || !l.isShared(ln) {
		return dst
	}
	ln.started = true
	theirs := l.claim(ln)
	head := ln.state.Head()
	resumed := theirs.incarnation == l.cfg.Incarnation && theirs.pos <= head
	if resumed {
		_, _, resumed = ln.state.Pull(nil, theirs.pos, 0)
	}
	ln.pos = head
	if resumed {
		ln.pos = theirs.pos
	}
	l.remote.mu.Lock()
	ln.sent = ln.pos
	ln.round.look = now.Add(confirmAfter)
	ln.round.repair = ln.round.repair || !resumed
	l.remote.mu.Unlock()
	return ln.start(dst, resumed, head)
}

func (ln *lane) start(dst []byte, resumed bool, head uint64) []byte {
	start := len(dst)
	dst = wire.AppendUint(openFrame(dst, typeStart, 4), ln.number)
	dst = wire.AppendUint(dst, ln.pos)
	dst = wire.AppendBool(dst, resumed)
	return closeFrame(wire.AppendUint(dst, head), start)
}

func (l *Link) isShared(ln *lane) bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return ln.shared
}

// begun tells whether the other has said where its changes come from.
func (l *Link) begun(ln *lane) bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return ln.inbound.started
}

func (l *Link) claim(ln *lane) held {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return ln.theirs
}

// appendUpdates appends what the journals hold; another state comes first each
// time, so that a busy one does not keep the others back.
func (l *Link) appendUpdates(now time.Time, dst []byte, limit int) []byte {
	for i := range l.lanes {
		ln := l.lanes[(l.turn+i)%len(l.lanes)]
		for ln.started && limit-len(dst) >= minBlob {
			n := len(dst)
			if dst = l.appendUpdate(now, ln, dst, limit-n); len(dst) == n {
				break
			}
		}
	}
	l.turn++
	return dst
}

// appendUpdate appends one frame of changes, nothing if there are none.
func (l *Link) appendUpdate(now time.Time, ln *lane, dst []byte, room int) []byte {
	dst, f := openBlob(dst, typeUpdate, ln.number, 0)
	dst, next, ok := ln.state.Pull(dst, ln.pos, room)
	if !ok {
		// The journal has gone on without us.
		l.remote.mu.Lock()
		l.remote.counters.Overruns++
		ln.round.repair = true
		ln.round.look = now.Add(confirmAfter)
		l.remote.mu.Unlock()
		ln.pos = ln.state.Head()
		return ln.start(dst[:f.start], false, ln.pos)
	}
	if next == ln.pos {
		return dst[:f.start]
	}
	ln.pos = next
	f.setNumber(dst, next)
	dst, ok = f.close(dst)
	l.remote.mu.Lock()
	l.remote.counters.UpdatesOut++
	ln.sent = next
	if !ok { // a state that does not keep to max: the digests will show it
		l.remote.counters.Dropped++
	}
	l.remote.mu.Unlock()
	return dst
}

// takeStart: what the other sends from now on follows its position.
func (l *Link) takeStart(_ time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	pos, resumed, head := r.Uint(), r.Uint() == 1, r.Uint()
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	in := &ln.inbound
	in.started, in.pos, in.until = true, pos, head
	if resumed {
		in.learned = in.learned || pos >= head
		return nil
	}
	in.gap, in.mends = true, 0
	ln.round.repair = true
	l.remote.lose(l, ln.name)
	return nil
}

// takeUpdate merges changes of the other. Its position counts though a merge
// failed: the same bytes would fail again, and the digests show what is missing.
func (l *Link) takeUpdate(now time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	pos, blob := r.Uint(), r.Bytes(maxFrame)
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	if !l.begun(ln) {
		return fmt.Errorf("%w: before the start", errFrame)
	}
	entries := 0
	if len(blob) > 0 {
		entries, err = ln.state.Merge(now, l.remote.name, blob)
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	l.remote.counters.UpdatesIn++
	l.remote.counters.EntriesIn += uint64(entries)
	ln.acks.entries += uint64(entries)
	ln.acks.ask(now)
	in := &ln.inbound
	in.pos = pos
	if !in.gap {
		in.learned = in.learned || pos >= in.until
		l.remote.hold(l, ln.name, pos)
	}
	if err != nil {
		return fmt.Errorf("merging %q: %w", ln.name, err)
	}
	return nil
}

// ask has an acknowledgement sent soon.
func (a *acks) ask(now time.Time) {
	if !a.due {
		a.due, a.at = true, now.Add(ackWithin)
	}
}

// appendAck acknowledges when it is time. remote.mu is held.
func (ln *lane) appendAck(now time.Time, dst []byte) []byte {
	if !ln.acks.due || now.Before(ln.acks.at) {
		return dst
	}
	ln.acks.due = false
	return appendNumbers(dst, typeAck, ln.number, ln.inbound.pos, ln.acks.entries, ln.acks.repaired)
}

func (l *Link) takeAck(_ time.Time, r *wire.Reader) error {
	ln, err := l.lane(r)
	pos := r.Uint()
	merged := [2]uint64{r.Uint(), r.Uint()}
	if err != nil || r.Err() != nil || ln == nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	ln.acks.pos = pos
	if was := ln.acks.theirs; merged[0] >= was[0] && merged[1] >= was[1] {
		l.remote.counters.EntriesOut += merged[0] - was[0]
		l.remote.counters.RepairedOut += merged[1] - was[1]
		ln.acks.theirs = merged
	}
	return nil
}
