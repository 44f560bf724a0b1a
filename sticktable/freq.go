package sticktable

// A rate takes two words of a slot: the time in ms since 1970 at which its
// present period began, and the events of the period before and of this one in
// 32 bits each. It is HAProxy's freq_ctr: the rate is the events of this
// period, and of the one before the part that a period ending now covers.

// rollRate begins new periods as far as now is behind the present one. A clock
// that went back begins none.
func rollRate(w []uint64, period, now int64) {
	switch past := now - int64(w[0]); {
	case past < period:
	case past < 2*period:
		w[0], w[1] = w[0]+uint64(period), w[1]<<32
	default:
		w[0], w[1] = uint64(now), 0
	}
}

// addRate counts n events, n >= 0.
func addRate(w []uint64, period, now, n int64) {
	rollRate(w, period, now)
	w[1] = w[1]&^maxEvents | min(w[1]&maxEvents+uint64(n), maxEvents)
}

// maxEvents is the most events a period counts.
const maxEvents = 1<<32 - 1

// readRate is the events times the period in ms, so that the rates of several
// peers add up without a loss from rounding each.
func readRate(w []uint64, period, now int64) uint64 {
	r := [2]uint64{w[0], w[1]}
	rollRate(r[:], period, now)
	past := max(now-int64(r[0]), 0)
	return (r[1]>>32)*uint64(period-past) + (r[1]&maxEvents)*uint64(period)
}
