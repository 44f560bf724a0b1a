package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"imaplb/frontend"
	"imaplb/loop"
)

// What makes no sense is counted, each time, and logged, not each time; a topic
// of a later version is neither.
func TestBadMessages(t *testing.T) {
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	e, err := frontend.New(log, frontend.Loops{Threads: 1, Poller: loop.Epoll, Socket: new(loop.SocketConfig)}, "lb", frontend.Limits{MaxHandshakes: 1})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	defer e.Stop()
	n := &node{log: log, engine: e, mesh: new(mesh)}
	n.peerMessage("lb2", "of a later version", []byte("anything"))
	for range 3 {
		n.peerMessage("lb2", topicPenalties, []byte("nonsense"))
	}
	if got := n.mesh.badMessages.Load(); got != 3 {
		t.Errorf("%d messages counted, want 3", got)
	}
	if lines := strings.Count(said.String(), "a peer's message was dropped"); lines != 1 {
		t.Errorf("logged %d times: %s", lines, &said)
	}
}
