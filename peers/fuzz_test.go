package peers

import (
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"testing"
	"time"
)

// conversation has all frames of one in which everything occurs.
func conversation(t testing.TB) (frames [][]byte) {
	p := newPipe(t)
	p.alter = func(f []byte) []byte {
		frames = append(frames, f)
		return f
	}
	fill(p.sides[0].m, "a", 50)
	fill(p.sides[1].m, "b", 50)
	p.connect()
	for range 3 {
		if err := errors.Join(p.run(), p.pass(confirmAfter)); err != nil {
			t.Fatal(err)
		}
		p.sides[0].m.Set("x", 1)
		p.sides[1].m.m["unheard"] = 1
		if err := p.sides[0].link.Message("t", []byte("b")); err != nil {
			t.Fatal(err)
		}
	}
	p.sides[0].link.Bye()
	if err := p.run(); err != nil {
		t.Fatal(err)
	}
	return frames
}

// FuzzReceive: whatever arrives, a link neither panics nor grows, and says of
// every frame whether it was taken.
func FuzzReceive(f *testing.F) {
	for _, frame := range conversation(f) {
		f.Add(frame, true)
		f.Add(frame, false)
	}
	f.Fuzz(func(t *testing.T, frame []byte, leads bool) {
		i := 0
		if !leads {
			i = 1
		}
		p := newPipe(t)
		p.connect()
		p.must(p.run())
		s := p.sides[i]
		for range 2 {
			var drop *DropError
			err := s.link.Receive(p.now, frame)
			if err != nil && !errors.As(err, &drop) && !errors.Is(err, ErrEnd) {
				t.Fatalf("Receive(%x) = %v", frame, err)
			}
			p.now = p.now.Add(time.Minute)
			for n := 0; len(s.link.Next(p.now, nil)) > 0; n++ {
				if n > 1000 {
					t.Fatal("frames without end")
				}
			}
		}
	})
}

// TestRandomConversations: changes, losses, restarts and overruns in any order
// end in equal content once there is a quiet minute.
func TestRandomConversations(t *testing.T) {
	for seed := range uint64(25) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		p := newPipe(t)
		p.connect()
		for range 60 {
			s := p.sides[rnd.IntN(2)]
			switch rnd.IntN(8) {
			case 0, 1, 2:
				for range rnd.IntN(300) {
					s.m.Set(string(binary.BigEndian.AppendUint16(nil, uint16(rnd.IntN(2000)))), rnd.Uint64N(1000))
				}
			case 3:
				s.m.mu.Lock()
				s.m.m["third"] = rnd.Uint64N(1000) + s.m.m["third"]
				s.m.mu.Unlock()
			case 4:
				s.m.ring = 1 + rnd.IntN(400)
			case 5:
				p.moved, p.cut = 0, 1+rnd.IntN(30)
			case 6:
				if rnd.IntN(4) == 0 {
					p.restart(rnd.IntN(2))
					p.connect()
				}
			case 7:
				if err := p.pass(time.Duration(rnd.IntN(5000)) * time.Millisecond); err != nil {
					p.connect()
				}
			}
			if err := p.run(); err != nil {
				p.cut = 0
				p.connect()
			}
		}
		p.cut = 0
		if rnd.IntN(2) == 0 {
			p.connect()
		}
		p.must(p.run())
		p.must(p.pass(2*checkEvery + 3*confirmAfter))
		p.ready()
		if a, b := p.sides[0].m.Copy(), p.sides[1].m.Copy(); !maps.Equal(a, b) {
			t.Fatalf("seed %d: a has %d entries, b %d, and they differ", seed, len(a), len(b))
		}
	}
}
