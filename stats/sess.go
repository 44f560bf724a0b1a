package stats

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The commands on sessions.

const sessHelp = `Usage: show sess [<id> | all | help] [<filter>]*
  <id>                    the session with that id, in full
  all                     every session in full
  backend <backend>       only sessions of that backend
  frontend <frontend>     only sessions of that frontend
  server <backend/server> only sessions of that server
  older <age>             only sessions at least that old (seconds without unit)`

// sessFilter is which sessions are shown; empty fields let all pass.
type sessFilter struct {
	id                        uint64 // 0 is all
	full                      bool
	frontend, backend, server string
	older                     time.Duration
}

func showSess(c *client, args []string) message {
	if len(args) > 0 && args[0] == "help" {
		return informed(sessHelp)
	}
	f, bad := c.sessFilter(args)
	if bad != "" {
		return failed(bad)
	}
	now := c.srv.now()
	found := false
	c.node.Sessions(func(s Session) bool {
		if !f.keep(&s, now) {
			return true
		}
		found = true
		if f.full {
			c.row = appendSessionFull(c.row, &s, now)
		} else {
			c.row = appendSession(c.row, &s, now)
		}
		return c.flushRow() && f.id == 0
	})
	if f.id != 0 && !found {
		return failed("Session not found.")
	}
	return message{}
}

// sessFilter reads the words of "show sess". bad is the text of the error.
func (c *client) sessFilter(args []string) (f sessFilter, bad string) {
	if len(args) > 0 && args[0] == "all" {
		f.full = true
		args = args[1:]
	} else if len(args) > 0 && strings.HasPrefix(args[0], "0x") {
		id, ok := sessionID(args[0])
		if !ok {
			return f, "Session not found."
		}
		f.id, f.full = id, true
		args = args[1:]
	}
	for ; len(args) > 0; args = args[2:] {
		if !slices.Contains([]string{"backend", "frontend", "server", "older"}, args[0]) {
			return f, fmt.Sprintf("Unsupported option '%s', try 'help'.", args[0])
		}
		if len(args) < 2 {
			return f, fmt.Sprintf("Missing argument of '%s', try 'help'.", args[0])
		}
		if bad := c.addFilter(&f, args[0], args[1:]); bad != "" {
			return f, bad
		}
	}
	return f, ""
}

func (c *client) addFilter(f *sessFilter, name string, args []string) (bad string) {
	switch name {
	case "backend":
		f.backend = args[0]
	case "frontend":
		f.frontend = args[0]
	case "server":
		t, bad := c.target(args)
		if bad != "" {
			return bad
		}
		f.backend, f.server = t.backend.Name, t.row.Name
	case "older":
		var ok bool
		if f.older, ok = parseDelay(args[0], time.Second); !ok {
			return "Invalid age."
		}
	}
	return ""
}

func (f *sessFilter) keep(s *Session, now time.Time) bool {
	return (f.id == 0 || f.id == s.ID) &&
		(f.frontend == "" || f.frontend == s.Frontend) &&
		(f.backend == "" || f.backend == s.Backend) &&
		(f.server == "" || f.server == s.Server) &&
		now.Sub(s.Start) >= f.older
}

// sessionID reads the id of a session as "show sess" prints it.
func sessionID(word string) (uint64, bool) {
	id, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(word, "0x"), ":"), 16, 64)
	return id, err == nil && strings.HasPrefix(word, "0x")
}

// appendSession appends HAProxy's line of a session, with what it does not
// have behind it: state, user, TLS version and bytes.
func appendSession(dst []byte, s *Session, now time.Time) []byte {
	exp := age(s.Expires)
	dst = fmt.Appendf(dst, "0x%x: proto=%s src=%s fe=%s be=%s srv=%s ts=00 epoch=0 age=%s calls=0 rate=0 cpu=0 lat=0"+
		" rq[f=0h,i=0,an=00h,ax=] rp[f=0h,i=0,an=00h,ax=] scf=[8,0h,fd=%d,rex=%s,wex=] scb=[8,0h,fd=%d,rex=%s,wex=]"+
		" exp=%s rc=0 c_exp= state=%s user=", s.ID, s.Proto, s.Src, s.Frontend, orWord(s.Backend, "<NONE>"),
		orWord(s.Server, "<none>"), age(now.Sub(s.Start)), s.FDClient, exp, s.FDServer, exp, exp, s.State)
	dst = appendEscaped(dst, orDash(s.User))
	return fmt.Appendf(dst, " tls=%s in=%d out=%d", orDash(s.TLS), s.BytesIn, s.BytesOut)
}

// appendSessionFull appends a session in several lines, the first as HAProxy's.
func appendSessionFull(dst []byte, s *Session, now time.Time) []byte {
	dst = fmt.Appendf(dst, "0x%x: [%s] id=%d proto=%s source=%s\n", s.ID, s.Start.Format("02/Jan/2006:15:04:05.000000"), s.ID, s.Proto, s.Src)
	dst = append(dst, "  state="...)
	dst = append(dst, s.State...)
	dst = append(dst, " user="...)
	dst = appendEscaped(dst, orDash(s.User))
	dst = fmt.Appendf(dst, " tls=%s\n", orDash(s.TLS))
	dst = fmt.Appendf(dst, "  frontend=%s backend=%s server=%s\n", s.Frontend, orWord(s.Backend, "<NONE>"), orWord(s.Server, "<NONE>"))
	dst = fmt.Appendf(dst, "  age=%s idle=%s exp=%s\n", age(now.Sub(s.Start)), age(s.Idle), age(s.Expires))
	return fmt.Appendf(dst, "  client fd=%d bytes=%d server fd=%d bytes=%d", s.FDClient, s.BytesIn, s.FDServer, s.BytesOut)
}

// orWord is s, or instead if it is empty.
func orWord(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// age is a duration as HAProxy prints one: its two greatest units.
func age(d time.Duration) string {
	sec := int64(max(d, 0) / time.Second)
	units := []struct {
		letter byte
		length int64
	}{{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}}
	for i, u := range units {
		n, rest := sec/u.length, sec%u.length
		if n == 0 && u.length > 1 {
			continue
		}
		s := fmt.Sprintf("%d%c", n, u.letter)
		if u.length > 1 && rest/units[i+1].length > 0 {
			s += fmt.Sprintf("%d%c", rest/units[i+1].length, units[i+1].letter)
		}
		return s
	}
	return "" // not reached: seconds always match
}

func shutdownSession(c *client, args []string) message {
	if len(args) == 0 {
		return failed(needPointer)
	}
	id, ok := sessionID(args[0])
	if !ok {
		return failed(needPointer)
	}
	if !c.node.Shutdown(id) {
		return failed("No such session (use 'show sess').")
	}
	return message{}
}

const needPointer = "Session pointer expected (use 'show sess')."

func shutdownServer(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	_, err := c.node.ShutdownServer(t.backend.Name, t.row.Name)
	return outcome(err)
}
