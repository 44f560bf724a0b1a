package main

import "time"

// tellPenaltiesEvery is how often peers hear of wrong passwords at most: what
// fails within it goes in one message.
const tellPenaltiesEvery = 100 * time.Millisecond

// keepPenalties tells the peers whose level of wrong passwords rises, until stop
// is closed.
func (n *node) keepPenalties(stop, done chan struct{}) {
	defer close(done)
	if n.mesh == nil {
		return
	}
	wake := n.engine.SharePenalties()
	var b []byte
	for {
		select {
		case <-stop:
			return
		case <-wake:
		}
		b = n.engine.TellPenalties(time.Now(), b[:0])
		if g := n.mesh.group.Load(); g != nil && len(b) > 0 {
			_ = g.Message(topicPenalties, b, "") // a peer that is behind hears of the source's next failure
		}
		select {
		case <-stop:
			return
		case <-time.After(tellPenaltiesEvery):
		}
	}
}
