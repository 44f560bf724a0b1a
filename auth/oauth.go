package auth

import "bytes"

// parseXOAuth2 reads user=NAME ^A auth=Bearer TOKEN ^A ^A, where ^A is the byte 1.
func parseXOAuth2(msg []byte) (Credentials, error) {
	user, pairs, ok := bytes.Cut(msg, []byte{1})
	user, hasUser := cutPrefixFold(user, "user=")
	if !ok || !hasUser {
		return Credentials{}, ErrSyntax
	}
	return bearer(MechXOAuth2, user, msg, pairs)
}

// parseOAuthBearer reads n,a=NAME, ^A auth=Bearer TOKEN ^A ^A, with other pairs
// such as host=, port= anywhere. The name is needed here, although RFC 7628
// section 3.1 lets clients leave it out: a token does not tell us whose it is.
// A channel binding ("p=") cannot be passed through TLS that ends here.
func parseOAuthBearer(msg []byte) (Credentials, error) {
	gs2, pairs, ok := bytes.Cut(msg, []byte{1})
	flag, gs2, ok2 := bytes.Cut(gs2, []byte(","))
	name, rest, ok3 := bytes.Cut(gs2, []byte(","))
	if !ok || !ok2 || !ok3 || len(rest) > 0 || len(flag) != 1 || flag[0] != 'n' && flag[0] != 'y' {
		return Credentials{}, ErrSyntax
	}
	if len(name) == 0 {
		return Credentials{}, ErrRefused
	}
	name, isName := bytes.CutPrefix(name, []byte("a="))
	if !isName || len(name) > 3*maxUser {
		return Credentials{}, ErrSyntax
	}
	user, ok := unescapeName(name)
	if !ok {
		return Credentials{}, ErrSyntax
	}
	return bearer(MechOAuthBearer, user, msg, pairs)
}

// bearer checks the pairs, which end in an empty one, and keeps the whole message.
func bearer(mech Mechanism, user, msg, pairs []byte) (Credentials, error) {
	switch {
	case len(msg) > maxToken || !validUser(user):
		return Credentials{}, ErrRefused
	case !bytes.HasSuffix(msg, []byte{1, 1}) || bytes.ContainsAny(msg, "\x00\r\n"):
		return Credentials{}, ErrSyntax
	}
	for pair := range bytes.SplitSeq(pairs, []byte{1}) {
		auth, ok := cutPrefixFold(pair, "auth=")
		if !ok {
			continue
		}
		token, ok := cutPrefixFold(auth, "Bearer ")
		if !ok || len(token) == 0 {
			return Credentials{}, ErrSyntax
		}
		return Credentials{Mechanism: mech, User: string(user), Secret: NewSecret(msg)}, nil
	}
	return Credentials{}, ErrSyntax
}

// cutPrefixFold is bytes.CutPrefix in any case.
func cutPrefixFold(s []byte, prefix string) (after []byte, found bool) {
	if len(s) < len(prefix) || !bytes.EqualFold(s[:len(prefix)], []byte(prefix)) {
		return s, false
	}
	return s[len(prefix):], true
}

// unescapeName undoes =2C and =3D. RFC 5801 section 4, saslname.
func unescapeName(name []byte) (user []byte, ok bool) {
	for len(name) > 0 {
		c := name[0]
		n := 1
		switch {
		case bytes.HasPrefix(name, []byte("=2C")):
			c, n = ',', 3
		case bytes.HasPrefix(name, []byte("=3D")):
			c, n = '=', 3
		case c == '=':
			return nil, false
		}
		user = append(user, c)
		name = name[n:]
	}
	return user, true
}
