package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// state is what package peers asks of a replicated value.
type state interface {
	Name() string
	Head() uint64
	Pull(dst []byte, pos uint64, max int) (b []byte, next uint64, ok bool)
	Digests(dst []uint64) []uint64
	Part(dst []byte, part int, mask uint16, cursor uint32, max int) (b []byte, next uint32)
	Merge(now time.Time, from string, b []byte) (entries int, err error)
	Watch(wake func())
}

var _ state = (*Cluster)(nil)

// newOne is a cluster of which nobody watches the effects.
func newOne(t testing.TB, self string) *Cluster {
	t.Helper()
	m := &mesh{now: start}
	s := &simNode{
		m: m, name: self, table: map[string]home{}, sessions: map[string]map[string]int{},
		closing: map[string]string{}, results: map[string][]MoveResult{}, health: map[target]bool{},
	}
	m.nodes = []*simNode{s}
	c, err := New(start, self, DefaultConfig(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.c = c
	return c
}

// encode is a message of facts.
func encode(facts ...*fact) []byte {
	m := newMessage(nil, MaxMessage)
	m.addAll(facts)
	return m.b
}

// randomFact is a fact of few keys, times, writers and values, so that many of
// them meet, ties too. What they say is of a kind without consequences.
func randomFact(rng *rand.Rand) *fact {
	return &fact{
		key: fmt.Sprint("later/", rng.IntN(3)), value: fmt.Sprint(rng.IntN(3)),
		time: wall(start) + uint64(rng.IntN(3)), writer: fmt.Sprint("lb", 2+rng.IntN(3)),
		expires: int64(rng.IntN(2)) * start.Add(time.Hour).UnixMilli(),
	}
}

// content is what a cluster holds, comparable between clusters.
func content(c *Cluster) map[string]fact {
	all := map[string]fact{}
	for key, f := range c.facts.byKey {
		all[key] = fact{key: f.key, value: f.value, time: f.time, writer: f.writer, expires: f.expires}
	}
	return all
}

func merged(t *testing.T, facts ...*fact) *Cluster {
	t.Helper()
	c := newOne(t, "lb1")
	for _, f := range facts {
		if n, err := c.Merge(start, "lb2", encode(f)); n != 1 || err != nil {
			t.Fatalf("Merge = %d, %v, want one", n, err)
		}
	}
	return c
}

// parts is all that a cluster sends of its facts.
func parts(c *Cluster, max int) (all [][]byte) {
	for cursor, more := uint32(0), true; more; more = cursor != 0 {
		var b []byte
		b, cursor = c.Part(nil, 0, 0xffff, cursor, max)
		all = append(all, b)
	}
	return all
}

// Commutative, idempotent and associative: any order, any repetition, by way
// of others or not, gives the same facts and the same digests.
func TestMergeLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		var facts []*fact
		for range 2 + rng.IntN(8) {
			facts = append(facts, randomFact(rng))
		}
		want := merged(t, facts...)
		again := append(facts, facts[:1+rng.IntN(len(facts))]...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		direct := merged(t, again...)
		cut := rng.IntN(len(again))
		between := merged(t, again[:cut]...)
		indirect := merged(t, again[cut:]...)
		for _, b := range parts(between, 1+rng.IntN(200)) {
			if _, err := indirect.Merge(start, "lb3", b); err != nil {
				t.Fatal(err)
			}
		}
		for _, got := range []*Cluster{direct, indirect} {
			if !reflect.DeepEqual(content(got), content(want)) {
				t.Fatalf("got %+v\nwant %+v", content(got), content(want))
			}
			if !reflect.DeepEqual(got.Digests(nil), want.Digests(nil)) {
				t.Fatal("digests differ")
			}
		}
	}
}

// The greater time wins, then the writer, then the value.
func TestOrderOfFacts(t *testing.T) {
	base := fact{key: "k", value: "b", time: 5, writer: "lb2", expires: 7}
	for name, c := range map[string]struct {
		change func(*fact)
		want   int
	}{
		"same":          {func(*fact) {}, 0},
		"later":         {func(f *fact) { f.time, f.writer, f.value = 6, "lb1", "a" }, 1},
		"earlier":       {func(f *fact) { f.time, f.writer, f.value = 4, "lb3", "c" }, -1},
		"writer":        {func(f *fact) { f.writer, f.value = "lb3", "a" }, 1},
		"value":         {func(f *fact) { f.value, f.expires = "c", 1 }, 1},
		"value smaller": {func(f *fact) { f.value, f.expires = "a", 9 }, -1},
		"expires":       {func(f *fact) { f.expires = 8 }, 1},
	} {
		f := base
		c.change(&f)
		if got := f.compare(&base); got != c.want || base.compare(&f) != -c.want {
			t.Errorf("%s: compare = %d, the other way %d, want %d", name, got, base.compare(&f), c.want)
		}
	}
}

func TestKeysOfNamesWithSlashes(t *testing.T) {
	for _, names := range [][]string{{"a", "b"}, {"a/b", "c"}, {"a", "b/c"}, {"a%2Fb", "c%"}, {"%25", "/"}} {
		key := factKey(kindAdmin, names...)
		if got, ok := splitKey(key, 2); !ok || !reflect.DeepEqual(got, names) {
			t.Errorf("splitKey(%q) = %q, %v, want %q", key, got, ok, names)
		}
	}
	for _, k := range []moveKey{{"users", "a"}, {"u/s%", "a/b%2F"}, {"users", "/"}} {
		if got, ok := parseMoveKey(k.factKey()); !ok || got != k {
			t.Errorf("parseMoveKey(%q) = %+v, %v, want %+v", k.factKey(), got, ok, k)
		}
	}
}

// Facts from the future are passed over and counted; the others of the message
// are taken, and the operator hears of it once.
func TestFactsFromTheFuture(t *testing.T) {
	c := newOne(t, "lb1")
	good := &fact{key: "later/1", time: wall(start.Add(maxAhead)) - 1, writer: "lb2"}
	msg := encode(
		&fact{key: "later/2", time: wall(start.Add(maxAhead)), writer: "lb2"},
		&fact{key: "later/3", writer: "lb2"}, good,
		&fact{key: "later/4", time: 1<<64 - 1, writer: "lb2"})
	for range 2 {
		if n, err := c.Merge(start, "lb2", msg); n != 4 || err != nil {
			t.Fatalf("Merge = %d, %v, want 4 entries", n, err)
		}
	}
	if got := c.Counters(); got != (Counters{Facts: 1, Ahead: 6}) {
		t.Errorf("Counters = %+v, want 1 fact, 6 ahead", got)
	}
	if got := c.Events(0); len(got) != 1 || !strings.HasPrefix(got[0].What, "clocks differ") {
		t.Errorf("events %v, want one of the clocks", got)
	}
	if err := c.OrderKick(start, "admin", Kick{User: "u"}); err != nil {
		t.Fatal(err)
	}
	for _, f := range c.facts.byKey {
		if f.writer == "lb1" && f.time <= good.time {
			t.Errorf("time %d of an own fact, want it behind the one heard of, %d", f.time, good.time)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	ok := &fact{key: "later/1", value: "v", time: wall(start), writer: "lb2"}
	long := func(change func(*fact)) []byte {
		f := *ok
		change(&f)
		return encode(ok, &f)
	}
	for name, b := range map[string][]byte{
		"cut short":        encode(ok)[:8],
		"version":          append([]byte{2}, encode(ok)[1:]...),
		"no version":       encode(ok)[1:],
		"garbage":          []byte("\x01garbage"),
		"long key":         long(func(f *fact) { f.key = strings.Repeat("k", MaxKey+1) }),
		"no key":           long(func(f *fact) { f.key = "" }),
		"long value":       long(func(f *fact) { f.value = strings.Repeat("v", MaxValue+1) }),
		"no writer":        long(func(f *fact) { f.writer = "" }),
		"long writer":      long(func(f *fact) { f.writer = strings.Repeat("w", MaxName+1) }),
		"expires before":   long(func(f *fact) { f.expires = -1 }),
		"promised array":   {1, 0xdd, 0xff, 0xff, 0xff, 0xff},
		"promised string":  {1, 0x95, 0xdb, 0xff, 0xff, 0xff, 0xff},
		"nil for a number": {1, 0x95, 0xa1, 'k', 0xa1, 'v', 0xc0, 0xa1, 'w', 0},
		"too long":         make([]byte, MaxMessage+1),
	} {
		c := newOne(t, "lb1")
		if _, err := c.Merge(start, "lb2", b); !errors.Is(err, ErrMessage) || c.Counters().Facts > 0 {
			t.Errorf("%s: Merge = %v, %d facts, want %v and none", name, err, c.Counters().Facts, ErrMessage)
		}
	}
	c := newOne(t, "lb1")
	if n, err := c.Merge(start, "lb2", nil); n != 0 || err != nil {
		t.Errorf("Merge of nothing = %d, %v", n, err)
	}
	later := append(append([]byte{1, 0x98}, encode(ok)[2:]...), 7, 0xa1, 'x', 0x91, 0x90)
	if n, err := c.Merge(start, "lb2", later); n != 1 || err != nil {
		t.Errorf("Merge with fields of a later version = %d, %v, want 1", n, err)
	}
}

// A peer holds MaxFacts at most: more are an error where they are made, and
// dropped and counted when merged, but for what comes in the place of an ended
// move or of what has expired.
func TestFactsAreBounded(t *testing.T) {
	c := newOne(t, "lb1")
	fill := func(from, to int) {
		var b []*fact
		for i := from; i < to; i++ {
			b = append(b, &fact{key: fmt.Sprint("later/", i), time: wall(start), writer: "lb2"})
			if len(b) == 1000 || i == to-1 {
				if _, err := c.Merge(start, "lb2", encode(b...)); err != nil {
					t.Fatal(err)
				}
				b = nil
			}
		}
	}
	fill(0, MaxFacts-2)
	done := move{id: "lb2-1", phase: phaseDone, server: "s2", deadline: start.UnixMilli()}
	f := &fact{key: "move/users/u", value: done.encode(), time: wall(start), writer: "lb2"}
	gone := &fact{key: "gone/lb2-1/lb3", time: wall(start), writer: "lb3"}
	if _, err := c.Merge(start, "lb2", encode(f, gone)); err != nil {
		t.Fatal(err)
	}
	if err := c.OrderAdmin(start, "admin", "mail", "s1", "drain"); err != nil {
		t.Fatalf("OrderAdmin in the place of an ended move = %v", err)
	}
	fill(MaxFacts, MaxFacts+5)
	if got := c.Counters(); got != (Counters{Facts: MaxFacts, Dropped: 6}) {
		t.Errorf("Counters = %+v, want %d facts, 6 dropped", got, MaxFacts)
	}
	if err := c.OrderAdmin(start, "admin", "mail", "s2", "drain"); !errors.Is(err, ErrFull) {
		t.Errorf("OrderAdmin = %v, want %v", err, ErrFull)
	}
	if err := c.OrderAdmin(start, "admin", "mail", "s1", "ready"); err != nil {
		t.Errorf("OrderAdmin for a server that has one = %v", err)
	}
	c.Vote(start, "mail", "s1", false)
	if v := c.Votes("mail", "s1"); v.Up || !v.Told {
		t.Errorf("Votes = %+v, want the own vote to count without room", v)
	}
}

// Expired facts go, and give room without waiting for it.
func TestExpiredFactsGo(t *testing.T) {
	c := newOne(t, "lb1")
	if err := c.OrderKick(start, "admin", Kick{User: "u"}); err != nil {
		t.Fatal(err)
	}
	c.Tick(start.Add(OrderLife - time.Millisecond))
	if n := c.Counters().Facts; n != 1 {
		t.Fatalf("%d facts before the time, want 1", n)
	}
	c.Tick(start.Add(OrderLife + sweepEvery))
	if n := c.Counters().Facts; n != 0 || c.Digests(nil)[0] != 0 {
		t.Errorf("%d facts, want none, and digests of nothing", n)
	}
}
