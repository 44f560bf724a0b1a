package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/imap"
)

// maxPassword is the longest password of a test user, in bytes.
const maxPassword = 1024

// ParsePassword is the password in a file: its first line.
func ParsePassword(file []byte) ([]byte, error) {
	line, rest, _ := bytes.Cut(file, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return nil, errors.New("health: no password in the first line")
	case len(line) > maxPassword:
		return nil, fmt.Errorf("health: the password has more than %d bytes", maxPassword)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("health: more than one line")
	case bytes.IndexByte(line, 0) >= 0:
		return nil, errors.New("health: the password has a zero byte")
	}
	return bytes.Clone(line), nil
}

// mail is a visit that speaks IMAP.
type mail struct {
	*visit
	caps    imap.Capability
	hasCaps bool
	preauth bool
	secrets [][]byte // must not come back in what is told
}

// greeting reads the greeting and does STARTTLS where logins do.
func (m *mail) greeting(ctx context.Context) error {
	m.layer = "L7"
	r, err := m.response()
	switch {
	case err != nil:
		return err
	case string(r.Tag) != "*" || r.Status == imap.StatusNone:
		return &fault{"L7RSP", "no greeting"}
	case r.Status == imap.StatusBYE:
		return m.refused("greeting", r)
	}
	m.preauth = r.Status == imap.StatusPREAUTH
	if imap.IsCode(r.Code, "CAPABILITY") {
		m.learn(r.CodeArgs)
	}
	if !m.target.StartTLS {
		return nil
	}
	if r, err = m.command("S", "STARTTLS"); err != nil {
		return err
	}
	switch {
	case r.Status != imap.StatusOK:
		return m.refused("STARTTLS", r)
	case m.r.Buffered() > 0: // whoever put this in can speak for the server
		return &fault{"L6RSP", "bytes behind the answer to STARTTLS"}
	}
	if err := m.handshake(ctx); err != nil {
		return err
	}
	m.layer, m.caps, m.hasCaps = "L7", imap.Capability{}, false
	return nil
}

// capable asks for the capabilities, unless they are known, and logs out.
func (m *mail) capable() (Seen, error) {
	if !m.hasCaps {
		r, err := m.command("C", "CAPABILITY")
		if err != nil {
			return Seen{}, err
		}
		if r.Status != imap.StatusOK {
			return Seen{}, m.refused("CAPABILITY", r)
		}
	}
	m.logout()
	return m.seen(""), nil
}

// login logs in as the test user, selects INBOX and logs out.
func (m *mail) login(user string, password []byte) (Seen, error) {
	begun := time.Now()
	switch {
	case m.preauth:
		return Seen{}, &fault{"L7RSP", "the greeting is PREAUTH"}
	case !m.hasCaps:
		if _, err := m.command("C", "CAPABILITY"); err != nil {
			return Seen{}, err
		}
	}
	before := m.seen("")
	var r imap.Response
	var err error
	if m.caps.Has("AUTH=PLAIN") {
		r, err = m.authenticate(user, password)
	} else {
		line := imap.AppendQuoted([]byte("LOGIN "), []byte(user))
		line = imap.AppendQuoted(append(line, ' '), password)
		if !imap.CanQuote(password) || !imap.CanQuote([]byte(user)) || m.caps.Has("LOGINDISABLED") {
			return Seen{}, &fault{"L7RSP", "no way to log in: the server does not offer AUTH=PLAIN"}
		}
		r, err = m.command("L", string(line))
	}
	if err != nil {
		return Seen{}, err
	}
	if r.Status != imap.StatusOK {
		return Seen{}, m.refused("login", r)
	}
	took := time.Since(begun)
	if r, err = m.command("B", "SELECT INBOX"); err != nil {
		return Seen{}, err
	}
	if r.Status != imap.StatusOK {
		return Seen{}, m.refused("SELECT", r)
	}
	m.logout()
	before.Desc = fmt.Sprintf("login took %d ms", took.Milliseconds())
	return before, nil
}

// authenticate does AUTHENTICATE PLAIN, which takes any password.
func (m *mail) authenticate(user string, password []byte) (imap.Response, error) {
	plain := string(auth.AppendPlain(nil, user, password))
	m.secrets = append(m.secrets, []byte(plain))
	if m.caps.Has("SASL-IR") {
		return m.command("L", "AUTHENTICATE PLAIN "+plain)
	}
	return m.command("L", "AUTHENTICATE PLAIN", plain)
}

// logout leaves politely: a server would log a client that just goes. What
// comes of it says nothing of its health.
func (m *mail) logout() {
	if _, err := m.command("Z", "LOGOUT"); err == nil {
		m.left = true
	}
}

func (m *mail) seen(desc string) Seen {
	return Seen{Check: "L7OK", Desc: desc, Caps: string(m.caps.Append(nil))}
}

func (m *mail) learn(list []byte) { m.caps, m.hasCaps = imap.ParseCapability(list), true }

// command sends a command and reads up to its answer; more has what is sent
// when the server says "+".
func (m *mail) command(tag, command string, more ...string) (imap.Response, error) {
	if _, err := m.conn.Write([]byte(tag + " " + command + "\r\n")); err != nil {
		return imap.Response{}, m.failed(err)
	}
	for {
		r, err := m.response()
		switch {
		case err != nil:
			return r, err
		case string(r.Tag) == tag:
			return r, nil
		case string(r.Tag) == "+" && len(more) > 0:
			if _, err := m.conn.Write([]byte(more[0] + "\r\n")); err != nil {
				return r, m.failed(err)
			}
			more = more[1:]
		case string(r.Tag) != "*":
			return r, &fault{"L7RSP", "answer to nothing"}
		case imap.IsCode(r.Name, "CAPABILITY"):
			m.learn(r.Text)
		case r.Status == imap.StatusBYE && tag != "Z":
			return r, m.refused(strings.Fields(command)[0], r)
		}
	}
}

// response reads a line. It is valid until the next call.
func (m *mail) response() (imap.Response, error) {
	line, err := m.r.ReadSlice('\n')
	if err != nil {
		return imap.Response{}, m.failed(err)
	}
	r, err := imap.ParseResponse(bytes.TrimRight(line, "\r\n"))
	if err != nil {
		return r, &fault{"L7RSP", "unreadable answer"}
	}
	return r, nil
}

// refused is a server that says that it does not want to, in its own words
// unless they repeat the password.
func (m *mail) refused(what string, r imap.Response) error {
	text := imap.AppendText(nil, r.Text)
	if slices.ContainsFunc(m.secrets, func(s []byte) bool { return bytes.Contains(text, s) }) {
		text = nil
	}
	words := slices.DeleteFunc([]string{what + ":", r.Status.String(), string(r.Code), string(text)}, func(s string) bool { return s == "" })
	return &fault{"L7STS", firstLine(strings.Join(words, " "))}
}

// maxDesc is the longest description of a result, in bytes.
const maxDesc = 200

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), maxDesc)]
}
