package auth

import "strings"

// Mechanism is how a client proves who it is.
type Mechanism uint8

// The mechanisms. MechNone is IMAP's LOGIN command, which is not SASL.
const (
	MechNone        Mechanism = iota
	MechPlain                 // RFC 4616
	MechLogin                 // draft-murchison-sasl-login
	MechXOAuth2               // Google's, before RFC 7628
	MechOAuthBearer           // RFC 7628
	numMechanisms
)

// mechanisms has what differs by mechanism and needs no code.
var mechanisms = [numMechanisms]struct {
	name    string
	prompt  string // first challenge if there was no initial response
	failure string // challenge that tells a failure; "" is none
}{
	MechNone:        {name: "LOGIN command"},
	MechPlain:       {name: "PLAIN"},
	MechLogin:       {name: "LOGIN", prompt: "Username:"},
	MechXOAuth2:     {name: "XOAUTH2", failure: `{"status":"401","schemes":"bearer","scope":"mail"}`},
	MechOAuthBearer: {name: "OAUTHBEARER", failure: `{"status":"invalid_token"}`},
}

// ParseMechanism finds a SASL mechanism by its name, in any case.
func ParseMechanism(name []byte) (Mechanism, bool) {
	for m := MechPlain; m < numMechanisms; m++ {
		if len(name) == len(mechanisms[m].name) && strings.EqualFold(string(name), mechanisms[m].name) {
			return m, true
		}
	}
	return MechNone, false
}

// String returns the SASL name, or "LOGIN command" for MechNone.
func (m Mechanism) String() string { return mechanisms[m].name }

// OAuth reports whether the message holds a bearer token and is passed through
// to the server as it is.
func (m Mechanism) OAuth() bool { return m == MechXOAuth2 || m == MechOAuthBearer }

// FailureChallenge is what the server sends before it refuses the client, who
// answers with a message of no meaning; "" if the mechanism has no such thing.
// Not yet base64. RFC 7628 section 3.2.2.
func (m Mechanism) FailureChallenge() string { return mechanisms[m].failure }
