package session

import (
	"bytes"
	"time"

	"imaplb/imap"
)

// refusal is the answer to a command with a literal that is not taken; no Text
// if it is. c is as far as it has come. What will be refused anyway is refused
// before the client sends it.
func (s *Session) refusal(c imap.Command, n int, lit imap.Literal) imap.Reply {
	cmd, known := lookup(c.Name)
	switch {
	case !known:
		return imap.Reply{Tag: echo(c), Status: imap.StatusBAD, Text: "Unknown command."}
	case !cmd.literals:
		return imap.Reply{Tag: c.Tag, Status: imap.StatusBAD, Text: "No literal expected."}
	case bytes.EqualFold(c.Name, []byte("LOGIN")) && !s.allowsLogin():
		return privacyRequired(c.Tag)
	case lit.Size > maxLiteral || n+lit.Size > maxLine:
		return imap.Reply{Tag: c.Tag, Status: imap.StatusBAD, Code: "TOOBIG", Text: "Literal too long."}
	}
	return imap.Reply{}
}

// refuseLiteral ends the command. A client that waits for "+" sends nothing
// more of it; the bytes of the other kind come, and are dropped if they are not
// too many. RFC 7888 sections 3 and 4.
func (s *Session) refuseLiteral(r imap.Reply, lit imap.Literal) state {
	s.scan = imap.Scanner{}
	next := stateCommand
	if r.Status == imap.StatusBAD {
		next = s.sayBad(r)
	} else {
		s.say(r)
	}
	if lit.Sync || next == stateClosed {
		return next
	}
	return s.drop(lit)
}

// drop gets a non-synchronising literal skipped.
func (s *Session) drop(lit imap.Literal) state {
	if lit.Size > maxSkip-int(s.skipped) {
		return s.end(LiteralTooLong)
	}
	s.toSkip = int32(lit.Size)
	s.skipped += s.toSkip
	return stateSkip
}

// skip drops a refused literal and what follows it up to the end of the
// command, which may hold more literals.
func (s *Session) skip(_ time.Time, in []byte) (used int, next state) {
	if s.toSkip > 0 {
		used = min(len(in), int(s.toSkip))
		s.toSkip -= int32(used)
		return used, stateSkip
	}
	n, lit, err := s.scan.Next(in, maxLine)
	switch {
	case err != nil:
		return 0, s.end(LineTooLong)
	case n == 0:
		return 0, stateSkip
	case lit.Found && !lit.Sync:
		s.scan = imap.Scanner{}
		return n, s.drop(lit)
	}
	return n, stateCommand
}
