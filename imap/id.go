package imap

// Bounds of an ID list. RFC 2971 section 3.3.
const (
	maxIDPairs = 30
	maxIDKey   = 30   // bytes
	maxIDValue = 1024 // bytes
)

// IDPair is one field of an ID list. Nil says that the value was NIL, which is
// not the empty string. RFC 2971 section 3.1.
type IDPair struct {
	Key, Value string
	Nil        bool
}

// ParseID reads "(…)" or NIL, with literals in line; NIL and "()" give no
// pairs. Pairs beyond the 30th, and those with a key over 30 bytes or a value
// over 1024, are left out, as Dovecot does. The pairs are copies.
func ParseID(args []byte) ([]IDPair, error) {
	if equalFold(args, "NIL") {
		return nil, nil
	}
	if len(args) < 2 || args[0] != '(' {
		return nil, ErrSyntax
	}
	var pairs []IDPair
	for b := skipSpaces(args[1:]); ; b = skipSpaces(b) {
		if len(b) > 0 && b[0] == ')' {
			if len(b) > 1 {
				return nil, ErrSyntax
			}
			return pairs, nil
		}
		key, n, err := ConsumeString(b)
		if err != nil {
			return nil, err
		}
		b = skipSpaces(b[n:])
		value, n, isNil, err := consumeNString(b)
		if err != nil {
			return nil, err
		}
		b = b[n:]
		if len(pairs) < maxIDPairs && len(key) <= maxIDKey && len(value) <= maxIDValue {
			pairs = append(pairs, IDPair{string(key), string(value), isNil})
		}
	}
}

// consumeNString reads a string or NIL. RFC 9051 section 9, nstring.
func consumeNString(b []byte) (value []byte, n int, isNil bool, err error) {
	if len(b) >= 3 && equalFold(b[:3], "NIL") {
		return nil, 3, true, nil
	}
	value, n, err = ConsumeString(b)
	return value, n, false, err
}

func skipSpaces(b []byte) []byte {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// AppendID appends the list as an argument of ID, NIL for none. Bytes that
// cannot stand in a quoted string everywhere (controls, 8-bit) become '?'.
func AppendID(dst []byte, pairs []IDPair) []byte {
	if len(pairs) == 0 {
		return append(dst, "NIL"...)
	}
	sep := byte('(')
	for _, p := range pairs {
		dst = append(dst, sep)
		dst = appendPrintable(dst, p.Key)
		dst = append(dst, ' ')
		if p.Nil {
			dst = append(dst, "NIL"...)
		} else {
			dst = appendPrintable(dst, p.Value)
		}
		sep = ' '
	}
	return append(dst, ')')
}

// appendPrintable appends s as a quoted string of printable ASCII.
func appendPrintable(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			dst = append(dst, '?')
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
