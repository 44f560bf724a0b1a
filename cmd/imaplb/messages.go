package main

import "time"

// Topics of the messages between peers that are no part of a state: best
// effort, lost with the connection.
const (
	topicPenalties = "penalties"
	topicClaims    = "claims" // on the limits of servers
)

// complainEvery is how often a peer's bad messages are logged; all are counted.
const complainEvery = time.Minute

// peerMessage takes a message of a peer. It is called by the reader of that
// peer's stream. A topic of a later version is passed over.
func (n *node) peerMessage(from, topic string, b []byte) {
	now := time.Now()
	switch topic {
	case topicPenalties:
		n.heardMessage(now, from, topic, n.engine.HearPenalties(now, b))
	case topicClaims:
		n.claims.receive(from, b) // and is looked at by their goroutine
	}
}

// heardMessage counts and logs a message that was not understood.
func (n *node) heardMessage(now time.Time, from, topic string, err error) {
	if err == nil {
		return
	}
	n.mesh.badMessages.Add(1)
	last := n.mesh.complained.Load()
	if now.UnixNano()-last >= complainEvery.Nanoseconds() && n.mesh.complained.CompareAndSwap(last, now.UnixNano()) {
		n.log.Warn("a peer's message was dropped", "peer", from, "topic", topic, "err", err)
	}
}
