package session

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/imap"
)

// tlsHandshake is the first byte of a TLS ClientHello. RFC 8446 section 5.1.
const tlsHandshake = 0x16

// command is what may be said before login. early says that bytes stood behind
// it in the same read.
type command struct {
	run      func(s *Session, now time.Time, c imap.Command, early bool) state
	literals bool // its arguments may be literals
}

// commands by name: RFC 9051 sections 6.1 and 6.2, RFC 2971 section 3.1; ENABLE
// because some clients send it too early, as Dovecot allows.
var commands = map[string]command{
	"CAPABILITY":   {(*Session).cmdCapability, false},
	"NOOP":         {(*Session).cmdNoop, false},
	"LOGOUT":       {(*Session).cmdLogout, false},
	"ID":           {(*Session).cmdID, true},
	"ENABLE":       {(*Session).cmdEnable, false},
	"STARTTLS":     {(*Session).cmdStartTLS, false},
	"LOGIN":        {(*Session).cmdLogin, true},
	"AUTHENTICATE": {(*Session).cmdAuthenticate, false},
}

// lookup finds a command by its name in any case, without an allocation.
func lookup(name []byte) (cmd command, known bool) {
	var upper [len("AUTHENTICATE")]byte
	if len(name) > len(upper) {
		return command{}, false
	}
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	cmd, known = commands[string(upper[:len(name)])]
	return cmd, known
}

// command reads one command, literals included.
func (s *Session) command(now time.Time, in []byte) (used int, next state) {
	if in[0] == tlsHandshake {
		return 0, s.end(Protocol)
	}
	for {
		n, lit, err := s.scan.Next(in, s.limit())
		if err != nil && !s.wide && s.beginsToken(in) {
			s.wide = true
			n, lit, err = s.scan.Next(in, s.limit())
		}
		switch {
		case err != nil:
			s.say(imap.Reply{Tag: echo(imap.ParseCommand(in)), Status: imap.StatusBAD, Text: "Command too long."})
			return 0, s.end(LineTooLong)
		case n == 0:
			return 0, stateCommand
		case !lit.Found:
			return n, s.execute(now, imap.ParseCommand(in[:n]), len(in) > n)
		}
		if r := s.refusal(imap.ParseCommand(in[:n]), n, lit); r.Text != "" {
			return n, s.refuseLiteral(r, lit)
		}
		if lit.Sync {
			s.fx.ToClient([]byte("+ OK\r\n"))
		}
		s.scan.Accept(n, lit)
	}
}

// execute runs a complete command.
func (s *Session) execute(now time.Time, c imap.Command, early bool) state {
	s.scan, s.wide = imap.Scanner{}, false
	cmd, known := lookup(c.Name)
	if !known {
		return s.badCommand(echo(c), "Unknown command.")
	}
	return cmd.run(s, now, c, early)
}

// beginsToken reports whether a long line may be one that holds a token.
func (s *Session) beginsToken(in []byte) bool {
	c := imap.ParseCommand(in)
	if !bytes.EqualFold(c.Name, []byte("AUTHENTICATE")) || !s.allowsLogin() {
		return false
	}
	name, _, _ := bytes.Cut(c.Args, []byte(" "))
	mech, ok := auth.ParseMechanism(name)
	return ok && mech.OAuth()
}

// echo is the tag to answer an unknown command with: none, that is "*", if it
// is not surely IMAP. Somebody may have talked a browser into speaking to us,
// and wants to read his own bytes in the answer.
func echo(c imap.Command) []byte {
	if len(c.Name) == 0 || bytes.ContainsFunc(c.Name, notInCode) || bytes.ContainsFunc(c.Tag, notInTag) {
		return nil
	}
	return c.Tag
}

func notInTag(r rune) bool { return notInCode(r) && r != '.' && r != '_' }

// badCommand answers what makes no sense and counts it. RFC 9051 section 7.1.3.
func (s *Session) badCommand(tag []byte, text string) state {
	return s.sayBad(imap.Reply{Tag: tag, Status: imap.StatusBAD, Text: text})
}

func (s *Session) sayBad(r imap.Reply) state {
	s.say(r)
	s.bad++
	if s.bad >= maxBad {
		return s.end(BadCommands)
	}
	return stateCommand
}

func (s *Session) ok(tag []byte, text string) state {
	s.say(imap.Reply{Tag: tag, Status: imap.StatusOK, Text: text})
	return stateCommand
}

// withData sends an untagged line and the OK behind it in one piece.
func (s *Session) withData(tag []byte, data, text string) state {
	p := append(make([]byte, 0, 512), data...)
	p = append(p, "\r\n"...)
	s.fx.ToClient(imap.AppendReply(p, imap.Reply{Tag: tag, Status: imap.StatusOK, Text: text}))
	return stateCommand
}

// cmdCapability: RFC 9051 section 6.1.1.
func (s *Session) cmdCapability(_ time.Time, c imap.Command, _ bool) state {
	s.asked = true
	return s.withData(c.Tag, "* "+s.capability(), "CAPABILITY completed.")
}

// cmdNoop: RFC 9051 section 6.1.2.
func (s *Session) cmdNoop(_ time.Time, c imap.Command, _ bool) state {
	return s.ok(c.Tag, "NOOP completed.")
}

// cmdLogout: RFC 9051 section 6.1.3.
func (s *Session) cmdLogout(_ time.Time, c imap.Command, _ bool) state {
	s.withData(c.Tag, "* BYE Logging out", "Logout completed.")
	return s.end(LoggedOut)
}

// cmdEnable: RFC 5161 section 3.1 allows it only after login.
func (s *Session) cmdEnable(_ time.Time, c imap.Command, _ bool) state {
	if len(c.Args) == 0 {
		return s.badCommand(c.Tag, "ENABLE needs an argument.")
	}
	return s.withData(c.Tag, "* ENABLED", "ENABLE ignored before login.")
}

// cmdID: RFC 2971 section 3.1. The client's own x-… keys are dropped, because
// servers trust ours; but of a proxy in front of us x-proxy-ttl is heard, so
// that a login cannot go round for ever.
func (s *Session) cmdID(_ time.Time, c imap.Command, _ bool) state {
	pairs, err := imap.ParseID(c.Args)
	if err != nil {
		return s.badCommand(c.Tag, "Invalid ID parameters.")
	}
	s.id = pairs[:0]
	for _, p := range pairs {
		if len(p.Key) < 2 || (p.Key[0] != 'x' && p.Key[0] != 'X') || p.Key[1] != '-' {
			s.id = append(s.id, p)
		} else if strings.EqualFold(p.Key, "x-proxy-ttl") {
			s.ttl = proxyTTL(p.Value)
		}
	}
	return s.withData(c.Tag, `* ID ("name" "imaplb")`, "ID completed.")
}

// proxyTTL reads how many proxies a login may still pass, at least 1, which is
// as good as none: the one that hears it is the last.
func proxyTTL(s string) int8 {
	n, err := strconv.ParseInt(s, 10, 8)
	if err != nil || n < 1 {
		return 1
	}
	return int8(n)
}
