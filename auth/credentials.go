// Package auth reads what a client says about who it is: the credentials of a
// LOGIN command and the messages of SASL PLAIN, LOGIN, XOAUTH2 and OAUTHBEARER
// (RFC 4616, draft-murchison-sasl-login, RFC 7628). It verifies nobody: the
// server does that with the same credentials. It does not speak mechanisms that
// cannot be passed on, such as SCRAM. It holds no sockets, goroutines or clocks.
package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a client may claim, in bytes.
const (
	maxUser     = 255
	maxPassword = 1024
	maxToken    = 64 << 10 // a whole XOAUTH2 or OAUTHBEARER message
)

var (
	// ErrSyntax says that a SASL message is broken.
	ErrSyntax = errors.New("auth: malformed SASL message")

	// ErrForeign says that the client wants to act as somebody else than the
	// user whose password it has.
	ErrForeign = errors.New("auth: foreign authorization identity")

	// ErrRefused says that the user name or the password is one that nobody
	// can have: empty, too long, with NUL or, in the name, other controls.
	ErrRefused = errors.New("auth: impossible user name or password")
)

// Credentials are what a client has to show. Immutable.
type Credentials struct {
	Mechanism Mechanism
	User      string // as the client wrote it; see NormalizeUser
	Authz     string // whom to act as; "" or User
	Secret    Secret // the password; for XOAUTH2 and OAUTHBEARER the client's whole message, not in base64
}

// LoginCommand makes the credentials of IMAP's LOGIN. Both arguments are copied.
// The error is ErrRefused. RFC 9051 section 6.2.3.
func LoginCommand(user, pass []byte) (Credentials, error) {
	if !validUser(user) || !validPassword(pass) {
		return Credentials{}, ErrRefused
	}
	return Credentials{User: string(user), Secret: NewSecret(pass)}, nil
}

// NormalizeUser returns the form of a user name that tables are keyed by: lower
// case, without spaces around it.
func NormalizeUser(user string) string { return strings.ToLower(strings.TrimSpace(user)) }

// AppendPlain appends the PLAIN message of a user without an authorization
// identity, in base64. RFC 4616 section 2.
func AppendPlain(dst []byte, user string, pass []byte) []byte {
	msg := make([]byte, 0, len(user)+len(pass)+2)
	msg = append(msg, 0)
	msg = append(msg, user...)
	msg = append(msg, 0)
	msg = append(msg, pass...)
	return base64.StdEncoding.AppendEncode(dst, msg)
}

// validUser keeps controls out of logs, tables and commands, and broken UTF-8
// away from servers that stumble over it.
func validUser(user []byte) bool {
	return len(user) > 0 && len(user) <= maxUser && utf8.Valid(user) &&
		bytes.IndexFunc(user, unicode.IsControl) < 0 && len(bytes.TrimSpace(user)) > 0
}

func validPassword(pass []byte) bool {
	return len(pass) <= maxPassword && bytes.IndexByte(pass, 0) < 0
}
