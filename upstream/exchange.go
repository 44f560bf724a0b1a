package upstream

import (
	"bytes"
	"encoding/base64"
	"slices"

	"imaplb/auth"
	"imaplb/imap"
)

// Bounds of what a server may say before it has answered the login.
const (
	maxLine     = 8 << 10  // bytes of a line
	maxUntagged = 8 << 10  // bytes kept for the client; more is left out
	maxTalk     = 64 << 10 // bytes in all
	litMinus    = 4096     // longest literal under LITERAL-, RFC 7888 section 5
)

// Our tags, those of Dovecot's own proxy.
const (
	tagID         = "I"
	tagCapability = "C"
	tagStartTLS   = "S"
	tagLogin      = "L"
)

// step is what an Exchange waits for.
type step uint8

const (
	greeting   step = iota // the server's first line
	askedCaps              // the answer to C CAPABILITY
	askedTLS               // the answer to S STARTTLS
	upgrading              // the caller does the TLS handshake, then calls Upgraded
	askedLogin             // the answer to L
	finished               // see Outcome
	numSteps
)

// received names what a step has behind it, for the log (as Dovecot's
// "sent/received").
var received = [numSteps]string{"none", "banner", "banner", "starttls", "banner", "login"}

// Exchange is the dialogue with a server from its greeting to its answer to
// the login, without any I/O:
//
//	greeting ─▶ [askedTLS ─▶ upgrading ─▶] [askedCaps ─▶] askedLogin ─▶ finished
//
// ID and LOGIN go out in one write as soon as the greeting has come.
// Owned by the loop of its connection.
type Exchange struct {
	req      *Request
	trusted  bool
	startTLS bool

	step    step
	at      step // where it failed
	caps    imap.Capability
	hasCaps bool
	talk    int
	// capsAfter says that caps came while the login was under way, so that
	// they are those after it.
	capsAfter bool
	sent      string   // what was sent, for the log
	pieces    [][]byte // of the login, each behind a "+" of the server
	oauth     bool
	bye       bool
	untagged  []byte

	// The result, valid when finished.
	outcome Outcome
	code    []byte
	text    []byte
}

// newExchange begins a dialogue for req. trusted is whether the server takes
// our word for the client's address; startTLS whether TLS has to come first.
func newExchange(req *Request, trusted, startTLS bool) *Exchange {
	return &Exchange{req: req, trusted: trusted, startTLS: startTLS}
}

// fromServer takes the server's bytes and returns how many it used and what
// has to be sent. Behind the line that finished the exchange nothing is used:
// it belongs to the client.
func (x *Exchange) fromServer(in []byte) (n int, out []byte) {
	for x.step != finished && x.step != upgrading {
		line, used, err := imap.ConsumeLine(in[n:], maxLine)
		if err != nil || x.talk+n+used > maxTalk {
			x.fail(Protocol, nil, []byte("line too long"))
			break
		}
		if used == 0 {
			break
		}
		n += used
		out = x.line(out, line)
	}
	x.talk += n
	if x.step == upgrading && n < len(in) {
		// Whoever put this in can speak for the server before TLS proves
		// who it is. CVE-2011-0411 and its like.
		x.fail(Protocol, nil, []byte("bytes behind the answer to STARTTLS"))
	}
	return n, out
}

// line handles one line of the server.
func (x *Exchange) line(out, line []byte) []byte {
	r, err := imap.ParseResponse(line)
	switch {
	case err != nil:
		x.fail(Protocol, nil, []byte("unreadable answer"))
	case x.step == greeting:
		return x.greet(out, r)
	case len(r.Tag) == 1 && r.Tag[0] == '*':
		x.data(r, line)
	case len(r.Tag) == 1 && r.Tag[0] == '+':
		return x.goAhead(out)
	default:
		return x.tagged(out, r)
	}
	return out
}

// greet takes the greeting. PREAUTH would be somebody else's session.
func (x *Exchange) greet(out []byte, r imap.Response) []byte {
	switch {
	case len(r.Tag) != 1 || r.Tag[0] != '*' || r.Status != imap.StatusOK && r.Status != imap.StatusBYE:
		x.fail(Protocol, nil, []byte("no greeting"))
		return out
	case r.Status == imap.StatusBYE:
		x.fail(Temporary, r.Code, r.Text)
		return out
	}
	if imap.IsCode(r.Code, "CAPABILITY") {
		x.learn(r.CodeArgs)
	}
	switch {
	case x.startTLS && x.hasCaps && !x.caps.Has("STARTTLS"):
		x.fail(TLSFailed, nil, []byte("server does not offer STARTTLS"))
		return out
	case x.startTLS:
		return x.send(out, askedTLS, "starttls", tagStartTLS+" STARTTLS\r\n")
	case !x.hasCaps:
		return x.send(out, askedCaps, "capability", tagCapability+" CAPABILITY\r\n")
	}
	return x.login(out)
}

// Upgraded goes on after the TLS handshake. What the server said before it is
// void: RFC 9051 section 6.2.1.
func (x *Exchange) upgraded() []byte {
	x.caps, x.hasCaps, x.untagged, x.bye = imap.Capability{}, false, nil, false
	return x.send(nil, askedCaps, "capability", tagCapability+" CAPABILITY\r\n")
}

func (x *Exchange) send(out []byte, next step, what, line string) []byte {
	x.step = next
	x.note(what)
	return append(out, line...)
}

func (x *Exchange) note(what string) {
	if x.sent != "" {
		x.sent += "+"
	}
	x.sent += what
}

func (x *Exchange) learn(list []byte) {
	x.caps, x.hasCaps = imap.ParseCapability(list), true
}

// data takes an untagged answer.
func (x *Exchange) data(r imap.Response, line []byte) {
	switch {
	case imap.IsCode(r.Name, "CAPABILITY"):
		x.learn(r.Text)
		x.capsAfter = x.step == askedLogin
	case imap.IsCode(r.Name, "ID"):
	case r.Status == imap.StatusBYE:
		x.bye = true
		x.code, x.text = bytes.Clone(r.Code), imap.AppendText(nil, r.Text)
	case x.step == askedLogin && len(x.untagged)+len(line)+len("\r\n") <= maxUntagged:
		x.untagged = append(append(x.untagged, line...), "\r\n"...)
	}
}

// tagged takes the answer to one of our commands.
func (x *Exchange) tagged(out []byte, r imap.Response) []byte {
	ok := r.Status == imap.StatusOK
	switch string(r.Tag) {
	case tagID: // whatever it says
	case tagCapability:
		if x.step == askedCaps {
			return x.login(out)
		}
	case tagStartTLS:
		switch {
		case x.step != askedTLS:
		case ok:
			x.step = upgrading
			return out
		default:
			x.fail(TLSFailed, nil, []byte("server refused STARTTLS"))
			return out
		}
	case tagLogin:
		if x.step == askedLogin {
			x.answer(r)
			return out
		}
	default:
		x.fail(Protocol, nil, []byte("answer to nothing"))
	}
	return out
}

// answer takes the answer to the login.
func (x *Exchange) answer(r imap.Response) {
	if r.Status == imap.StatusOK {
		if !x.capsAfter {
			x.caps = imap.Capability{}
		}
		if imap.IsCode(r.Code, "CAPABILITY") {
			x.learn(r.CodeArgs)
		}
		x.at, x.step, x.outcome = finished, finished, OK
		x.text = imap.AppendText(nil, r.Text)
		return
	}
	x.fail(outcomeOf(r), r.Code, r.Text)
	x.at = finished // it was an answer
}

// where is how far the dialogue came, as Dovecot's proxies log it: what was
// sent and what was received.
func (x *Exchange) where() string {
	sent := x.sent
	if sent == "" {
		sent = "none"
	}
	return sent + "/" + received[x.at]
}

// outcomeOf reads the server's refusal. Codes: RFC 5530 section 3.
func outcomeOf(r imap.Response) Outcome {
	switch {
	case r.Status == imap.StatusBAD:
		return Protocol
	case len(r.Code) == 0, imap.IsCode(r.Code, "AUTHENTICATIONFAILED"):
		return AuthFailed
	case imap.IsCode(r.Code, "LIMIT"), bytes.HasPrefix(r.Text, []byte("Maximum number of connections")):
		return Limit // Dovecot before 2.4 says UNAVAILABLE with this text
	case imap.IsCode(r.Code, "PRIVACYREQUIRED"):
		return NeedsTLS // it is about our connection, not the client's
	case imap.IsCode(r.Code, "UNAVAILABLE"), imap.IsCode(r.Code, "SERVERBUG"), imap.IsCode(r.Code, "REFERRAL"):
		return Temporary // where a referral points to is none of the client's business
	}
	return Refused
}

// fail finishes the exchange. The text has been cleaned or is ours.
func (x *Exchange) fail(o Outcome, code, text []byte) {
	x.at, x.step, x.outcome = x.step, finished, o
	x.code, x.text = bytes.Clone(code), imap.AppendText(nil, text)
	x.pieces = nil
}

// closed is told when the server left.
func (x *Exchange) closed() {
	switch {
	case x.step == finished:
	case x.bye && imap.IsCode(x.code, "LIMIT"):
		x.fail(Limit, x.code, x.text)
	case x.bye: // it ends a connection, it judges no password
		x.fail(Temporary, x.code, x.text)
	default:
		x.fail(Lost, nil, []byte("server closed the connection"))
	}
}

// login writes ID and the login command.
func (x *Exchange) login(out []byte) []byte {
	c := &x.req.Credentials
	if x.caps.Has("LOGINDISABLED") && !x.caps.Has("AUTH=PLAIN") && !c.Mechanism.OAuth() {
		x.fail(NeedsTLS, nil, []byte("server allows no login on this connection: have it trust imaplb, or set tls"))
		return out
	}
	x.step = askedLogin
	out = slices.Grow(out, usualLogin)
	if x.trusted && x.caps.Has("ID") {
		out = append(out, tagID+" ID "...)
		// On the stack: for a moment on the heap they would lie between the
		// records of sessions, which are of the same size and stay.
		var pairs [ourPairs + 8]imap.IDPair
		out = imap.AppendID(out, x.req.idPairs(pairs[:0]))
		out = append(out, "\r\n"...)
		x.note("id")
	}
	switch {
	case c.Mechanism.OAuth():
		x.oauth = true
		return x.authenticate(out, c.Mechanism.String(), base64.StdEncoding.AppendEncode(nil, c.Secret.Reveal()))
	case x.caps.Has("LOGINDISABLED"):
		return x.authenticate(out, "PLAIN", auth.AppendPlain(nil, c.User, c.Secret.Reveal()))
	}
	x.note("login")
	out = append(out, tagLogin+" LOGIN "...)
	out = x.argument(out, []byte(c.User))
	out = x.argument(x.tail(out, " "), c.Secret.Reveal())
	return x.tail(out, "\r\n")
}

// usualLogin is room for ID and LOGIN as they are most of the time, in bytes.
const usualLogin = 384

// argument appends a string as the server can take it: quoted, or as a literal
// if it holds anything that has ever confused a quoted-string parser. A
// synchronising literal waits in pieces for the server's "+".
func (x *Exchange) argument(out, s []byte) []byte {
	switch {
	case imap.CanQuote(s) && !bytes.ContainsAny(s, `"\`):
		return x.put(out, func(b []byte) []byte { return imap.AppendQuoted(b, s) })
	case x.caps.Has("LITERAL+"), x.caps.Has("LITERAL-") && len(s) <= litMinus:
		return x.put(out, func(b []byte) []byte { return imap.AppendLiteral(b, s) })
	}
	out = x.put(out, func(b []byte) []byte { return imap.AppendLiteralHeader(b, len(s)) })
	x.pieces = append(x.pieces, bytes.Clone(s))
	return out
}

// put appends to the last piece, or to out while there is none.
func (x *Exchange) put(out []byte, f func([]byte) []byte) []byte {
	if n := len(x.pieces); n > 0 {
		x.pieces[n-1] = f(x.pieces[n-1])
		return out
	}
	return f(out)
}

func (x *Exchange) tail(out []byte, s string) []byte {
	return x.put(out, func(b []byte) []byte { return append(b, s...) })
}

// authenticate appends AUTHENTICATE, with the initial response if the server
// takes one. RFC 4959.
func (x *Exchange) authenticate(out []byte, mech string, initial []byte) []byte {
	x.note("authenticate")
	out = append(append(out, tagLogin+" AUTHENTICATE "...), mech...)
	if x.caps.Has("SASL-IR") {
		out = append(append(out, ' '), initial...)
	} else {
		x.pieces = append(x.pieces, append(initial, "\r\n"...))
	}
	return append(out, "\r\n"...)
}

// goAhead answers a "+".
func (x *Exchange) goAhead(out []byte) []byte {
	switch {
	case x.step != askedLogin:
		x.fail(Protocol, nil, []byte("unexpected continuation"))
	case len(x.pieces) > 0:
		out = append(out, x.pieces[0]...)
		x.pieces = x.pieces[1:]
	case x.oauth:
		// The error of RFC 7628 section 3.2.2; an answer without meaning lets
		// the server say NO (section 3.2.3, and for XOAUTH2 an empty line).
		if x.req.Mechanism == auth.MechOAuthBearer {
			out = append(out, "AQ=="...)
		}
		out = append(out, "\r\n"...)
	}
	// Else it is for a non-synchronising literal, from a server that answers
	// those as well.
	return out
}
