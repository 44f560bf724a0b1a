package peers

import "time"

// Next appends frames that are to be sent, each behind its length: about 64 KiB
// at most, nothing if there is nothing. Call it again until it appends nothing,
// then when a State has called wake, after Receive, and at Deadline.
func (l *Link) Next(now time.Time, dst []byte) []byte {
	before := len(dst)
	limit := before + maxBatch
	if !l.helloSent {
		l.helloSent = true
		dst = l.appendHello(now, dst)
	}
	if l.isGreeted() {
		dst = l.appendControl(now, dst, limit)
		dst = l.appendUpdates(now, dst, limit)
		dst = l.appendTransfers(now, dst, limit)
		if limit-len(dst) >= minBlob { // else there may be more changes
			dst = l.appendBye(dst)
		}
	}
	l.remote.mu.Lock()
	l.remote.counters.BytesOut += uint64(len(dst) - before)
	l.remote.mu.Unlock()
	return dst
}

func (l *Link) isGreeted() bool {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	return l.greeted
}

// appendControl appends all that is short and should not wait.
func (l *Link) appendControl(now time.Time, dst []byte, limit int) []byte {
	for _, ln := range l.lanes {
		dst = l.appendShape(ln, dst)
		dst = l.appendStart(now, ln, dst)
	}
	l.remote.mu.Lock()
	dst = l.appendEchoes(now, dst)
	for _, ln := range l.lanes {
		dst = ln.appendAck(now, dst)
		dst = ln.appendWant(dst)
	}
	dst = l.appendMessages(dst, limit)
	l.remote.mu.Unlock()
	for _, ln := range l.lanes {
		dst = l.appendDigests(now, ln, dst)
	}
	return dst
}

// appendBye comes when everything else that there was has been appended.
func (l *Link) appendBye(dst []byte) []byte {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if l.bye != byeWanted {
		return dst
	}
	l.bye = byeSent
	return appendNumbers(dst, typeBye)
}

// Deadline is when Next should be asked again though nothing has happened. It
// may be in the past.
func (l *Link) Deadline(now time.Time) time.Time {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	at := now.Add(echoEvery)
	if !l.greeted {
		return at
	}
	if l.echo.next.Before(at) {
		at = l.echo.next
	}
	if l.bye == byeWanted || len(l.messages) > 0 || l.echo.answers > 0 {
		return now
	}
	for _, ln := range l.lanes {
		if t := ln.deadline(now, l.leads); t.Before(at) {
			at = t
		}
	}
	return at
}

// deadline: remote.mu is held.
func (ln *lane) deadline(now time.Time, leads bool) time.Time {
	at := now.Add(echoEvery)
	switch {
	case !ln.shared:
		return at
	case ln.wanted != nil || ln.sending.due:
		return now
	case ln.acks.due:
		at = ln.acks.at
	}
	if t := ln.round.at(); leads && ln.inbound.started && t.Before(at) {
		at = t
	}
	return at
}
