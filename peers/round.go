package peers

import "time"

// A round is a comparison of digests and what follows from it. The side with
// the smaller name begins rounds, one at a time for each state:
//
//	leader ─digests─▶ other        the leader's numbers
//	       ◀─want───               the buckets that differ, the other's numbers
//	       ◀─part…, done─          what the other has in them
//	       ─part…, done──▶         what the leader has in those that still differ
//
// After a look nothing but the want follows, and if it is not empty a confirm
// some seconds later: updates on their way differ for a moment. It is guarded by
// Remote.mu.
type round struct {
	id      uint64 // of the round under way, or the last
	kind    int
	active  bool
	since   time.Time // last progress
	sent    bool      // our done is out
	got     bool      // the other's done is here
	cut     bool      // there was more than maxCheck
	differs int       // buckets at the last look
	mends   bool      // and it was less than at the one before, or the first that found any
	repair  bool      // a repair is due
	look    time.Time // when to look next
	again   bool      // look once more behind what is under way, which may not see all
	confirm time.Time // when to confirm a look; zero for never
}

// at is when the leader has something to do.
func (r *round) at() time.Time {
	switch {
	case r.active:
		return r.since.Add(roundPatience)
	case r.repair:
		return time.Time{}
	case !r.confirm.IsZero():
		return r.confirm
	}
	return r.look
}

// begin tells whether a round begins now, and makes it the one under way.
func (r *round) begin(now time.Time) bool {
	if now.Before(r.at()) {
		return false
	}
	if r.active { // given up: its frames were lost to a fault of the other
		r.active, r.repair = false, r.repair || r.kind == kindRepair
	}
	switch {
	case r.repair:
		r.kind, r.repair = kindRepair, false
	case !r.confirm.IsZero():
		r.kind = kindConfirm
	default:
		r.kind = kindLook
	}
	r.id++
	r.active, r.since, r.confirm = true, now, time.Time{}
	r.sent, r.got, r.cut = false, false, false
	return true
}

// differ takes the number of buckets that differ in the round under way, and
// tells whether they are to be sent.
func (r *round) differ(now time.Time, buckets int) bool {
	r.since = now
	r.cut = r.kind == kindConfirm && buckets >= maxCheck
	if r.kind != kindLook {
		return true
	}
	r.active, r.look = false, now.Add(checkEvery)
	r.mends = r.differs == 0 || buckets <= r.differs-maxCheck/8
	r.differs = buckets
	if buckets > 0 {
		r.confirm = now.Add(confirmAfter)
	} else {
		r.lookAgain(now)
	}
	return false
}

// lookSoon makes a look due now, or when the comparison under way has ended.
func (r *round) lookSoon(now time.Time) {
	r.again = r.active || r.repair || !r.confirm.IsZero()
	if r.look.After(now) {
		r.look = now
	}
}

// lookAgain is for the end of a comparison.
func (r *round) lookAgain(now time.Time) {
	if r.again {
		r.again, r.look = false, now
	}
}

// finish ends the round when both sides are done. If there was more, that need
// not wait long, unless it helps nothing: tables of other sizes differ for good.
func (r *round) finish(now time.Time) {
	r.since = now
	if !r.sent || !r.got {
		return
	}
	r.active, r.look = false, now.Add(checkEvery)
	if r.cut && r.mends {
		r.look = now.Add(confirmAfter)
	}
	r.lookAgain(now)
}
