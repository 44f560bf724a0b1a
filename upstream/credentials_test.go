package upstream

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"imaplb/auth"
)

// strict is a server that takes a login only as its capability allows, and
// tells what it understood.
type strict struct {
	caps   map[string]bool
	user   string
	secret string
	mech   string
	hasID  bool
}

// answer reads everything the proxy has written so far. more is what the proxy
// still waits for, "" if the login is complete.
func (s *strict) answer(in string) (more string, err error) {
	if line, rest, ok := strings.Cut(in, "\r\n"); ok && strings.HasPrefix(line, "I ID (") {
		s.hasID, in = true, rest
	}
	if rest, ok := strings.CutPrefix(in, "L AUTHENTICATE "); ok {
		return s.authenticate(rest)
	}
	rest, ok := strings.CutPrefix(in, "L LOGIN ")
	if !ok {
		return "", fmt.Errorf("no login in %q", in)
	}
	if s.caps["LOGINDISABLED"] {
		return "", fmt.Errorf("LOGIN in spite of LOGINDISABLED")
	}
	user, rest, wait, err := s.text(rest)
	if err != nil || wait {
		return plus(wait), err
	}
	if rest, ok = strings.CutPrefix(rest, " "); !ok {
		return "", fmt.Errorf("no space behind the user name: %q", rest)
	}
	pass, rest, wait, err := s.text(rest)
	if err != nil || wait {
		return plus(wait), err
	}
	if rest != "\r\n" {
		return "", fmt.Errorf("%q behind the password", rest)
	}
	s.mech, s.user, s.secret = "LOGIN", user, pass
	return "", nil
}

func plus(wait bool) string {
	if wait {
		return "+ go on\r\n"
	}
	return ""
}

func (s *strict) authenticate(in string) (more string, err error) {
	line, rest, _ := strings.Cut(in, "\r\n")
	mech, message, initial := strings.Cut(line, " ")
	switch {
	case initial && !s.caps["SASL-IR"]:
		return "", fmt.Errorf("initial response in spite of no SASL-IR")
	case !initial && rest == "":
		return "+ \r\n", nil
	case !initial:
		message = strings.TrimSuffix(rest, "\r\n")
	}
	b, err := base64.StdEncoding.DecodeString(message)
	s.mech, s.secret = mech, string(b)
	if mech == "PLAIN" {
		part := bytes.Split(b, []byte{0})
		if len(part) != 3 || len(part[0]) > 0 {
			return "", fmt.Errorf("PLAIN of %d parts", len(part))
		}
		s.user, s.secret = string(part[1]), string(part[2])
	}
	return "", err
}

// text reads a quoted string or a literal. wait is whether it lacks the bytes
// of a synchronising literal.
func (s *strict) text(in string) (value, rest string, wait bool, err error) {
	if strings.HasPrefix(in, `"`) {
		value, rest, ok := strings.Cut(in[1:], `"`)
		if !ok || strings.ContainsAny(value, "\\\r\n\x00") || strings.ContainsFunc(value, func(r rune) bool { return r >= 0x80 }) {
			return "", "", false, fmt.Errorf("bad quoted string in %q", in)
		}
		return value, rest, false, nil
	}
	head, rest, _ := strings.Cut(in, "\r\n")
	var n int
	if _, err := fmt.Sscanf(head, "{%d", &n); err != nil {
		return "", "", false, fmt.Errorf("no string: %q", in)
	}
	sync := !strings.HasSuffix(head, "+}")
	switch {
	case !sync && !s.caps["LITERAL+"] && (!s.caps["LITERAL-"] || n > 4096):
		return "", "", false, fmt.Errorf("literal %q is not allowed", head)
	case sync && rest == "":
		return "", "", true, nil
	case len(rest) < n:
		return "", "", false, fmt.Errorf("literal %q is followed by %d bytes", head, len(rest))
	}
	return rest[:n], rest[n:], false, nil
}

var capNames = []string{"ID", "SASL-IR", "LITERAL+", "LITERAL-", "LOGINDISABLED"}

// Whatever a server can do and the password is made of, it gets the very
// bytes, in a form that it allows, and is told "+" no more often than needed.
func TestServerGetsTheCredentials(t *testing.T) {
	secrets := []string{"swordfish", "", `"`, `\`, `a"b\c`, "a b", "päss", "\xff\xfe", "{5}", "{5+}", "a\rb\nc", ")", strings.Repeat("x", 1024), strings.Repeat("ß", 2500)}
	users := []string{"alice", "a b", `o"brien`, `dom\alice`, "bücher@example.org"}
	mechs := []auth.Mechanism{auth.MechNone, auth.MechPlain, auth.MechXOAuth2, auth.MechOAuthBearer}
	for set := range 1 << len(capNames) {
		for i := range len(users) * len(secrets) * len(mechs) {
			user, rest := users[i%len(users)], i/len(users)
			secret, mech := secrets[rest%len(secrets)], mechs[rest/len(secrets)]
			checkLogin(t, set, true, credentials(mech, user, secret))
			checkLogin(t, set, false, credentials(mech, user, secret))
		}
	}
}

// checkLogin plays one login against a server with a set of capNames.
func checkLogin(t *testing.T, set int, greets bool, c auth.Credentials) {
	t.Helper()
	s := &strict{caps: map[string]bool{}}
	list := "CAPABILITY IMAP4rev1 AUTH=PLAIN"
	for i, name := range capNames {
		if set>>i&1 == 1 {
			s.caps[name], list = true, list+" "+name
		}
	}
	x := newExchange(request(c), true, false)
	_, out := x.fromServer([]byte("* OK [" + list + "] ready\r\n"))
	if !greets {
		x = newExchange(request(c), true, false)
		_, _ = x.fromServer([]byte("* OK ready\r\n"))
		_, out = x.fromServer([]byte("* " + list + "\r\nC OK done\r\n"))
	}
	what := fmt.Sprintf("%s to a server with %q", c.Mechanism, list)
	for got := string(out); ; {
		more, err := s.answer(got)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if more == "" {
			break
		}
		_, out = x.fromServer([]byte(more))
		if len(out) == 0 {
			t.Fatalf("%s: nothing after %q", what, more)
		}
		got += string(out)
	}
	mech := c.Mechanism.String()
	switch {
	case c.Mechanism.OAuth():
		s.user = c.User // it is in the token
	case s.caps["LOGINDISABLED"]:
		mech = "PLAIN"
	default:
		mech = "LOGIN"
	}
	if s.mech != mech || s.user != c.User || s.secret != string(c.Secret.Reveal()) || s.hasID != s.caps["ID"] {
		t.Fatalf("%s: got %s of user %q with a secret of %d bytes, ID %v", what, s.mech, s.user, len(s.secret), s.hasID)
	}
	_, out = x.fromServer([]byte("I OK\r\nL OK in\r\n"))
	if x.outcome != OK || x.step != finished || len(out) > 0 {
		t.Fatalf("%s: outcome %v, sent %q after it", what, x.outcome, out)
	}
}
