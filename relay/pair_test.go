package relay

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// securities are all ways to reach the two sides.
var securities = []security{{}, {client: true}, {server: true}, {client: true, server: true}}

// eachSecurity runs f in a room of each kind.
func eachSecurity(t *testing.T, f func(t *testing.T, sec security)) {
	t.Helper()
	for _, sec := range securities {
		t.Run(fmt.Sprintf("TLS %+v", sec), func(t *testing.T) {
			t.Parallel()
			f(t, sec)
		})
	}
}

// flow sends n bytes in pieces of random size and then the end, and returns
// their hash.
func flow(c net.Conn, seed uint64, n int) ([32]byte, error) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	noise := rand.NewChaCha8([32]byte{byte(seed)})
	h, buf := sha256.New(), make([]byte, 100<<10)
	for n > 0 {
		piece := buf[:min(n, 1+rnd.IntN(1+rnd.IntN(len(buf))))]
		_, _ = noise.Read(piece) // never fails
		h.Write(piece)
		if _, err := c.Write(piece); err != nil {
			return [32]byte{}, err
		}
		n -= len(piece)
	}
	return [32]byte(h.Sum(nil)), c.(interface{ CloseWrite() error }).CloseWrite()
}

// drink reads all in pieces of random size, now and then slowly, and returns
// its hash and length.
func drink(c net.Conn, seed uint64) ([32]byte, int, error) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	h, buf, n := sha256.New(), make([]byte, 64<<10), 0
	for {
		// A slow reader is one that takes little at a time.
		k, err := c.Read(buf[:1+rnd.IntN(1+rnd.IntN(len(buf)))])
		h.Write(buf[:k])
		n += k
		if errors.Is(err, io.EOF) {
			return [32]byte(h.Sum(nil)), n, nil
		}
		if err != nil {
			return [32]byte{}, n, err
		}
	}
}

// TestBytesBothWays at once, whole and in order, however slowly they are read.
func TestBytesBothWays(t *testing.T) {
	t.Parallel()
	eachSecurity(t, func(t *testing.T, sec security) {
		j := newRoom(t, Timeouts{}, sec).join(t)
		const up, down = 3 << 20, 5 << 20
		type half struct {
			hash [32]byte
			n    int
			err  error
		}
		var halves [4]chan half
		for i := range halves {
			halves[i] = make(chan half, 1)
		}
		go func() { h, err := flow(j.client, 1, up); halves[0] <- half{h, up, err} }()
		go func() { h, n, err := drink(j.server, 3); halves[1] <- half{h, n, err} }()
		go func() { h, err := flow(j.server, 2, down); halves[2] <- half{h, down, err} }()
		go func() { h, n, err := drink(j.client, 4); halves[3] <- half{h, n, err} }()
		for i := 0; i < len(halves); i += 2 {
			sent, got := wait(t, halves[i], "the sender"), wait(t, halves[i+1], "the reader")
			if sent.err != nil || got.err != nil || sent.hash != got.hash {
				// The server's end may bring a BYE, which is noise to this test.
				if i == 0 || got.n != sent.n+len(byeServerLost) {
					t.Errorf("sent %d bytes, %v; got %d, %v", sent.n, sent.err, got.n, got.err)
				}
			}
		}
		why := wait(t, j.ended, "PairEnded")
		if why != ClientClosed && why != ServerClosed {
			t.Errorf("ended with %q", why)
		}
		if u, d := j.Bytes(); u != up || d != down {
			t.Errorf("Bytes() = %d, %d; want %d, %d", u, d, up, down)
		}
		j.over(t)
	})
}

// TestWaitingGoesFirst both ways, and is counted.
func TestWaitingGoesFirst(t *testing.T) {
	t.Parallel()
	eachSecurity(t, func(t *testing.T, sec security) {
		r := newRoom(t, Timeouts{}, sec)
		r.waiting = Waiting{ToClient: []byte("a OK in\r\n"), ToServer: []byte("b NOOP\r\n")}
		j := r.join(t)
		send(t, j.client, "c NOOP\r\n")
		send(t, j.server, "b OK\r\n")
		expect(t, j.server, "b NOOP\r\nc NOOP\r\n")
		expect(t, j.client, "a OK in\r\nb OK\r\n")
		if up, down := j.Bytes(); up != 16 || down != 15 {
			t.Errorf("Bytes() = %d, %d; want 16, 15", up, down)
		}
		if last, expires := lastOf(j); expires != last+hours.Client.Milliseconds() || time.Since(time.UnixMilli(last)) > time.Minute {
			t.Errorf("Last() = %d, %d", last, expires)
		}
	})
}

func lastOf(j *joined) (last, expires int64) {
	j.do(func() { last, expires = j.Last() })
	return last, expires
}

// TestWaitingMoreThanTheKernelTakes holds the sources back from the start.
func TestWaitingMoreThanTheKernelTakes(t *testing.T) {
	t.Parallel()
	r := newRoom(t, Timeouts{}, security{})
	r.waiting = Waiting{ToClient: []byte(strings.Repeat("a", 16<<20)), ToServer: []byte(strings.Repeat("b", 16<<20))}
	j := r.join(t)
	send(t, j.client, "c NOOP\r\n")
	send(t, j.server, "* OK\r\n")
	expect(t, j.server, string(r.waiting.ToServer)+"c NOOP\r\n")
	expect(t, j.client, string(r.waiting.ToClient)+"* OK\r\n")
}

// TestEndsOfPairs is what each way to end looks like.
func TestEndsOfPairs(t *testing.T) {
	t.Parallel()
	const inLiteral = "* 1 FETCH (BODY[] {100}\r\nFrom: x\r\n"
	closes := func(c net.Conn) { _ = c.Close() }
	for _, tc := range []struct {
		name   string
		server string // what the server says first
		by     func(j *joined)
		want   Reason
		bye    string // what the client reads behind it
	}{
		{"server closes between lines", "* OK\r\n", func(j *joined) { closes(j.server) }, ServerClosed, byeServerLost},
		{"server closes before a line", "", func(j *joined) { closes(j.server) }, ServerClosed, byeServerLost},
		{"server closes in a line", "* OK", func(j *joined) { closes(j.server) }, ServerClosed, ""},
		{"server closes in a literal", inLiteral, func(j *joined) { closes(j.server) }, ServerClosed, ""},
		{"server says BYE", "* BYE bye\r\na1 OK\r\n", func(j *joined) { closes(j.server) }, Normal, ""},
		{"server says BYE, client leaves first", "* BYE bye\r\na1 OK\r\n", func(j *joined) {
			closes(j.client)
			_, _ = io.Copy(io.Discard, j.server)
			closes(j.server)
		}, Normal, "-"},
		{"client leaves", "* OK\r\n", func(j *joined) {
			closes(j.client)
			_, _ = io.Copy(io.Discard, j.server)
			closes(j.server)
		}, ClientClosed, "-"},
		{"client resets", "* OK\r\n", func(j *joined) { reset(j.client) }, ClientAborted, "-"},
		{"server resets between lines", "* OK\r\n", func(j *joined) { reset(j.server) }, ServerAborted, byeServerLost},
		{"server resets in a literal", inLiteral, func(j *joined) { reset(j.server) }, ServerAborted, ""},
		{"killed", "* OK\r\n", func(j *joined) { j.do(func() { j.Kill(Killed) }) }, Killed, Killed.bye()},
		{"killed twice", "* OK\r\n", func(j *joined) { j.do(func() { j.Kill(Moved); j.Kill(Killed) }) }, Moved, Moved.bye()},
		{"server down", "", func(j *joined) { j.do(func() { j.Kill(ServerDown) }) }, ServerDown, ServerDown.bye()},
		{"stopping in a literal", inLiteral, func(j *joined) { j.do(func() { j.Kill(Stopping) }) }, Stopping, ""},
		{"killed behind BYE", "* BYE bye\r\n", func(j *joined) { j.do(func() { j.Kill(Killed) }) }, Killed, ""},
		{"killed behind the client's end", "* OK\r\n", func(j *joined) {
			_ = j.client.(interface{ CloseWrite() error }).CloseWrite()
			_, _ = io.Copy(io.Discard, j.server)
			j.do(func() { j.Kill(Killed) })
		}, Killed, Killed.bye()},
	} {
		for _, sec := range []security{{}, {client: true, server: true}} {
			t.Run(fmt.Sprintf("%s TLS %v", tc.name, sec.client), func(t *testing.T) {
				t.Parallel()
				j := newRoom(t, Timeouts{}, sec).join(t)
				send(t, j.client, "a1 NOOP\r\n")
				expect(t, j.server, "a1 NOOP\r\n")
				send(t, j.server, tc.server)
				expect(t, j.client, tc.server)
				tc.by(j)
				if tc.bye != "-" {
					if got := rest(t, j.client); got != tc.bye {
						t.Errorf("client reads %q, want %q", got, tc.bye)
					}
					_ = j.client.Close()
				}
				_, _ = io.Copy(io.Discard, j.server) // ends, in whatever way
				if up, down := j.Bytes(); up != 9 || down != int64(len(tc.server)) {
					t.Errorf("Bytes() = %d, %d; want 9, %d: a BYE of ours is not the server's", up, down, len(tc.server))
				}
				j.endsOnce(t, tc.want)
			})
		}
	}
}

// TestReasonsAreComplete: a word and a state for each, and a BYE that is a
// line.
func TestReasonsAreComplete(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := range numReasons {
		if r.String() == "" || seen[r.String()] || len(r.Termination()) != 2 {
			t.Errorf("reason %d is %q, %q", r, r, r.Termination())
		}
		seen[r.String()] = true
		if b := r.bye(); b != "" && (!strings.HasPrefix(b, "* BYE [UNAVAILABLE] ") || strings.Index(b, "\r\n") != len(b)-2) {
			t.Errorf("%s says %q", r, b)
		}
	}
}

func TestSilenceEnds(t *testing.T) {
	t.Parallel()
	short := 300 * time.Millisecond
	for _, tc := range []struct {
		limits Timeouts
		want   Reason
	}{
		{Timeouts{Client: short, Server: time.Hour}, ClientTimeout},
		{Timeouts{Client: time.Hour, Server: short}, ServerTimeout},
	} {
		t.Run(tc.want.String(), func(t *testing.T) {
			t.Parallel()
			j := newRoom(t, tc.limits, security{}).join(t)
			begin := time.Now()
			for n := 0; time.Since(begin) < 3*short; n++ { // traffic keeps it alive
				send(t, j.client, "x")
				expect(t, j.server, "x")
			}
			silent := time.Now()
			if got := rest(t, j.client); got != tc.want.bye() {
				t.Errorf("client reads %q, want %q", got, tc.want.bye())
			}
			// Coarse is a tick late at most, and so may be the last byte's time.
			if d := time.Since(silent); d < short-100*time.Millisecond {
				t.Errorf("ended %v after the last byte, want %v", d, short)
			}
			j.endsOnce(t, tc.want)
		})
	}
}

func TestSetTimeouts(t *testing.T) {
	t.Parallel()
	j := newRoom(t, Timeouts{}, security{}).join(t)
	j.do(func() { j.SetTimeouts(&Timeouts{Client: 100 * time.Millisecond, Server: time.Hour}) })
	if got := rest(t, j.client); got != ClientTimeout.bye() {
		t.Errorf("client reads %q, want %q", got, ClientTimeout.bye())
	}
	j.endsOnce(t, ClientTimeout)
	j.do(func() { j.SetTimeouts(&hours) }) // a reload may be late
}

// TestSlowClientTimesOut: a client that does not read is silent too, though
// the server would go on.
func TestSlowClientTimesOut(t *testing.T) {
	t.Parallel()
	j := newRoom(t, Timeouts{Client: 500 * time.Millisecond, Server: time.Hour}, security{}).join(t)
	_, _ = j.server.Write(make([]byte, 64<<20)) // until it is cut off
	if why := wait(t, j.ended, "PairEnded"); why != ClientTimeout {
		t.Errorf("ended with %q, want %q", why, ClientTimeout)
	}
	j.over(t)
}

// TestServerGone: a client that stays when the server has gone is not waited
// for as long as an idle one is.
func TestServerGone(t *testing.T) {
	t.Parallel()
	j := newRoom(t, Timeouts{}, security{}).join(t)
	_ = j.server.Close()
	if got := rest(t, j.client); got != byeServerLost {
		t.Errorf("client reads %q, want %q", got, byeServerLost)
	}
	if why := wait(t, j.ended, "PairEnded"); why != ServerClosed {
		t.Errorf("ended with %q, want %q", why, ServerClosed)
	}
	j.over(t)
}

// TestHalfClose: a client that has said its last still hears the answer.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	j := newRoom(t, Timeouts{}, security{}).join(t)
	send(t, j.client, "a FETCH\r\n")
	_ = tcp(j.client).CloseWrite()
	if got := rest(t, j.server); got != "a FETCH\r\n" {
		t.Errorf("server reads %q", got)
	}
	send(t, j.server, "a OK\r\n")
	_ = j.server.Close()
	if got := rest(t, j.client); got != "a OK\r\n" {
		t.Errorf("client reads %q", got)
	}
	j.endsOnce(t, ClientClosed)
	j.over(t)
}

// TestMemoryIsBounded: a client that does not read stops the server, and the
// pair keeps no more than one read's worth.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const all = 64 << 20
	for _, sec := range []security{{}, {client: true}, {client: true, server: true}} {
		t.Run(fmt.Sprintf("TLS %+v", sec), func(t *testing.T) {
			t.Parallel()
			j := newRoom(t, Timeouts{}, sec).join(t)
			var sent atomic.Int64
			done := make(chan error, 1)
			go func() {
				for b := make([]byte, 64<<10); sent.Load() < all; {
					n, err := j.server.Write(b)
					if sent.Add(int64(n)); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			eventually(t, "the server is held", func() (held bool) {
				j.do(func() { held = j.Server().Paused() })
				return held
			})
			kept := 0
			j.do(func() { kept = j.Pair.client.Pending() })
			const records = 5 * 64 // what five records add to 64 kB
			if kept == 0 || kept > 64<<10+records {
				t.Errorf("keeps %d bytes, want 1 to %d", kept, 64<<10+records)
			}
			// The client reads a little and stops again; then it reads all.
			_, _ = io.CopyN(io.Discard, j.client, 1<<20)
			j.do(func() { kept = j.Pair.client.Pending() })
			if kept > 64<<10+records {
				t.Errorf("keeps %d bytes, want at most %d", kept, 64<<10+records)
			}
			select {
			case err := <-done:
				t.Fatalf("the server could send all %d bytes, %v", sent.Load(), err)
			default:
			}
			n, err := io.CopyN(io.Discard, j.client, all-1<<20)
			if err != nil {
				t.Errorf("after %d bytes: %v", n, err)
			}
			if err := wait(t, done, "the server"); err != nil {
				t.Error(err)
			}
		})
	}
}
