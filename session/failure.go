package session

import (
	"bytes"
	"time"

	"imaplb/imap"
)

// FailureKind is why a login failed, as far as the client is told.
// RFC 5530 section 3.
type FailureKind uint8

// The kinds. A wrong password and an unknown user are the same to the client.
const (
	AuthFailed    FailureKind = iota // wrong user or password
	NotAuthorized                    // right password, but not for acting as somebody else
	Unavailable                      // no server to be had: try again later, the password may be right
	Limit                            // too many sessions
	InUse                            // the account is busy or moving
	ConfigError                      // the administrator has to do something
	Bug                              // our fault
	Forwarded                        // what the server said, see Forward
	numFailures
)

// failures has the response code, the text and whether the server (or we in
// its place) judged the credentials.
var failures = [numFailures]struct {
	code, text string
	judged     bool
}{
	AuthFailed:    {"AUTHENTICATIONFAILED", "Authentication failed.", true},
	NotAuthorized: {"AUTHORIZATIONFAILED", "Authorization failed.", true},
	Unavailable:   {"UNAVAILABLE", "Account is temporarily unavailable.", false},
	Limit:         {"LIMIT", "Too many connections, try again later.", false},
	InUse:         {"INUSE", "Account is in use, try again later.", false},
	ConfigError:   {"CONTACTADMIN", "Login is not possible, ask the administrator.", false},
	Bug:           {"SERVERBUG", "Internal error.", false},
	Forwarded:     {judged: true},
}

// Failure is the outcome of a login that failed. The zero value is AuthFailed.
type Failure struct {
	Kind       FailureKind
	Delay      time.Duration // the answer comes that late at least, though it be the first failure
	code, text string        // text is empty for the usual one of the kind; code is for Forwarded only
}

// Saying is a failure with a text of ours that says more than the usual one.
func Saying(kind FailureKind, text string) Failure { return Failure{Kind: kind, text: text} }

// maxCode is the longest response code that is passed on, in bytes.
const maxCode = 32

// Forward makes the failure that passes a server's NO on. A NO without a code,
// or with one that tells the wrong password, is AuthFailed in our own words, so
// that nobody learns which users exist. A referral names servers that the
// client cannot reach: it is Unavailable. Arguments of a code are not passed
// on; text is cleaned. Nothing is kept of code and text.
func Forward(code, text []byte) Failure {
	switch {
	case len(code) == 0 || len(code) > maxCode || imap.IsCode(code, "AUTHENTICATIONFAILED"),
		bytes.ContainsFunc(code, notInCode):
		return Failure{Kind: AuthFailed}
	case imap.IsCode(code, "REFERRAL"):
		return Failure{Kind: Unavailable}
	}
	return Failure{Kind: Forwarded, code: string(code), text: string(imap.AppendText(nil, text))}
}

func notInCode(r rune) bool {
	return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

// Code is the response code that the client is told.
func (f Failure) Code() string {
	if f.Kind == Forwarded {
		return f.code
	}
	return failures[f.Kind].code
}

// Text is the human text that the client is told.
func (f Failure) Text() string {
	switch {
	case f.text != "":
		return f.text
	case f.Kind == Forwarded:
		return "Login failed."
	}
	return failures[f.Kind].text
}
