package peers

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func fill(m *mapState, prefix string, n int) {
	for i := range n {
		m.Set(fmt.Sprint(prefix, i), uint64(i+1))
	}
}

func TestFirstConnectionLearnsBothWays(t *testing.T) {
	p := newPipe(t)
	fill(p.sides[0].m, "a", 5000)
	fill(p.sides[1].m, "b", 3000)
	p.connect()
	if p.sides[0].link.Ready() {
		t.Error("ready before the hello")
	}
	p.must(p.run())
	p.equal(8000)
	p.ready()
	in, out := p.sides[1].remote.Info().Counters, p.sides[0].remote.Info().Counters
	if out.RepairedIn != 3000 || in.UpdatesIn != 0 || in.BytesIn != out.BytesOut {
		t.Errorf("b counts %+v, a %+v", in, out)
	}
	p.must(p.pass(100 * time.Millisecond))
	if n := p.sides[1].remote.Info().Counters.RepairedOut; n != 3000 {
		t.Errorf("b knows of %d entries repaired at a, want 3000", n)
	}
}

func TestUpdatesFlow(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	p.ready()
	p.sides[0].m.Set("x", 1)
	p.sides[1].m.Set("y", 2)
	p.must(p.run())
	p.equal(2)
	c := p.sides[0].remote.Info().Counters
	if c.UpdatesIn != 1 || c.EntriesIn != 1 || c.RepairedIn != 0 {
		t.Errorf("counters %+v", c)
	}
	want := StateInfo{Name: "map", Shared: true, Sent: 1, Received: 1, Learned: true}
	if got := p.sides[0].link.States(); len(got) != 1 || got[0] != want {
		t.Errorf("states %+v, want %+v", got, want)
	}
	p.must(p.pass(ackWithin))
	if n := p.sides[0].link.States()[0].Acked; n != 1 {
		t.Errorf("%d changes acknowledged, want 1", n)
	}
	if c := p.sides[0].remote.Info().Counters; c.EntriesOut != 1 {
		t.Errorf("a knows of %d entries at b, want 1", c.EntriesOut)
	}
}

func TestResumeSendsOnlyWhatIsNew(t *testing.T) {
	p := newPipe(t)
	fill(p.sides[0].m, "a", 1000)
	p.connect()
	p.must(p.run())
	p.sides[0].m.Set("new", 7)
	p.sides[1].m.Set("new too", 8)
	p.connect()
	p.must(p.run())
	p.equal(1002)
	p.ready()
	if c := p.sides[1].remote.Info().Counters; c.EntriesIn != 1 || c.RepairedIn != 1000 || c.RepairedOut != 0 || c.Connects != 2 {
		t.Errorf("counters %+v", c)
	}
}

func TestRestartLearnsAgain(t *testing.T) {
	for i := range 2 {
		p := newPipe(t)
		fill(p.sides[0].m, "a", 1000)
		p.connect()
		p.must(p.run())
		p.restart(i)
		p.connect()
		before := p.sides[1-i].remote.Info().Counters.RepairedIn
		p.must(p.run())
		p.equal(1000)
		p.ready()
		if n := p.sides[1-i].remote.Info().Counters.RepairedIn; n != before {
			t.Errorf("the restarted side sent %d entries back", n-before)
		}
	}
}

// TestLossAtEveryFrame: wherever the connection breaks, the next one brings
// both to the same content, and none claims what it does not have.
func TestLossAtEveryFrame(t *testing.T) {
	for cut := 1; ; cut++ {
		p := newPipe(t)
		fill(p.sides[0].m, "a", 800)
		fill(p.sides[1].m, "b", 400)
		p.cut = cut
		p.connect()
		err := p.run()
		lost := errors.Is(err, errCut)
		if !lost {
			p.must(err)
		}
		p.cut = 0
		p.sides[0].m.Set("later", 1)
		p.connect()
		p.must(p.run())
		p.equal(1201)
		p.ready()
		if !lost {
			return
		}
	}
}

func TestFaultyMergeIsDropped(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	p.sides[1].m.fail = true
	p.sides[0].m.Set("x", 1)
	p.must(p.run())
	if s := p.sides[1]; s.drops != 1 || s.remote.Info().Counters.Dropped != 1 {
		t.Errorf("%d drops, counters %+v", s.drops, s.remote.Info().Counters)
	}
	p.sides[1].m.fail = false
	p.sides[0].m.Set("y", 1)
	p.must(p.run())
	p.must(p.pass(checkEvery + 2*confirmAfter))
	p.equal(2)
}

func TestUnknownFramesAndFields(t *testing.T) {
	p := newPipe(t)
	p.alter = func(f []byte) []byte {
		// One more field, an array in an array, at the end of every frame.
		longer := append([]byte{f[0] + 1}, f[1:]...)
		return append(longer, 0x92, 1, 0x91, 0xc0)
	}
	fill(p.sides[0].m, "a", 100)
	p.connect()
	p.must(p.run())
	p.equal(100)
	p.must(p.sides[0].link.Receive(p.now, []byte{0x92, 99, 1}))
	if c := p.sides[0].remote.Info().Counters; c.Unknown != 1 || c.Dropped != 0 {
		t.Errorf("counters %+v", c)
	}
}

func TestGarbageIsDropped(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	l := p.sides[1].link
	garbage := [][]byte{
		nil, {0xc1}, {0x90}, {0x91, 0xc0}, {0x91, typeUpdate}, {0x94, typeUpdate, 9, 1, 0xc4, 0},
		{0x94, typeUpdate, 0, 1, 0xc6, 0xff, 0xff, 0xff, 0xff}, {0x94, typeUpdate, 0, 1, 0xc4, 1, 200},
		{0x95, typeWant, 0, 1, 0x91, 0x92, 200, 1, 0xc4, 0}, {0x95, typeWant, 0, 1, 0xdd, 0xff, 0xff, 0xff, 0xff},
		{0x95, typeDigests, 0, 1, 0, 0xc4, 0}, {0x93, typeMessage, 0xa1, 't'}, {0x93, typeEchoed, 0xe0, 1},
	}
	for _, f := range garbage {
		var drop *DropError
		if err := l.Receive(p.now, f); !errors.As(err, &drop) {
			t.Errorf("Receive(%x) = %v, want a DropError", f, err)
		}
	}
	if n := p.sides[1].remote.Info().Counters.Dropped; n != uint64(len(garbage)) {
		t.Errorf("%d dropped, want %d", n, len(garbage))
	}
	p.sides[0].m.Set("x", 1)
	p.must(p.run())
	p.equal(1)
}

func TestHelloFirstAndOnce(t *testing.T) {
	p := newPipe(t)
	p.connect()
	if err := p.sides[0].link.Receive(p.now, []byte{0x91, typeBye}); !errors.Is(err, ErrEnd) {
		t.Errorf("a bye before the hello = %v, want ErrEnd", err)
	}
	p.connect()
	hello := bytes.Clone(p.sides[1].link.Next(p.now, nil)[4:])
	p.must(p.sides[0].link.Receive(p.now, hello))
	if err := p.sides[0].link.Receive(p.now, hello); !errors.Is(err, ErrEnd) {
		t.Errorf("a second hello = %v, want ErrEnd", err)
	}
}

func TestVersions(t *testing.T) {
	for _, test := range []struct {
		a, b [2]uint64
		want uint64 // 0 for none
	}{
		{[2]uint64{1, 1}, [2]uint64{1, 2}, 1},
		{[2]uint64{1, 2}, [2]uint64{1, 2}, 2},
		{[2]uint64{1, 2}, [2]uint64{2, 3}, 2},
		{[2]uint64{1, 1}, [2]uint64{2, 3}, 0},
	} {
		p := newPipe(t)
		p.connect()
		p.sides[0].link.versions, p.sides[1].link.versions = test.a, test.b
		err := p.run()
		if got := p.sides[0].remote.Info().Version; got != test.want || (test.want == 0) != errors.Is(err, ErrVersion) {
			t.Errorf("%v and %v: version %d and %v, want %d", test.a, test.b, got, err, test.want)
		}
	}
}

func TestStatesThatOnlyOneHas(t *testing.T) {
	p := newPipe(t)
	alone, other := newMap("alone"), newMap("other")
	fill(alone, "x", 10)
	p.sides[0].states = []State{alone, p.sides[0].m}
	p.sides[1].states = []State{p.sides[1].m, other}
	fill(p.sides[0].m, "a", 10)
	p.connect()
	p.must(p.run())
	p.equal(10)
	p.ready()
	if len(other.Copy()) != 0 || p.sides[1].drops+p.sides[0].drops != 0 {
		t.Error("a state reached another one")
	}
}

func TestMessages(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	l := p.sides[0].link
	for i := range MaxPending {
		p.must(l.Message("t", fmt.Append(nil, i)))
	}
	if err := l.Message("t", nil); !errors.Is(err, ErrBusy) {
		t.Errorf("one more message = %v, want ErrBusy", err)
	}
	if l.Message("t", make([]byte, MaxMessage+1)) == nil || l.Message(strings.Repeat("t", MaxName+1), nil) == nil {
		t.Error("a message that is too long was taken")
	}
	p.must(p.run())
	if got := p.sides[1].got; len(got) != MaxPending || got[0] != "t=0" || got[63] != "t=63" {
		t.Errorf("b got %q", got)
	}
	p.must(l.Message("t", make([]byte, MaxMessage)))
	p.must(p.run())
	if len(p.sides[1].got) != MaxPending+1 {
		t.Error("the longest message did not arrive")
	}
}

func TestEchoMeasures(t *testing.T) {
	p := newPipe(t)
	p.connect()
	a, b := p.sides[0].link, p.sides[1].link
	ours, theirs := p.now, p.now.Add(5*time.Second)
	p.must(b.Receive(theirs, a.Next(ours, nil)[4:]))
	p.must(a.Receive(ours, b.Next(theirs, nil)[4:]))
	send := func(from, to *Link, at, arrival time.Time) {
		for f, out, ok := CutFrame(from.Next(at, nil)); ok; f, out, ok = CutFrame(out) {
			p.must(to.Receive(arrival, f))
		}
	}
	send(a, b, ours, theirs.Add(10*time.Millisecond))
	send(b, a, theirs.Add(10*time.Millisecond), ours.Add(20*time.Millisecond))
	got := p.sides[0].remote.Info().Timing
	want := Timing{Lag: 20 * time.Millisecond, Smooth: 20 * time.Millisecond, Offset: 5 * time.Second}
	if got != want {
		t.Errorf("timing %+v, want %+v", got, want)
	}
}

func TestEchoAnswersAreBounded(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	for i := range 100 {
		p.must(p.sides[0].link.Receive(p.now, []byte{0x92, typeEcho, byte(i)}))
	}
	if n := p.sides[0].link.echo.answers; n != maxEchoes {
		t.Errorf("%d answers wait, want %d", n, maxEchoes)
	}
}

func TestBye(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	p.sides[0].m.Set("last", 1)
	p.sides[0].link.Bye()
	p.must(p.run())
	p.equal(1)
	if !p.sides[1].link.Left() || !p.sides[0].link.Bidden() || p.sides[0].link.Left() {
		t.Error("the bye did not come across")
	}
}

// TestReplacedLinkIsNotBelieved: what an old connection still delivers must not
// make the record claim more of the new process than is here.
func TestReplacedLinkIsNotBelieved(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	old := p.sides[1].link
	p.sides[0].m.Set("x", 1)
	update := p.sides[0].link.Next(p.now, nil)[4:]
	p.connect()
	p.must(p.run())
	before := p.sides[1].remote.held["map"]
	p.sides[1].remote.lose(p.sides[1].link, "map")
	p.must(old.Receive(p.now, update))
	if h := p.sides[1].remote.held["map"]; h != (held{}) || before.pos != 1 {
		t.Errorf("held %+v by the word of an old link, %+v before", h, before)
	}
}

func TestNextIsBounded(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	fill(p.sides[0].m, strings.Repeat("k", 100), 5000)
	var sizes []int
	for {
		b := p.sides[0].link.Next(p.now, nil)
		if len(b) == 0 {
			break
		}
		sizes = append(sizes, len(b))
	}
	if m := slices.Max(sizes); len(sizes) < 5 || m > maxBatch+1024 {
		t.Errorf("sizes %v, want many of at most %d", sizes, maxBatch)
	}
}

func TestDeadlines(t *testing.T) {
	p := newPipe(t)
	p.connect()
	p.must(p.run())
	for _, s := range p.sides {
		if d := s.link.Deadline(p.now).Sub(p.now); d <= 0 || d > echoEvery {
			t.Errorf("%s idle: deadline in %v", s.name, d)
		}
	}
	p.sides[0].m.Set("x", 1)
	p.must(p.run())
	if d := p.sides[1].link.Deadline(p.now).Sub(p.now); d != ackWithin {
		t.Errorf("deadline of an ack in %v, want %v", d, ackWithin)
	}
}
