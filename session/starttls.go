package session

import (
	"time"

	"imaplb/imap"
)

// cmdStartTLS: RFC 9051 section 6.2.1. Bytes behind the command in the same
// read are not protected, but would be taken for commands under TLS: whoever
// sent them is not the client (CVE-2011-0411).
func (s *Session) cmdStartTLS(_ time.Time, c imap.Command, early bool) state {
	switch {
	case s.tls:
		return s.badCommand(c.Tag, "TLS is already active.")
	case !s.offersTLS():
		return s.badCommand(c.Tag, "TLS is not available.")
	case early:
		s.say(imap.Reply{Tag: c.Tag, Status: imap.StatusBAD, Text: "Nothing may follow STARTTLS before TLS."})
		return s.end(EarlyBytes)
	}
	s.ok(c.Tag, "Begin TLS negotiation now.")
	s.fx.StartTLS()
	return stateHandshake
}
