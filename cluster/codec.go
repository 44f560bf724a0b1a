package cluster

import (
	"errors"
	"fmt"
	"strings"

	"imaplb/wire"
)

// A message is msgpack: the version and then facts until its end, each an
// array of its fields in the order of fact. Fields are only ever added at the
// end of an array, and are numbers or strings, which is all that the first
// versions pass over; a reader passes over those it does not know. A message
// whose meaning changes gets another version. An empty message has no facts.
const (
	codecVersion = 1
	factFields   = 5

	// MaxMessage is the longest message that is merged, in bytes.
	MaxMessage = 1 << 20
)

// ErrMessage says that bytes are no message.
var ErrMessage = errors.New("cluster: malformed message")

func appendFact(dst []byte, f *fact) []byte {
	dst = wire.AppendString(wire.AppendArray(dst, factFields), f.key)
	dst = wire.AppendString(dst, f.value)
	dst = wire.AppendUint(dst, f.time)
	dst = wire.AppendString(dst, f.writer)
	return wire.AppendInt(dst, f.expires)
}

// decodeMessage reads the facts of a message of at most limit bytes. Their
// strings keep to their bounds; their times are not checked. Nothing of the
// result aliases b.
func decodeMessage(b []byte, limit int) ([]*fact, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMessage, len(b), limit)
	}
	r := wire.NewReader(b, ErrMessage)
	if v := r.Uint(); r.Err() == nil && v != codecVersion {
		return nil, fmt.Errorf("%w: version %d is not known", ErrMessage, v)
	}
	var facts []*fact
	for r.Left() > 0 {
		facts = append(facts, readFact(&r))
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	return facts, nil
}

// readFact reads a fact, whose strings it copies.
func readFact(r *wire.Reader) *fact {
	fields := r.Array(factFields)
	f := &fact{
		key:     strings.Clone(r.Text(1, MaxKey)),
		value:   strings.Clone(r.Text(0, MaxValue)),
		time:    r.Uint(),
		writer:  strings.Clone(r.Text(1, MaxName)),
		expires: r.Int(),
	}
	r.Skip(fields - factFields)
	if f.expires < 0 {
		r.Fail("fact that expired before 1970")
	}
	return f
}

// readValue reads the value of a fact. What it returns is part of a copy that
// nothing changes, so it may be kept.
func readValue(value string) wire.Reader {
	return wire.NewReader([]byte(value), ErrMessage)
}
