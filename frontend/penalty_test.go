package frontend

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"imaplb/sticktable"
)

var client1 = netip.MustParseAddr("192.0.2.1")

// Another wrong password raises the level, up to a bound; the same one does
// not. Each minute takes one off.
func TestPenaltyLevel(t *testing.T) {
	begin := time.Now()
	p := newPenalties(begin)
	for _, c := range []struct {
		at    time.Duration
		guess string
		level int
		fresh bool
	}{
		{0, "a", 1, true},
		{time.Second, "a", 1, false},
		{2 * time.Second, "b", 2, true},
		{3 * time.Second, "c", 3, true},
		{4 * time.Second, "a", 3, false},
		{59 * time.Second, "c", 3, false},
		{60 * time.Second, "c", 2, false}, // a minute after it began
		{119 * time.Second, "d", 3, true},
		{120 * time.Second, "d", 2, false},
		{3 * time.Minute, "e", 2, true},
		{2 * time.Minute, "f", 3, true}, // a loop whose clock was read earlier
		{time.Hour, "a", 0, false},
		{time.Hour, "g", 1, true},
		{time.Hour + 59*time.Second, "g", 1, false}, // no less for the hour before
		{time.Hour + 60*time.Second, "g", 0, false},
	} {
		level, fresh := p.wrong(begin.Add(c.at), client1, "alice", []byte(c.guess))
		if level != c.level || fresh != c.fresh {
			t.Errorf("%q after %s: level %d, fresh %v, want %d, %v", c.guess, c.at, level, fresh, c.level, c.fresh)
		}
	}
	for i := range 2 * maxLevel {
		if level, _ := p.wrong(begin.Add(2*time.Hour), client1, "bob", []byte{byte(i)}); level != min(i+1, maxLevel) {
			t.Errorf("level %d after %d guesses", level, i+1)
		}
	}
}

// Ten wrong logins are known again, and what is repeated stays known.
func TestPenaltyPast(t *testing.T) {
	now := time.Now()
	p := newPenalties(now)
	wrong := func(user, guess string) bool {
		_, fresh := p.wrong(now, client1, user, []byte(guess))
		return fresh
	}
	wrong("alice", "old")
	for i := range 3 * penaltyPast {
		if !wrong("alice", fmt.Sprint(i)) {
			t.Errorf("guess %d is known", i)
		}
		if wrong("alice", "old") {
			t.Errorf("what a mail program says again and again is not known behind guess %d", i)
		}
	}
	for i := range 3 * penaltyPast {
		guess := fmt.Sprint(3*penaltyPast - 1 - i)
		// The latest nine, and "old": the others have left.
		if fresh := wrong("alice", guess); fresh != (i >= penaltyPast-1) {
			t.Errorf("guess %s, the latest but %d: fresh %v", guess, i, fresh)
		}
	}
	if !wrong("alic", "eold") || !wrong("bob", "old") || !wrong("", "") {
		t.Error("another user's is taken for the same")
	}
}

// Sources are IPv4 addresses and IPv6 /64s.
func TestPenaltySources(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		p := newPenalties(now)
		p.wrong(now, netip.MustParseAddr(c.one), "alice", []byte("a"))
		if _, fresh := p.wrong(now, netip.MustParseAddr(c.other), "alice", []byte("a")); fresh == c.same {
			t.Errorf("%s and %s: same = %v", c.one, c.other, !fresh)
		}
	}
}

// However many guess, the memory is that of 4096 sources; the one goes whose
// last failure is the oldest.
func TestPenaltiesAreBounded(t *testing.T) {
	now := time.Now()
	p := newPenalties(now)
	addr := netip.MustParseAddr("10.0.0.0")
	for i := range 10 * penaltySets * penaltyWays {
		addr = addr.Next()
		p.wrong(now.Add(time.Duration(i)), addr, "alice", []byte("a"))
		if _, fresh := p.wrong(now.Add(time.Duration(i)), addr, "alice", []byte("a")); fresh {
			t.Fatalf("%s is not known at once", addr)
		}
	}
	if size := unsafe.Sizeof([penaltyWays]penalized{}); size > 2560 {
		t.Errorf("a set takes %d bytes", size)
	}
	var list [penaltyWays]penalized
	for i := range list {
		addr = addr.Next()
		find(&list, addr).last = time.Duration(100 - i)
	}
	oldest := list[penaltyWays-1].src
	find(&list, client1)
	if list[penaltyWays-1].src != client1 || list[0].src == client1 {
		t.Errorf("%s did not leave for %s: %v", oldest, client1, list)
	}
}

// Loops note at once what fails on each; nothing is counted twice or lost.
func TestPenaltyOfManyLoops(t *testing.T) {
	now := time.Now()
	p := newPenalties(now)
	var fresh atomic.Int64
	var loops sync.WaitGroup
	for range 4 {
		loops.Go(func() {
			for i := range 1000 {
				src := netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 100)})
				if _, is := p.wrong(now, src, "alice", []byte{byte(i / 100 % 5)}); is {
					fresh.Add(1)
				}
			}
		})
	}
	loops.Wait()
	if n := fresh.Load(); n != 500 {
		t.Errorf("%d wrong logins are new, want 500", n)
	}
	for i := range 100 {
		if level, _ := p.wrong(now, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), "alice", []byte{0}); level != 5 {
			t.Errorf("source %d has level %d, want 5", i, level)
		}
	}
}

// Neither user nor password can be found in what is kept, and another process
// keeps something else.
func TestPenaltyKeepsNoPassword(t *testing.T) {
	now := time.Now()
	one, two := newPenalties(now), newPenalties(now)
	if one.hash("alice", []byte(secretWord)) == two.hash("alice", []byte(secretWord)) {
		t.Error("two processes have the same hash")
	}
	one.wrong(now, client1, "alice", []byte(secretWord))
	for i := range one.sets {
		if text := fmt.Sprint(one.sets[i].list); bytes.Contains([]byte(text), []byte(secretWord)) {
			t.Error(text)
		}
	}
}

// guesser is a rig whose server knows no password; it has the counters of
// tracked.
func guesser(t *testing.T, c Config) (*rig, *sticktable.Table) {
	d := newServer(t, "127.0.0.1:0")
	d.onLogin(func(_, pass string) string {
		if pass == secretWord {
			return ""
		}
		return "L NO [AUTHENTICATIONFAILED] no\r\n"
	})
	return tracked(t, plan{addrs: []string{d.addr()}, config: c}, Rule{Action: "deny", When: Conditions{"gpt0 == 1"}})
}

// answered is how long the answer to one wrong password took, of a connection
// of its own.
func (r *rig) answered(guess string) time.Duration {
	r.t.Helper()
	c := r.greeted()
	defer c.Close()
	begin := time.Now()
	c.send("a LOGIN alice " + guess + "\r\n")
	c.want("a NO [AUTHENTICATIONFAILED]")
	return time.Since(begin)
}

// The third guess of a source is answered late, though it be the first of its
// connection; the right password is not, nor is anybody told apart by it. The
// same guess again does not count.
func TestPenalty(t *testing.T) {
	r, table := guesser(t, Config{})
	for _, guess := range []string{"one", "one", "one", "two", "one"} {
		if took := r.answered(guess); took > 1500*time.Millisecond {
			t.Errorf("%q was answered after %s", guess, took)
		}
	}
	if took := r.answered("three"); took < 2*time.Second {
		t.Errorf("the third guess was answered after %s", took)
	}
	if n := of(table)[sticktable.AuthFailCnt]; n != 3 {
		t.Errorf("%d wrong passwords counted, want 3", n)
	}
	begin := time.Now()
	r.greeted().login("alice")
	if took := time.Since(begin); took > 1500*time.Millisecond {
		t.Errorf("the right password was answered after %s", took)
	}
	r.eventually("a line tells the delay", func() bool {
		for _, l := range r.logs.lines(t) {
			if l["msg"] == "login failed" && l["delay"] == "2.000s" {
				return true
			}
		}
		return false
	})
}

// What a peer tells raises the delay; what is counted over a long time does not.
func TestPenaltyOfTheCluster(t *testing.T) {
	r, _ := guesser(t, Config{})
	r.set.Track = sticktable.New("sources", sticktable.Config{
		Key: "src", Size: 100, Expire: time.Hour, Store: []string{"auth_fail_rate(1h)"},
	}, "lb")
	r.fe.Update(r.set)
	if err := r.set.Track.Put(time.Now(), "127.0.0.1", sticktable.AuthFailRate, 100); err != nil {
		t.Fatal(err)
	}
	if took := r.answered("one"); took > 1500*time.Millisecond {
		t.Errorf("the first guess of this minute was answered after %s", took)
	}
	other := &Engine{penalties: newPenalties(time.Now())}
	other.SharePenalties()
	for _, guess := range []string{"one", "two"} {
		other.penalties.wrong(time.Now(), netip.MustParseAddr("127.0.0.1"), "alice", []byte(guess))
	}
	if err := r.e.HearPenalties(time.Now(), other.TellPenalties(time.Now(), nil)); err != nil {
		t.Fatal(err)
	}
	if took := r.answered("three"); took < 2*time.Second {
		t.Errorf("the third guess at all peers was answered after %s", took)
	}
	if took := r.answered("three"); took < 2*time.Second {
		t.Errorf("said again, it was answered after %s", took)
	}
}

// For a trusted network no rule holds and nothing is late, but it is counted.
func TestTrustedNetworks(t *testing.T) {
	r, table := guesser(t, Config{Trusted: []string{"127.0.0.0/8"}})
	if err := table.Put(time.Now(), "127.0.0.1", sticktable.GPT0, 1); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if took := r.answered(fmt.Sprint("guess", i)); took > 1500*time.Millisecond {
			t.Errorf("guess %d was answered after %s", i, took)
		}
	}
	if v := of(table); v[sticktable.AuthFailCnt] != 5 || v[sticktable.ConnCnt] != 5 {
		t.Errorf("counted %v", v)
	}
	r.set.Config.Trusted = []string{"192.0.2.0/24"}
	r.fe.Update(r.set)
	r.dial().want("* BYE [UNAVAILABLE]")
}
