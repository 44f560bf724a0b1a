package resolver

import (
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// ttlOf is the least TTL of a message's answers, the aliases on the way
// included; false if there is none. A message that is cut off counts as far as
// it goes.
func ttlOf(message []byte) (ttl time.Duration, ok bool) {
	var p dnsmessage.Parser
	if _, err := p.Start(message); err != nil || p.SkipAllQuestions() != nil {
		return 0, false
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			return ttl, ok
		}
		if d := time.Duration(h.TTL) * time.Second; !ok || d < ttl {
			ttl, ok = d, true
		}
	}
}
