package upstream

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"imaplb/auth"
)

// idLine is what a trusted server is told of request's client.
const idLine = `I ID ("x-session-id" "lb1-1" "x-originating-ip" "198.51.100.7" "x-originating-port" "51034" ` +
	`"x-connected-ip" "203.0.113.1" "x-connected-port" "993" "x-client-transport" "insecure" "x-proxy-ttl" "4")` + "\r\n"

func credentials(mech auth.Mechanism, user, secret string) auth.Credentials {
	return auth.Credentials{Mechanism: mech, User: user, Secret: auth.NewSecret([]byte(secret))}
}

func request(c auth.Credentials) *Request {
	return &Request{
		Credentials: c, SessionID: "lb1-1",
		ClientAddr: netip.MustParseAddrPort("198.51.100.7:51034"),
		LocalAddr:  netip.MustParseAddrPort("203.0.113.1:993"),
	}
}

// turn is what the server says and what it is answered. server == handshake is the
// handshake, which the exchange's driver does.
type turn struct{ server, proxy string }

const handshake = "(TLS handshake)"

// story is one dialogue. A zero cred is alice's.
type story struct {
	name     string
	cred     auth.Credentials
	trusted  bool
	startTLS bool
	turns    []turn
	closed   bool // the server leaves at the end

	outcome  Outcome
	caps     string
	untagged string
	code     string
	text     string
	rest     string // of the server's bytes, not used
}

const (
	aliceLogin = "L LOGIN \"alice\" \"swordfish\"\r\n"
	hello      = "* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID] ready\r\n"
)

var stories = []story{
	{
		name:    "ID and LOGIN in one write",
		trusted: true,
		turns:   []turn{{hello, idLine + aliceLogin}, {"* ID (\"name\" \"x\")\r\nI OK\r\nL OK [CAPABILITY IMAP4rev1 IDLE] Logged in\r\n", ""}},
		caps:    "IMAP4rev1 IDLE", text: "Logged in",
	},
	{
		name:  "no ID for a server that does not trust us",
		turns: []turn{{hello, aliceLogin}, {"L OK hi\r\n", ""}}, text: "hi",
	},
	{
		name:    "no ID for a server that does not offer it",
		trusted: true,
		turns:   []turn{{"* OK [CAPABILITY IMAP4rev1] x\r\n", aliceLogin}, {"L OK\r\n", ""}},
	},
	{
		name:    "capability asked for when the greeting has none",
		trusted: true,
		turns: []turn{
			{"* OK ready\r\n", "C CAPABILITY\r\n"},
			{"* CAPABILITY IMAP4rev1 ID\r\nC OK done\r\n", idLine + aliceLogin}, {"I OK\r\nL OK in\r\n", ""},
		}, text: "in",
	},
	{
		name:  "a server without CAPABILITY",
		turns: []turn{{"* OK\r\n", "C CAPABILITY\r\n"}, {"C BAD what\r\n", aliceLogin}, {"L OK in\r\n", ""}}, text: "in",
	},
	{
		name:  "a bare LF ends a line",
		turns: []turn{{"* OK [CAPABILITY IMAP4rev1]\n", aliceLogin}, {"L OK in\n", ""}}, text: "in",
	},
	{
		name:     "STARTTLS",
		startTLS: true, trusted: true,
		turns: []turn{
			{"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x\r\n", "S STARTTLS\r\n"}, {"S OK go\r\n", ""},
			{handshake, "C CAPABILITY\r\n"}, {"* CAPABILITY IMAP4rev1 ID\r\nC OK\r\n", idLine + aliceLogin},
			{"I OK\r\nL OK [CAPABILITY IMAP4rev1] in\r\n", ""},
		}, caps: "IMAP4rev1", text: "in",
	},
	{
		name:     "STARTTLS of a server whose greeting has no capability",
		startTLS: true,
		turns:    []turn{{"* OK\r\n", "S STARTTLS\r\n"}, {"S OK\r\n", ""}, {handshake, "C CAPABILITY\r\n"}, {"C OK\r\n", aliceLogin}, {"L OK\r\n", ""}},
	},
	{
		name:     "STARTTLS not offered",
		startTLS: true, turns: []turn{{hello, ""}}, outcome: TLSFailed, text: "server does not offer STARTTLS",
	},
	{
		name:     "STARTTLS refused",
		startTLS: true, turns: []turn{{"* OK\r\n", "S STARTTLS\r\n"}, {"S NO not now\r\n", ""}}, outcome: TLSFailed, text: "server refused STARTTLS",
	},
	{
		name:     "what was said before TLS is void",
		startTLS: true,
		turns: []turn{
			{"* OK\r\n", "S STARTTLS\r\n"}, {"* BYE [LIMIT] evil\r\n* NO [ALERT] evil\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nS OK\r\n", ""},
			{handshake, "C CAPABILITY\r\n"}, {"* CAPABILITY IMAP4rev1\r\nC OK\r\n", aliceLogin}, {"L OK\r\n", ""},
		},
	},
	{name: "PREAUTH", turns: []turn{{"* PREAUTH welcome\r\n", ""}}, outcome: Protocol, text: "no greeting"},
	{name: "PREAUTH instead of STARTTLS", startTLS: true, turns: []turn{{"* PREAUTH x\r\n", ""}}, outcome: Protocol, text: "no greeting"},
	{name: "BYE greeting", turns: []turn{{"* BYE [UNAVAILABLE] full\r\n", ""}}, outcome: Temporary, code: "UNAVAILABLE", text: "full"},
	{name: "no IMAP", turns: []turn{{"220 mail ESMTP\r\n", ""}}, outcome: Protocol, text: "unreadable answer"},
	{name: "POP3", turns: []turn{{"+OK ready\r\n", ""}}, outcome: Protocol, text: "no greeting"},
	{
		name:    "LOGINDISABLED and no other way",
		turns:   []turn{{"* OK [CAPABILITY IMAP4rev1 SASL-IR ID LOGINDISABLED STARTTLS]\r\n", ""}},
		outcome: NeedsTLS, text: "server allows no login on this connection: have it trust imaplb, or set tls",
	},
	{
		name:  "LOGINDISABLED with an initial response",
		turns: []turn{{"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGINDISABLED AUTH=PLAIN]\r\n", "L AUTHENTICATE PLAIN AGFsaWNlAHN3b3JkZmlzaA==\r\n"}, {"L OK\r\n", ""}},
	},
	{
		name: "LOGINDISABLED without",
		turns: []turn{
			{"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=PLAIN]\r\n", "L AUTHENTICATE PLAIN\r\n"},
			{"+ \r\n", "AGFsaWNlAHN3b3JkZmlzaA==\r\n"}, {"L OK\r\n", ""},
		},
	},
	{
		name:  "two synchronising literals",
		cred:  credentials(auth.MechNone, "a\"b", "p\\w"),
		turns: []turn{{"* OK [CAPABILITY IMAP4rev1]\r\n", "L LOGIN {3}\r\n"}, {"+ go\r\n", "a\"b {3}\r\n"}, {"+\r\n", "p\\w\r\n"}, {"L OK\r\n", ""}},
	},
	{
		name: "the literal refused", cred: credentials(auth.MechNone, "a\"b", "p"),
		turns: []turn{{"* OK [CAPABILITY IMAP4rev1]\r\n", "L LOGIN {3}\r\n"}, {"L BAD no literals\r\n", ""}}, outcome: Protocol, text: "no literals",
	},
	{
		name:  "literals without waiting, to a server that answers them all the same",
		cred:  credentials(auth.MechNone, "bücher", ""),
		turns: []turn{{hello, "L LOGIN {7+}\r\nbücher \"\"\r\n"}, {"+ OK\r\n+ OK\r\nL OK\r\n", ""}},
	},
	{
		name: "XOAUTH2 accepted", cred: credentials(auth.MechXOAuth2, "alice", "token"),
		turns: []turn{{hello, "L AUTHENTICATE XOAUTH2 dG9rZW4=\r\n"}, {"L OK\r\n", ""}},
	},
	{
		name: "XOAUTH2 refused", cred: credentials(auth.MechXOAuth2, "alice", "token"),
		turns:   []turn{{hello, "L AUTHENTICATE XOAUTH2 dG9rZW4=\r\n"}, {"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n", "\r\n"}, {"L NO [AUTHENTICATIONFAILED] bad token\r\n", ""}},
		outcome: AuthFailed, code: "AUTHENTICATIONFAILED", text: "bad token",
	},
	{
		name: "OAUTHBEARER without initial response", cred: credentials(auth.MechOAuthBearer, "alice", "token"),
		turns: []turn{
			{"* OK [CAPABILITY IMAP4rev1 AUTH=OAUTHBEARER]\r\n", "L AUTHENTICATE OAUTHBEARER\r\n"}, {"+ \r\n", "dG9rZW4=\r\n"}, {"L OK\r\n", ""},
		},
	},
	{
		name:  "what follows the tagged OK is the client's",
		turns: []turn{{hello, aliceLogin}, {"L OK in\r\n* 5 EXISTS\r\n* {", ""}}, text: "in", rest: "* 5 EXISTS\r\n* {",
	},
	{
		name:  "untagged lines for the client",
		turns: []turn{{hello + "* NO [ALERT] disk\r\n", aliceLogin}, {"* ID NIL\r\n* OK more\r\nL OK in\r\n", ""}},
		text:  "in", untagged: "* NO [ALERT] disk\r\n* OK more\r\n",
	},
	{name: "an answer to nothing", turns: []turn{{hello, aliceLogin}, {"a1 OK in\r\n", ""}}, outcome: Protocol, text: "answer to nothing"},
	{name: "an early answer", turns: []turn{{"* OK\r\nL OK in\r\nC OK\r\n", "C CAPABILITY\r\n" + aliceLogin}}, closed: true, outcome: Lost, text: "server closed the connection"},
	{name: "a continuation nobody asked for", turns: []turn{{"* OK\r\n", "C CAPABILITY\r\n"}, {"+ go\r\n", ""}}, outcome: Protocol, text: "unexpected continuation"},
	{name: "an empty line", turns: []turn{{hello, aliceLogin}, {"\r\n", ""}}, outcome: Protocol, text: "unreadable answer"},
	{name: "closed before the greeting", closed: true, outcome: Lost, text: "server closed the connection"},
	{name: "closed in the greeting", turns: []turn{{"* OK rea", ""}}, closed: true, outcome: Lost, text: "server closed the connection", rest: "* OK rea"},
	{name: "closed before CAPABILITY is answered", turns: []turn{{"* OK\r\n", "C CAPABILITY\r\n"}}, closed: true, outcome: Lost, text: "server closed the connection"},
	{name: "closed before STARTTLS is answered", startTLS: true, turns: []turn{{"* OK\r\n", "S STARTTLS\r\n"}}, closed: true, outcome: Lost, text: "server closed the connection"},
	{name: "closed before LOGIN is answered", turns: []turn{{hello, aliceLogin}}, closed: true, outcome: Lost, text: "server closed the connection"},
	{name: "BYE to LOGIN", turns: []turn{{hello, aliceLogin}, {"* BYE going\r\n", ""}}, closed: true, outcome: Temporary, text: "going"},
	{
		name: "BYE for too many sessions", turns: []turn{{hello, aliceLogin}, {"* BYE [LIMIT] full\r\n", ""}}, closed: true,
		outcome: Limit, code: "LIMIT", text: "full",
	},
	{name: "BYE and NO", turns: []turn{{hello, aliceLogin}, {"* BYE bye\r\nL NO [UNAVAILABLE] down\r\n", ""}}, outcome: Temporary, code: "UNAVAILABLE", text: "down"},
	{name: "controls in the text", turns: []turn{{hello, aliceLogin}, {"L NO [CONTACTADMIN] a\x1b[31mb\x00c\r\n", ""}}, outcome: Refused, code: "CONTACTADMIN", text: "a[31mbc"},
	{
		// Dovecot does this when the proxy has asked for CAPABILITY before.
		name: "capability after login in a line of its own",
		turns: []turn{
			{"* OK\r\n", "C CAPABILITY\r\n"}, {"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nC OK\r\n", aliceLogin},
			{"* CAPABILITY IMAP4rev1 IDLE QRESYNC\r\nL OK Logged in\r\n", ""},
		}, caps: "IMAP4rev1 IDLE QRESYNC", text: "Logged in",
	},
	{
		name: "a list from before the login is not that of the user",
		turns: []turn{
			{"* OK\r\n", "C CAPABILITY\r\n"}, {"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nC OK\r\n", aliceLogin}, {"L OK Logged in\r\n", ""},
		}, text: "Logged in",
	},
}

// player drives an Exchange as an Attempt does.
type player struct {
	t  *testing.T
	x  *Exchange
	in []byte
}

// say offers bytes in chunks that end where cut says so.
func (p *player) say(s string, cut func(i int) bool) (out string) {
	p.t.Helper()
	from := 0
	for i := 1; i <= len(s); i++ {
		if i < len(s) && !cut(i) {
			continue
		}
		p.in = append(p.in, s[from:i]...)
		from = i
		n, o := p.x.fromServer(p.in)
		p.in = p.in[n:]
		out += string(o)
		if p.x.step == greeting && out != "" || len(p.x.untagged) > maxUntagged {
			p.t.Fatalf("before the greeting sent %q, kept %d bytes", out, len(p.x.untagged))
		}
	}
	return out
}

func (s *story) play(t *testing.T, cut func(i int) bool) {
	t.Helper()
	c := s.cred
	if c.User == "" {
		c = credentials(auth.MechNone, "alice", "swordfish")
	}
	p := &player{t: t, x: newExchange(request(c), s.trusted, s.startTLS)}
	for i, turn := range s.turns {
		var got string
		if turn.server == handshake {
			if p.x.step != upgrading {
				t.Fatalf("turn %d: TLS is not due", i)
			}
			got = string(p.x.upgraded())
		} else {
			got = p.say(turn.server, cut)
		}
		if got != turn.proxy {
			t.Fatalf("turn %d: server says %q, answered %q, want %q", i, turn.server, got, turn.proxy)
		}
	}
	if s.closed {
		p.x.closed()
	}
	x := p.x
	if x.step != finished {
		t.Fatalf("not finished, step %d", x.step)
	}
	got := fmt.Sprintf("%v caps=%q untagged=%q text=%q rest=%q", x.outcome, x.caps.Append(nil), x.untagged, x.text, p.in)
	want := fmt.Sprintf("%v caps=%q untagged=%q text=%q rest=%q", s.outcome, s.caps, s.untagged, s.text, s.rest)
	if x.outcome != OK { // only the refusal counts then
		got = fmt.Sprintf("%v code=%q text=%q rest=%q", x.outcome, x.code, x.text, p.in)
		want = fmt.Sprintf("%v code=%q text=%q rest=%q", s.outcome, s.code, s.text, s.rest)
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStoriesAtEverySplit(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			s.play(t, func(int) bool { return false })
			if t.Failed() {
				return // the splits would say the same again
			}
			s.play(t, func(int) bool { return true })
			longest := 0
			for _, turn := range s.turns {
				longest = max(longest, len(turn.server))
			}
			for at := 1; at < longest && !t.Failed(); at++ {
				s.play(t, func(i int) bool { return i == at })
			}
		})
	}
}

// Bytes behind the answer to STARTTLS may be an attacker's. The driver gives
// those that come in a later read to TLS, which refuses them.
func TestInjectionBehindSTARTTLS(t *testing.T) {
	for _, extra := range []string{"C OK\r\n", "* PREAUTH", "x"} {
		x := newExchange(request(credentials(auth.MechNone, "alice", "swordfish")), true, true)
		_, _ = x.fromServer([]byte("* OK\r\n"))
		_, out := x.fromServer([]byte("S OK go\r\n" + extra))
		if x.step != finished || x.outcome != Protocol || len(out) > 0 {
			t.Errorf("%q behind S OK: step %d, outcome %v, sent %q", extra, x.step, x.outcome, out)
		}
	}
}

func TestEndlessServer(t *testing.T) {
	endless := map[string]string{
		"line":     strings.Repeat("x", 100),
		"untagged": "* OK " + strings.Repeat("y", 93) + "\r\n",
		"plus":     "+\r\n",
	}
	for name, piece := range endless {
		for _, mech := range []auth.Mechanism{auth.MechNone, auth.MechXOAuth2} {
			p := &player{t: t, x: newExchange(request(credentials(mech, "alice", "swordfish")), true, false)}
			sent := len(p.say(hello, func(int) bool { return false }))
			said := 0
			for ; p.x.step != finished && said < 10*maxTalk; said += len(piece) {
				sent += len(p.say(piece, func(int) bool { return false }))
			}
			if p.x.outcome != Protocol || said > maxTalk+len(piece) || sent > said+1024 {
				t.Errorf("%s, %v: outcome %v after %d bytes, %d sent", name, mech, p.x.outcome, said, sent)
			}
		}
	}
}

// A line of each length near the bound: kept as a whole or not at all.
func TestUntaggedIsBounded(t *testing.T) {
	for n := maxUntagged - 8; n < maxUntagged; n++ { // one more, and it is too long a line
		line := append([]byte("* OK "), bytes.Repeat([]byte("z"), n-len("* OK "))...)
		x := newExchange(request(credentials(auth.MechNone, "alice", "swordfish")), true, false)
		_, _ = x.fromServer([]byte(hello))
		_, _ = x.fromServer(append(line, "\r\nL OK in\r\n"...))
		if x.outcome != OK || x.step != finished {
			t.Errorf("a line of %d bytes: outcome %v", n, x.outcome)
		}
		if got := len(x.untagged); got != 0 && got != n+2 || got > maxUntagged {
			t.Errorf("a line of %d bytes: kept %d, at most %d", n, got, maxUntagged)
		}
	}
}
