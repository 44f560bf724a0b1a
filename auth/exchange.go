package auth

import "bytes"

// Exchange is the server side of one SASL exchange, fed decoded messages. The
// zero value is of no use: see NewExchange. It is owned by the session it
// belongs to.
type Exchange struct {
	mech Mechanism
	user string // LOGIN: the answer to "Username:"
}

// NewExchange begins an exchange.
func NewExchange(mech Mechanism) Exchange { return Exchange{mech: mech} }

// Mechanism is the one the exchange was begun with.
func (e *Exchange) Mechanism() Mechanism { return e.mech }

// Challenge is what to send to get the next message, not yet base64. It is not
// sent if the client gave an initial response. RFC 4422 section 3.
func (e *Exchange) Challenge() string {
	if e.user != "" {
		return "Password:"
	}
	return mechanisms[e.mech].prompt
}

// Next takes a message. done says that c is complete; if it is false and err is
// nil, send Challenge again. The errors are ErrSyntax, ErrForeign and
// ErrRefused, and end the exchange. msg is not kept.
func (e *Exchange) Next(msg []byte) (c Credentials, done bool, err error) {
	switch e.mech {
	case MechPlain:
		c, err = parsePlain(msg)
	case MechLogin:
		return e.nextLogin(msg)
	case MechXOAuth2:
		c, err = parseXOAuth2(msg)
	case MechOAuthBearer:
		c, err = parseOAuthBearer(msg)
	default:
		err = ErrSyntax
	}
	return c, err == nil, err
}

// nextLogin takes the user name first, then the password.
func (e *Exchange) nextLogin(msg []byte) (c Credentials, done bool, err error) {
	if e.user == "" {
		if !validUser(msg) {
			return Credentials{}, false, ErrRefused
		}
		e.user = string(msg)
		return Credentials{}, false, nil
	}
	if !validPassword(msg) {
		return Credentials{}, false, ErrRefused
	}
	return Credentials{Mechanism: MechLogin, User: e.user, Secret: NewSecret(msg)}, true, nil
}

// parsePlain reads authzid NUL authcid NUL password. RFC 4616 section 2.
func parsePlain(msg []byte) (Credentials, error) {
	authz, rest, ok := bytes.Cut(msg, []byte{0})
	user, pass, ok2 := bytes.Cut(rest, []byte{0})
	switch {
	case !ok || !ok2:
		return Credentials{}, ErrSyntax
	case !validUser(user) || !validPassword(pass):
		return Credentials{}, ErrRefused
	case len(authz) > 0 && !bytes.Equal(authz, user):
		return Credentials{}, ErrForeign
	}
	return Credentials{
		Mechanism: MechPlain, User: string(user), Authz: string(authz), Secret: NewSecret(pass),
	}, nil
}
