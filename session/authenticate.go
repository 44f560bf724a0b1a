package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"time"

	"imaplb/auth"
	"imaplb/imap"
)

// cmdAuthenticate: RFC 9051 section 6.2.2.
func (s *Session) cmdAuthenticate(now time.Time, c imap.Command, _ bool) state {
	if !s.allowsLogin() {
		s.say(privacyRequired(c.Tag))
		return stateCommand
	}
	name, initial, hasInitial := bytes.Cut(bytes.TrimRight(c.Args, " "), []byte(" "))
	if len(name) == 0 {
		return s.badCommand(c.Tag, "AUTHENTICATE needs a mechanism.")
	}
	mech, ok := auth.ParseMechanism(name)
	if !ok {
		s.say(imap.Reply{Tag: c.Tag, Status: imap.StatusNO, Text: "Unsupported authentication mechanism."})
		return stateCommand
	}
	s.tag, s.sasl = string(c.Tag), auth.NewExchange(mech)
	switch {
	case !hasInitial:
		s.challenge(s.sasl.Challenge())
		return stateSASL
	case len(initial) == 1 && initial[0] == '=':
		initial = nil // the empty initial response
	}
	return s.saslMessage(now, initial)
}

// saslLine reads a message of the client, or "*", with which it gives up.
func (s *Session) saslLine(now time.Time, in []byte) (used int, next state) {
	n, _, err := s.scan.Next(in, s.limit())
	switch {
	case err != nil:
		s.say(imap.Reply{Tag: []byte(s.tag), Status: imap.StatusBAD, Text: "Authentication message too long."})
		return 0, s.end(LineTooLong)
	case n == 0:
		return 0, stateSASL
	}
	s.scan = imap.Scanner{}
	line := bytes.TrimRight(in[:n], "\r\n")
	if len(line) == 1 && line[0] == '*' {
		return n, s.badSASL("Authentication aborted by client.")
	}
	return n, s.saslMessage(now, line)
}

// saslMessage takes one message in base64 and asks for the next, if there is one.
func (s *Session) saslMessage(now time.Time, line []byte) state {
	msg := make([]byte, base64.StdEncoding.DecodedLen(len(line)))
	n, err := base64.StdEncoding.Strict().Decode(msg, line)
	defer clear(msg)
	if err != nil {
		return s.badSASL("Invalid base64 data.")
	}
	cred, done, err := s.sasl.Next(msg[:n])
	switch {
	case errors.Is(err, auth.ErrSyntax):
		return s.badSASL("Invalid authentication message.")
	case errors.Is(err, auth.ErrForeign):
		return s.failLogin(now, Failure{Kind: NotAuthorized})
	case err != nil:
		return s.failLogin(now, Failure{Kind: AuthFailed})
	case done:
		return s.login(now, cred)
	}
	s.challenge(s.sasl.Challenge())
	return stateSASL
}

// badSASL ends the exchange.
func (s *Session) badSASL(text string) state {
	tag := []byte(s.tag)
	s.tag, s.sasl = "", auth.Exchange{}
	return s.badCommand(tag, text)
}

// dummyLine reads the answer to the OAuth error, whatever it is.
func (s *Session) dummyLine(_ time.Time, in []byte) (used int, next state) {
	n, _, err := s.scan.Next(in, s.limit())
	switch {
	case err != nil:
		return 0, s.end(LineTooLong)
	case n == 0:
		return 0, stateDummy
	}
	return n, s.sendAnswer()
}
