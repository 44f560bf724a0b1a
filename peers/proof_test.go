package peers

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// handshake joins two TLS configurations over memory.
func handshake(t *testing.T) (client, server *tls.Conn) {
	t.Helper()
	cfg, err := newTLS(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	for _, c := range []net.Conn{a, b} {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	client, server = tls.Client(a, cfg), tls.Server(b, cfg)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }() // until the handshake has ended
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func mustProof(t *testing.T, conn *tls.Conn, cluster string, keys ...[]byte) *proof {
	t.Helper()
	ring, err := NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	p, err := newProof(conn, ring, cluster)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func anybody(intro) error { return nil }

func TestProof(t *testing.T) {
	clash := func(intro) error { return errClash }
	for _, test := range []struct {
		name         string
		dial, accept [][]byte
		cluster      string
		wanted       string
		admit        func(intro) error
		want         error // of the dialer
	}{
		{"one key", [][]byte{key(1)}, [][]byte{key(1)}, "x", "b", anybody, nil},
		{"no key", nil, nil, "x", "b", anybody, nil},
		{"rings that overlap", [][]byte{key(1), key(2)}, [][]byte{key(2), key(1)}, "x", "b", anybody, nil},
		{"another key", [][]byte{key(1)}, [][]byte{key(2)}, "x", "b", anybody, errWrongKey},
		{"the dialer has none", nil, [][]byte{key(2)}, "x", "b", anybody, errWrongKey},
		{"the acceptor has none", [][]byte{key(1)}, nil, "x", "b", anybody, errWrongKey},
		{"the acceptor uses a new one", [][]byte{key(1)}, [][]byte{key(2), key(1)}, "x", "b", anybody, errWrongKey},
		{"another cluster", [][]byte{key(1)}, [][]byte{key(1)}, "y", "b", anybody, errWrongKey},
		{"another name", [][]byte{key(1)}, [][]byte{key(1)}, "x", "c", anybody, errWrongName},
		{"a clash", [][]byte{key(1)}, [][]byte{key(1)}, "x", "b", clash, errClash},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := handshake(t)
			dialer, acceptor := mustProof(t, client, "x", test.dial...), mustProof(t, server, test.cluster, test.accept...)
			met := make(chan intro, 1)
			go func() { // until the dialer has its answer
				who, _, _ := acceptor.receive(server, intro{"b", "addr b"}, test.admit)
				met <- who
			}()
			other, _, err := dialer.introduce(client, intro{"a", "addr a"}, test.wanted)
			if !errors.Is(err, test.want) || test.want == nil && (err != nil || other != intro{"b", "addr b"}) {
				t.Errorf("introduce = %+v, %v, want %v", other, err, test.want)
			}
			if who := <-met; test.want == nil && who != (intro{"a", "addr a"}) {
				t.Errorf("receive = %+v", who)
			}
		})
	}
}

// TestProofIsBoundToItsConnection: one who sits in between and passes on what
// both say does not get through.
func TestProofIsBoundToItsConnection(t *testing.T) {
	client, left := handshake(t)
	right, server := handshake(t)
	for _, way := range [][2]*tls.Conn{{left, right}, {right, left}} {
		go func() { _, _ = io.Copy(way[0], way[1]) }() // until its connection ends
	}
	refused := make(chan error, 1)
	acceptor := mustProof(t, server, "x", key(1))
	go func() { // until the dialer has its answer
		_, _, err := acceptor.receive(server, intro{"b", ""}, anybody)
		refused <- err
	}()
	_, _, err := mustProof(t, client, "x", key(1)).introduce(client, intro{"a", ""}, "b")
	if err := errors.Join(err, <-refused); !errors.Is(err, errWrongKey) {
		t.Errorf("with somebody in between: %v, want %v", err, errWrongKey)
	}
}

func TestIntroductionsAreBounded(t *testing.T) {
	for _, in := range []string{"\xff\xff", "\x00\x05\x94\xa1", "\x00\x03\x94\xa0\xa0", "", "\x08\x01" + strings.Repeat("x", 3000)} {
		if r, err := readIntro(strings.NewReader(in)); err == nil {
			r.Array(4)
			if r.Bytes(MaxName); r.Err() == nil {
				t.Errorf("%q was taken for an introduction", in)
			}
		}
	}
}
