package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"testing"
)

// keyed starts a node with these keys; the first encrypts.
func keyed(t *testing.T, cfg Config, keys ...[]byte) *node {
	t.Helper()
	cfg.KeyFile = keyFile(t, keys...)
	return start(t, cfg)
}

// When a key is removed those streams end that were proven with it alone: not
// that of a peer which has another key of ours, whichever encrypts there.
func TestRemovedKeyEndsStreams(t *testing.T) {
	a := keyed(t, testConfig("a"), key(2), key(1))
	b := keyed(t, testConfig("b", a), key(1), key(2)) // encrypts with the one that goes
	c := keyed(t, testConfig("c", a), key(1))
	a.sees(t, PeerUp, "b", 1)
	// a proves with the key that c has not: c dials nobody, so c is made to.
	p := &peer{name: "a", remote: NewRemote("a")}
	if err := c.connect(p, a.self.address); !errors.Is(err, errWrongKey) {
		t.Fatalf("c meets a: %v, want the wrong key, as a encrypts with another", err)
	}
	if err := a.Keys().Use(fingerprint(key(1))); err != nil {
		t.Fatal(err)
	}
	a.sees(t, PeerUp, "c", 1)
	if err := a.Keys().Use(fingerprint(key(2))); err != nil {
		t.Fatal(err)
	}
	if err := a.Keys().Remove(fingerprint(key(1))); err != nil {
		t.Fatal(err)
	}
	a.sees(t, PeerDown, "c", 1)
	a.until(t, "the reason", func() bool {
		for _, e := range a.events {
			if e.Kind == PeerDown && e.Peer == "c" && e.Detail == errOldKey.Error() {
				return true
			}
		}
		return false
	})
	a.m.Set("x", 1)
	b.holds(t, "x", 1)
	if n := a.count(PeerDown, "b") + b.count(PeerDown, "a"); n != 0 {
		t.Errorf("the stream with b, which has the key that is left, was lost %d times", n)
	}
	if c.m.Get("x") != 0 {
		t.Error("c was told of a change without a key")
	}
}

// The keys come to the two ends in any order: what was shown before the other
// could know it counts when it does.
func TestKeysAreShownInAnyOrder(t *testing.T) {
	for _, first := range []int{0, 1} {
		client, server := handshake(t)
		ends := [2]*shown{}
		for i := range ends {
			conn, self, other := client, intro{"a", "1"}, intro{"b", "2"}
			if i == 1 {
				conn, self, other = server, other, self
			}
			ends[i] = &shown{proof: mustProof(t, conn, "x", key(1)), self: self, other: other, dialed: i == 0}
		}
		show := func(from int) {
			t.Helper()
			if err := ends[1-from].take(ends[from].mine()); err != nil {
				t.Fatal(err)
			}
		}
		change := func(at int, f func(r *Ring) error) {
			t.Helper()
			if err := f(ends[at].proof.ring); err != nil {
				t.Fatal(err)
			}
			show(at)
		}
		show(0)
		show(1)
		for _, step := range []func(r *Ring) error{
			func(r *Ring) error { _, err := r.Add(base64.StdEncoding.EncodeToString(key(2))); return err },
			func(r *Ring) error { return r.Use(fingerprint(key(2))) },
			func(r *Ring) error { return r.Remove(fingerprint(key(1))) },
		} {
			for _, at := range []int{first, 1 - first} {
				change(at, step)
				if !ends[0].holds() || !ends[1].holds() {
					t.Fatal("the ends hold no common key in the middle of a change")
				}
			}
		}
		// What one shows is no proof of the other's, so it cannot be sent back.
		if err := ends[0].take(ends[0].mine()); err != nil || ends[0].holds() {
			t.Errorf("its own proof is taken for the other's (%v)", err)
		}
	}
}

// Messages that wait do not keep the keys from being shown, only for a while.
func TestKeysAreShownThoughMessagesWait(t *testing.T) {
	g, p := known(t, StateAlive)
	s := stub(t, g, p)
	client, _ := handshake(t)
	s.met = &shown{proof: mustProof(t, client, "x", key(1), key(2)), self: intro{"self", "1"}, other: intro{"p", "2"}, dialed: true}
	for s.link.Message("other", nil) == nil {
	}
	s.showKeys()
	s.sayKeys()
	if got := s.link.messages; len(got) != MaxPending || got[MaxPending-1].topic != "other" {
		t.Fatalf("%d messages wait, the last on %q", len(got), got[len(got)-1].topic)
	}
	s.link.messages = s.link.messages[1:] // one was sent
	s.sayKeys()
	s.sayKeys()
	if got := s.link.messages; len(got) != MaxPending || got[MaxPending-1].topic != topicKeys || len(got[MaxPending-1].blob) != 2*sha256.Size || got[MaxPending-2].topic == topicKeys {
		t.Errorf("the keys were not said, or twice: %d messages, %d bytes at the end", len(got), len(got[len(got)-1].blob))
	}
}

func FuzzProofs(f *testing.F) {
	for _, n := range []int{0, 1, sha256.Size, 2*sha256.Size + 1, MaxKeys * sha256.Size, (MaxKeys + 1) * sha256.Size} {
		f.Add(make([]byte, n))
	}
	ring, err := NewRing([][]byte{key(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &shown{proof: &proof{ring: ring, cluster: "x"}, macs: [][]byte{{1}}}
		err := s.take(bytes.Clone(b))
		fits := len(b) > 0 && len(b)%sha256.Size == 0 && len(b) <= MaxKeys*sha256.Size
		if (err == nil) != fits || len(s.macs) > MaxKeys || s.holds() {
			t.Errorf("%d bytes: %v, %d proofs, holds %t", len(b), err, len(s.macs), s.holds())
		}
	})
}
