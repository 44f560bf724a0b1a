package peers

import (
	"bytes"
	"fmt"
	"time"

	"imaplb/wire"
)

// A message waits to be sent. Immutable.
type message struct {
	topic string
	blob  []byte
}

// Message has a message sent, best effort: it is lost with the connection. b
// is copied. ErrBusy says that too many wait.
func (l *Link) Message(topic string, b []byte) error {
	if len(topic) > MaxName || len(b) > MaxMessage {
		return fmt.Errorf("peers: message of %d and %d bytes, at most %d and %d", len(topic), len(b), MaxName, MaxMessage)
	}
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if len(l.messages) >= MaxPending {
		return ErrBusy
	}
	l.messages = append(l.messages, message{topic, bytes.Clone(b)})
	return nil
}

// appendMessages: remote.mu is held.
func (l *Link) appendMessages(dst []byte, limit int) []byte {
	n := 0
	for ; n < len(l.messages) && len(dst) < limit; n++ {
		start := len(dst)
		dst = wire.AppendString(openFrame(dst, typeMessage, 2), l.messages[n].topic)
		dst = closeFrame(wire.AppendBin(dst, l.messages[n].blob), start)
		l.remote.counters.MessagesOut++
	}
	l.messages = append(l.messages[:0], l.messages[n:]...)
	clear(l.messages[len(l.messages):cap(l.messages)])
	return dst
}

func (l *Link) takeMessage(_ time.Time, r *wire.Reader) error {
	topic, blob := r.Bytes(MaxName), r.Bytes(MaxMessage)
	if r.Err() != nil {
		return r.Err()
	}
	l.remote.mu.Lock()
	l.remote.counters.MessagesIn++
	l.remote.mu.Unlock()
	if l.cfg.OnMessage != nil {
		l.cfg.OnMessage(string(topic), blob)
	}
	return nil
}

func (l *Link) takeBye(time.Time, *wire.Reader) error {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	l.left = true
	return nil
}
