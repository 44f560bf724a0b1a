package cluster

import (
	"time"

	"imaplb/wire"
)

// The phases of a move.
const (
	phaseHold = 1 // logins wait, sessions are ended
	phaseDone = 2 // it is over: assigned, or given up
)

const (
	// keepMove is how long the fact of a move is kept behind its deadline. That
	// of its end is kept longer than any clock makes one of its beginning last,
	// so that none comes to life again.
	keepMove = 2 * time.Minute
	keepDone = keepMove + 2*maxAhead

	maxMissing = 8   // peers named in a fact
	maxWhy     = 512 // bytes
)

// move is the value of the fact of a move. It is immutable once encoded.
type move struct {
	id       string
	phase    uint64
	by       string
	backend  string
	server   string
	timeout  time.Duration
	deadline int64  // ms since 1970, by the clock of the peer where it began
	stamp    Stamp  // of the assignment; zero before it, and if the move was given up
	why      string // the move was given up; or what there is to say of one that was not
	missing  []string
}

const moveFields = 11

func (m *move) expires() int64 {
	keep := keepMove
	if m.phase == phaseDone {
		keep = keepDone
	}
	return m.deadline + keep.Milliseconds()
}

func (m *move) encode() string {
	b := wire.AppendString(wire.AppendArray(nil, moveFields), m.id)
	b = wire.AppendUint(b, m.phase)
	b = wire.AppendString(b, m.by)
	b = wire.AppendString(b, m.backend)
	b = wire.AppendString(b, m.server)
	b = wire.AppendInt(b, m.timeout.Milliseconds())
	b = wire.AppendInt(b, m.deadline)
	b = wire.AppendUint(b, m.stamp.Time)
	b = wire.AppendString(b, m.stamp.Writer)
	b = wire.AppendString(b, m.why)
	b = wire.AppendArray(b, len(m.missing))
	for _, peer := range m.missing {
		b = wire.AppendString(b, peer)
	}
	return string(b)
}

// parseMove is the inverse of encode; false if it is none.
func parseMove(value string) (m move, ok bool) {
	r := readValue(value)
	n := r.Array(moveFields)
	m.id, m.phase = r.Text(0, 2*MaxName), r.Uint()
	m.by, m.backend, m.server = r.Text(0, MaxName), r.Text(0, MaxName), r.Text(0, MaxName)
	timeout := r.Int()
	m.deadline = r.Int()
	m.stamp = Stamp{Time: r.Uint(), Writer: r.Text(0, MaxName)}
	m.why = r.Text(0, MaxValue)
	missing := r.Array(0)
	for i := 0; i < missing && r.Err() == nil; i++ {
		m.missing = append(m.missing, r.Text(0, MaxName))
	}
	r.Skip(n - moveFields)
	m.timeout = time.Duration(max(min(timeout, (MaxMoveTimeout+MaxGrace).Milliseconds()), 0)) * time.Millisecond
	return m, r.Err() == nil && m.id != "" && m.server != "" && m.deadline >= 0 &&
		(m.phase == phaseHold || m.phase == phaseDone)
}
