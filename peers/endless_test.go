package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// proven is a stream with the peer p that has shown its key, and the other's end.
func proven(t *testing.T) (m *meeting, other *tls.Conn) {
	t.Helper()
	client, server := handshake(t)
	_, _ = client.SetDeadline(time.Time{}), server.SetDeadline(time.Time{})
	proof := mustProof(t, server, "x")
	them := &shown{proof: mustProof(t, client, "x"), self: intro{"p", "2"}, other: intro{"self", "1"}, dialed: true}
	m = &meeting{server.NetConn(), server, &shown{proof: proof, self: intro{"self", "1"}, other: intro{"p", "2"}}}
	if err := m.take(them.mine()); err != nil || !m.holds() {
		t.Fatal(err)
	}
	return m, client
}

// A peer that takes the connection and then reads nothing costs a few messages
// and one batch, and its connection ends.
func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := known(t, StateAlive)
		m, other := proven(t)
		talked := make(chan struct{})
		go func() { // it talks, until the stream ends
			defer close(talked)
			hello := NewLink(LinkConfig{Self: "p", Incarnation: 7}, NewRemote("self")).Next(time.Now(), nil)
			for _, err := other.Write(hello); err == nil; _, err = other.Write(appendNumbers(nil, typeEcho, 1)) {
				time.Sleep(echoEvery)
			}
		}()
		began, ended := time.Now(), make(chan error, 1)
		go func() { ended <- g.serve(p, m) }() // until the stream ends
		synctest.Wait()
		sent := 0
		for range 2 * MaxPending {
			if err := g.Message("t", make([]byte, MaxMessage), "p"); err == nil {
				sent++
			} else if !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
		}
		if sent != MaxPending {
			t.Errorf("%d messages were taken, want %d", sent, MaxPending)
		}
		err := <-ended
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "writing") || took != writeWithin {
			t.Errorf("it ends after %v with %v, want %v", took, err, writeWithin)
		}
		if len(*g.live.Load()) != 0 || p.stream != nil {
			t.Error("the stream is still there")
		}
		<-talked
	})
}

// A peer of which nothing comes any more, while all that is sent to it vanishes, is
// given up soon: the way was cut where nobody says so, and it may be a member all
// the same.
func TestPeerThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := known(t, StateAlive)
		m, other := proven(t)
		them := NewLink(LinkConfig{Self: "p", Incarnation: 7}, NewRemote("self"))
		go io.Copy(io.Discard, other) //nolint:errcheck // until the stream ends
		ended := make(chan error, 1)
		go func() { ended <- g.serve(p, m) }() // until the stream ends
		if _, err := other.Write(them.Next(time.Now(), nil)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := <-ended
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != 5*time.Second {
			t.Errorf("it ends after %v with %v, want a deadline after 5 s", took, err)
		}
		if k := kinds(g); p.state != StateAlive || !strings.HasSuffix(k, "down ") {
			t.Errorf("it is %s, events %q, want the connection lost alone", p.state, k)
		}
	})
}

// Connections that are lost again and again leave no goroutine and no connection
// behind.
func TestReconnectsLeaveNothing(t *testing.T) {
	a := start(t, testConfig("a"))
	b := start(t, testConfig("b", a))
	mesh(t, 1, a, b)
	count := func(n *node) int {
		n.net.mu.Lock()
		defer n.net.mu.Unlock()
		return len(n.net.conns)
	}
	before, conns := runtime.NumGoroutine(), count(a)+count(b)
	for i := range 30 {
		for _, s := range *a.live.Load() {
			s.raw.Close()
			s.peer.dialAgain()
		}
		mesh(t, i+2, a, b)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for runtime.NumGoroutine() > before+2 || count(a)+count(b) > conns+2 { // memberlist may just be talking
		if ctx.Err() != nil {
			t.Fatalf("%d goroutines, %d before; %d connections, %d before", runtime.NumGoroutine(), before, count(a)+count(b), conns)
		}
		runtime.Gosched()
	}
}
