package session

import "imaplb/imap"

// What is promised before login: what every server has and what the session
// does itself. RFC 9051 section 6.1.1, RFC 7888 section 5.
const (
	capBase = "CAPABILITY IMAP4rev1 SASL-IR ID ENABLE LITERAL-"
	capAuth = " AUTH=PLAIN AUTH=LOGIN AUTH=XOAUTH2 AUTH=OAUTHBEARER"
)

// capability is the truth for the present state of TLS, its name in front.
func (s *Session) capability() string {
	switch {
	case !s.allowsLogin():
		return capBase + " STARTTLS LOGINDISABLED"
	case s.offersTLS():
		return capBase + " STARTTLS" + capAuth
	}
	return capBase + capAuth
}

func (s *Session) offersTLS() bool { return !s.tls && s.cfg.TLS == "starttls" }

func (s *Session) allowsLogin() bool { return !s.offersTLS() || !s.cfg.RequireTLS }

// AppendLoginOK appends what ends a login: the server's untagged lines, each
// with its CRLF, its capability without what a proxy cannot carry, and the
// tagged OK with the server's text. The capability stands in the OK, or in a
// line of its own if the client had asked for it and may not look there.
// RFC 9051 section 7.1.
func (s *Session) AppendLoginOK(dst, untagged []byte, caps imap.Capability, text []byte) []byte {
	dst = append(dst, untagged...)
	if s.asked && !caps.Empty() {
		dst = append(appendCapability(append(dst, "* "...), caps), "\r\n"...)
	}
	dst = append(dst, s.tag...)
	dst = append(dst, " OK "...)
	if !s.asked && !caps.Empty() {
		dst = append(appendCapability(append(dst, '['), caps), "] "...)
	}
	before := len(dst)
	dst = imap.AppendText(dst, text)
	if len(dst) == before {
		dst = append(dst, "Logged in"...)
	}
	return append(dst, "\r\n"...)
}

// appendCapability leaves out what would be a lie behind this proxy: TLS and
// login are over, referrals name servers the client cannot reach, and a server
// that forgets who the user is would not be the user's server any more.
func appendCapability(dst []byte, caps imap.Capability) []byte {
	dst = append(dst, "CAPABILITY "...)
	return caps.Append(dst, "STARTTLS", "LOGINDISABLED", "AUTH=", "LOGIN-REFERRALS", "UNAUTHENTICATE")
}
