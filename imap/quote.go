package imap

import "strconv"

// CanQuote reports whether s may stand in a quoted string: 7-bit bytes without
// NUL, CR and LF. RFC 9051 section 4.3.
func CanQuote(s []byte) bool {
	for _, c := range s {
		if c == 0 || c == '\r' || c == '\n' || c >= 0x80 {
			return false
		}
	}
	return true
}

// AppendQuoted appends s as a quoted string, " and \ escaped. The caller has
// asked CanQuote.
func AppendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for _, c := range s {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// AppendLiteral appends s as a non-synchronising literal. RFC 7888 section 3.
func AppendLiteral(dst, s []byte) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, "+}\r\n"...)
	return append(dst, s...)
}

// AppendLiteralHeader appends the header of a synchronising literal of n bytes;
// the bytes follow once the other side has sent its "+". RFC 9051 section 4.3.
func AppendLiteralHeader(dst []byte, n int) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "}\r\n"...)
}
