package relay

import (
	"testing"
	"time"
)

// raw joins a client and a server whose stream is no IMAP.
func raw(t *testing.T, limits Timeouts) *joined {
	t.Helper()
	r := newRoom(t, limits, security{})
	r.waiting.Raw = true
	return r.join(t)
}

// One side may go on when the other has ended, and an end by both is in order.
func TestRawEnds(t *testing.T) {
	for _, first := range []string{"client", "server"} {
		j := raw(t, Timeouts{})
		a, b := j.client, j.server
		if first == "server" {
			a, b = b, a
		}
		send(t, a, "* BYE\r\n") // means nothing here
		if err := tcp(a).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := rest(t, b); got != "* BYE\r\n" {
			t.Errorf("%s first: the other got %q", first, got)
		}
		send(t, b, "still here")
		_ = b.Close()
		if got := rest(t, a); got != "still here" {
			t.Errorf("%s first: it got %q", first, got)
		}
		j.endsOnce(t, Closed)
	}
}

// No BYE is put into the stream, whatever ends it.
func TestRawIsNotTold(t *testing.T) {
	for _, why := range []Reason{Killed, ServerDown, Moved, Stopping} {
		j := raw(t, Timeouts{})
		j.do(func() { j.Kill(why) })
		if got := rest(t, j.client); got != "" {
			t.Errorf("%v: the client got %q", why, got)
		}
		j.endsOnce(t, why)
	}
}

// A silent side ends it, also when the other has ended before.
func TestRawTimeout(t *testing.T) {
	j := raw(t, Timeouts{Client: time.Hour, Server: 50 * time.Millisecond})
	if got := rest(t, j.client); got != "" {
		t.Errorf("the client got %q", got)
	}
	j.endsOnce(t, ServerTimeout)
}
