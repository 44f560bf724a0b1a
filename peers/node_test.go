package peers

import (
	"bytes"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

// A node is a Group under test.
type node struct {
	*Group
	m    *mapState
	logs *lockedBuffer

	mu       sync.Mutex // guards the fields below
	happened *sync.Cond // of mu: events or messages has grown
	events   []Event
	messages []string
}

// lockedBuffer is a bytes.Buffer for any goroutine.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var incarnations struct {
	sync.Mutex
	last uint64
}

// testConfig is that of a node on a free port.
func testConfig(name string, join ...*node) Config {
	cfg := DefaultConfig()
	cfg.Name, cfg.Bind = name, "127.0.0.1:0"
	for _, n := range join {
		cfg.Join = append(cfg.Join, n.self.address)
	}
	return cfg
}

func newNode(t testing.TB, cfg Config, known ...Known) (*node, error) {
	t.Helper()
	incarnations.Lock()
	incarnations.last++
	incarnation := incarnations.last
	incarnations.Unlock()
	n := &node{m: newMap("map"), logs: &lockedBuffer{}}
	n.happened = sync.NewCond(&n.mu)
	g, err := New(cfg, []State{n.m}, Options{
		Log: slog.New(slog.NewTextHandler(n.logs, nil)), Incarnation: incarnation, Known: known,
		OnPeer: func(e Event) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.events = append(n.events, e)
			n.happened.Broadcast()
		},
		OnMessage: func(from, topic string, b []byte) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.messages = append(n.messages, fmt.Sprintf("%s %s %s", from, topic, b))
			n.happened.Broadcast()
		},
	})
	if err != nil {
		return nil, err
	}
	n.Group = g
	return n, nil
}

// start brings up a node that is closed with the test.
func start(t testing.TB, cfg Config, known ...Known) *node {
	t.Helper()
	n, err := newNode(t, cfg, known...)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Close()
		if t.Failed() {
			t.Logf("log of %s:\n%s", cfg.Name, n.logs)
		}
	})
	return n
}

// until waits for a condition on the node's events and messages.
func (n *node) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	expired := false
	timer := time.AfterFunc(patience, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		expired = true
		n.happened.Broadcast()
	})
	defer timer.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	for !ok() {
		if expired {
			t.Fatalf("%s: %s did not happen; events %+v", n.cfg.Name, what, n.events)
		}
		n.happened.Wait()
	}
}

// sees waits until the node has had so many events of a kind about a peer.
func (n *node) sees(t testing.TB, kind, peer string, times int) {
	t.Helper()
	n.until(t, fmt.Sprintf("%s %s, %d times", kind, peer, times), func() bool {
		return n.countLocked(kind, peer) >= times
	})
}

func (n *node) countLocked(kind, peer string) (count int) {
	for _, e := range n.events {
		if e.Kind == kind && e.Peer == peer {
			count++
		}
	}
	return count
}

func (n *node) count(kind, peer string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.countLocked(kind, peer)
}

// holds waits until the node's map has a value.
func (n *node) holds(t testing.TB, key string, v uint64) {
	t.Helper()
	arrived := make(chan struct{}, 1)
	n.m.mu.Lock()
	n.m.merged = func(k string) {
		if k == key {
			select {
			case arrived <- struct{}{}:
			default:
			}
		}
	}
	n.m.mu.Unlock()
	for n.m.Get(key) != v {
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatalf("%s: %s is %d, want %d", n.cfg.Name, key, n.m.Get(key), v)
		}
	}
}

// linkTo is the link of the stream with a peer.
func (n *node) linkTo(peer string) *Link {
	n.Group.mu.Lock()
	defer n.Group.mu.Unlock()
	return n.peers[peer].stream.link
}

// trio starts three nodes that are all connected.
func trio(t testing.TB) (a, b, c *node) {
	t.Helper()
	a = start(t, testConfig("a"))
	b = start(t, testConfig("b", a))
	c = start(t, testConfig("c", a))
	mesh(t, 1, a, b, c)
	return a, b, c
}

// mesh waits until each has seen each other come up so many times.
func mesh(t testing.TB, times int, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		for _, other := range nodes {
			if n != other {
				n.sees(t, PeerUp, other.cfg.Name, times)
			}
		}
	}
}
