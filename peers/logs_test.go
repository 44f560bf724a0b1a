package peers

import (
	"fmt"
	"log"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSaidIsBounded(t *testing.T) {
	s := said{most: maxSaid}
	now := time.Unix(1_700_000_000, 0)
	if !s.new(now, "x") || s.new(now.Add(sayAgain-1), "x") || !s.new(now.Add(sayAgain), "x") {
		t.Error("a line is said once a minute")
	}
	for i := range 2 * maxSaid {
		s.new(now.Add(sayAgain), fmt.Sprint(i))
	}
	if len(s.last) != maxSaid {
		t.Errorf("%d lines remembered, want %d", len(s.last), maxSaid)
	}
	if !s.new(now.Add(2*sayAgain), "y") {
		t.Error("old lines make no room")
	}
}

// TestWrongKeysSilenceNobody: addresses can be made up, what peers do is told.
func TestWrongKeysSilenceNobody(t *testing.T) {
	g := idle(t)
	for i := range 2 * maxSaid {
		g.refused(errWrongKey, "", fmt.Sprintf("10.0.%d.%d:7", i/256, i%256))
	}
	if n := len(g.events); n != maxStrangers || g.Totals().WrongKey != 2*maxSaid {
		t.Errorf("%d events of %d wrong keys, want %d", n, g.Totals().WrongKey, maxStrangers)
	}
	g.sawClash("p", "10.1.0.1:7")
	g.refused(errWrongKey, "p", "10.1.0.2:7") // by the one we dialed
	if n := len(g.events); n != maxStrangers+2 {
		t.Errorf("%d events, want %d: that of a clash is missing", n, maxStrangers+2)
	}
}

func TestChatter(t *testing.T) {
	var out lockedBuffer
	var wrong []string
	c := &chatter{log: slog.New(slog.NewTextHandler(&out, nil)), wrongKey: func(addr string) { wrong = append(wrong, addr) }}
	l := log.New(c, "", 0)
	l.Print("[DEBUG] memberlist: nothing")
	l.Print("[WARN] memberlist: something")
	l.Print("[ERR] memberlist: failed to receive: no installed keys could decrypt the message from=10.0.0.1:7")
	l.Print(`[ERR] memberlist: discarding stream with unacceptable label "": from=10.0.0.2:7`)
	for range 2 * maxChat {
		l.Print("[INFO] memberlist: again")
	}
	text := out.String()
	if strings.Contains(text, "nothing") || !strings.Contains(text, `level=WARN msg="memberlist: something"`) || !slices.Equal(wrong, []string{"10.0.0.1:7", "10.0.0.2:7"}) {
		t.Errorf("wrong keys %q, log:\n%s", wrong, text)
	}
	if n := strings.Count(text, "\n"); n != maxChat {
		t.Errorf("%d lines, want %d", n, maxChat)
	}
}
