package peers

import (
	"fmt"
	"time"

	"imaplb/wire"
)

// helloStateFields are name, buckets, incarnation held and position held. A
// Shaped state has its shape behind them.
const helloStateFields = 4

// appendHello appends the first frame of a connection.
func (l *Link) appendHello(now time.Time, dst []byte) []byte {
	have := l.remote.attach(l)
	start := len(dst)
	dst = openFrame(dst, typeHello, 6)
	dst = wire.AppendUint(dst, l.versions[0])
	dst = wire.AppendUint(dst, l.versions[1])
	dst = wire.AppendString(dst, l.cfg.Self)
	dst = wire.AppendUint(dst, l.cfg.Incarnation)
	dst = wire.AppendUint(dst, wallMs(now))
	dst = wire.AppendArray(dst, len(l.lanes))
	for _, ln := range l.lanes {
		h := have[ln.name]
		shaped, ok := ln.state.(Shaped)
		fields := helloStateFields
		if ok {
			fields++
		}
		dst = wire.AppendArray(dst, fields)
		dst = wire.AppendString(dst, ln.name)
		dst = wire.AppendUint(dst, uint64(ln.parts*BucketsPerPart))
		dst = wire.AppendUint(dst, h.incarnation)
		dst = wire.AppendUint(dst, h.pos)
		if ok {
			ln.shapeTold = shaped.Shape()
			dst = wire.AppendUint(dst, ln.shapeTold)
		}
	}
	return closeFrame(dst, start)
}

func wallMs(now time.Time) uint64 { return uint64(max(now.UnixMilli(), 0)) }

// takeHello: everything that follows depends on it, so its faults are the end.
func (l *Link) takeHello(_ time.Time, r *wire.Reader) error {
	least, most := r.Uint(), r.Uint()
	name := string(r.Bytes(MaxName))
	incarnation := r.Uint()
	r.Uint() // the wall clock is measured by echoes
	version := min(most, l.versions[1])
	switch {
	case r.Err() != nil:
		return fmt.Errorf("%w: hello: %w", ErrEnd, r.Err())
	case version < max(least, l.versions[0]):
		return fmt.Errorf("%w: %w: %d to %d there, %d to %d here",
			ErrEnd, ErrVersion, least, most, l.versions[0], l.versions[1])
	case name != l.remote.name:
		return fmt.Errorf("%w: the peer calls itself %q, not %q", ErrEnd, name, l.remote.name)
	}
	claims := l.helloStates(r)
	if r.Err() != nil {
		return fmt.Errorf("%w: hello: %w", ErrEnd, r.Err())
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	for ln, c := range claims {
		ln.shared, ln.theirs, ln.theirShape = true, c.held, c.shape
	}
	l.greeted, l.incarnation = true, incarnation
	l.remote.incarnation, l.remote.version = incarnation, version
	l.remote.counters.Connects++
	return nil
}

// helloStates reads the states of the other, and what it has of ours.
func (l *Link) helloStates(r *wire.Reader) map[*lane]claim {
	n := r.Array(0)
	if n > MaxStates {
		r.Fail("%d states, at most %d", n, MaxStates)
	}
	claims := map[*lane]claim{}
	for i := 0; i < n && r.Err() == nil; i++ {
		fields := r.Array(helloStateFields)
		name, buckets := string(r.Bytes(MaxName)), r.Uint()
		c := claim{held: held{incarnation: r.Uint(), pos: r.Uint()}}
		ln := l.named(name, buckets)
		if fields > helloStateFields {
			c.shape = shape{true, r.Uint()}
			fields--
		}
		r.Skip(fields - helloStateFields)
		if _, twice := claims[ln]; ln != nil && twice {
			r.Fail("state %d is named twice", i)
		}
		l.byTheirs = append(l.byTheirs, ln)
		if ln != nil {
			claims[ln] = c
		}
	}
	return claims
}

// claim is what a hello says of a state.
type claim struct {
	held
	shape
}

// named finds a lane; a state divided in another way cannot be compared, so it
// counts as another one.
func (l *Link) named(name string, buckets uint64) *lane {
	for _, ln := range l.lanes {
		if ln.name == name && uint64(ln.parts*BucketsPerPart) == buckets {
			return ln
		}
	}
	return nil
}
