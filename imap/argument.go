package imap

import "bytes"

// ConsumeAstring reads an atom, a quoted string or a literal at the front of b,
// which holds the arguments of a complete command. value aliases b, except a
// quoted string with escapes, which is a copy. n is the bytes it occupied.
// Nothing there, or something else, is ErrSyntax. RFC 9051 section 9, astring.
func ConsumeAstring(b []byte) (value []byte, n int, err error) {
	if len(b) > 0 && (b[0] == '"' || b[0] == '{') {
		return ConsumeString(b)
	}
	for n < len(b) && classes[b[n]]&isArg != 0 {
		n++
	}
	if n == 0 {
		return nil, 0, ErrSyntax
	}
	return b[:n], n, nil
}

// ConsumeString is ConsumeAstring without atoms. Strings never hold NUL.
// RFC 9051 section 4.3.
func ConsumeString(b []byte) (value []byte, n int, err error) {
	switch {
	case len(b) > 0 && b[0] == '"':
		return consumeQuoted(b)
	case len(b) > 0 && b[0] == '{':
		return consumeLiteral(b)
	}
	return nil, 0, ErrSyntax
}

// consumeQuoted also takes 8-bit bytes, which some clients send in spite of
// RFC 9051 section 9; whoever uses the value decides what to do with them.
func consumeQuoted(b []byte) (value []byte, n int, err error) {
	escaped := false
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case 0, '\r', '\n':
			return nil, 0, ErrSyntax
		case '\\':
			escaped = true
			i++
			if i == len(b) || b[i] != '"' && b[i] != '\\' {
				return nil, 0, ErrSyntax
			}
		case '"':
			value = b[1:i:i]
			if escaped {
				value = unescape(value)
			}
			return value, i + 1, nil
		}
	}
	return nil, 0, ErrSyntax
}

// unescape takes the backslashes out of the inside of a quoted string, in a copy.
func unescape(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
		}
		out = append(out, s[i])
	}
	return out
}

// consumeLiteral reads "{n}" or "{n+}", a line end, and n bytes.
func consumeLiteral(b []byte) (value []byte, n int, err error) {
	line, start, err := ConsumeLine(b, len(b))
	if err != nil || start == 0 {
		return nil, 0, ErrSyntax
	}
	lit := trailingLiteral(line)
	if !lit.Found || line[0] != '{' || bytes.IndexByte(line[1:], '{') >= 0 {
		return nil, 0, ErrSyntax
	}
	if lit.Size > len(b)-start {
		return nil, 0, ErrSyntax
	}
	end := start + lit.Size
	value = b[start:end:end]
	if bytes.IndexByte(value, 0) >= 0 {
		return nil, 0, ErrSyntax
	}
	return value, end, nil
}
