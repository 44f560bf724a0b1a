package sticktable

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"
)

// What goes to peers of other versions keeps its bytes.
func TestBlobsStay(t *testing.T) {
	tb := New("users", Config{Size: 10, Expire: time.Hour}, "lb1")
	tb.Replicate(start)
	pos := tb.Head()
	mustAssign(t, tb, start, "alice", "s1")
	tb.Enter(start, "alice", "s1")
	mustAssign(t, tb, start, strings.Repeat("k", 300), strings.Repeat("s", 40))
	gone := mustAssign(t, tb, start, "gone", "s2")
	tb.Withdraw("gone", gone.Stamp)
	tb.Void(start, "lb9")
	u := Update{Key: "alice", Server: "s1", Time: wall(start), Writer: "lb2", LastUsed: start.UnixMilli(), Slots: []Slot{{"lb3", 70000, wall(start)}}}
	if _, err := tb.MergeUpdate(start, u); err != nil {
		t.Fatal(err)
	}
	pulled, _, _ := tb.Pull(nil, pos, 1000)
	part, _ := tb.Part(nil, int(shardOf(keyHash("alice"))), math.MaxUint16, 0, 1000)
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"Pull": {pulled, "950194a27331a36c6231d92873737373737373737373737373737373737373737373737373737373737373737373737373737373a36c6239929201cf018bcfe5680000009203cf018bcfe5680000059296a5616c69636500cf018bcfe56800000101cf0000018bcfe5680091930101cf018bcfe56800000296da012c" + strings.Repeat("6b", 300) +
			"02cf018bcfe56800000301cf0000018bcfe56800909193a4676f6e65cf018bcfe56800000401"},
		"Part": {part, "950194a36c6231a36c6239a27331a36c6233929200cf018bcfe5680000009201cf018bcfe5680000059196a5616c69636502cf018bcfe56800000100cf0000018bcfe5680092930001cf018bcfe5680000029303ce00011170cf018bcfe56800000090"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", name, got, c.want)
		}
	}
}
