package imap

import (
	"unicode"
	"unicode/utf8"
)

// maxText bounds the human text that is passed on, in bytes.
const maxText = 512

// AppendText appends text as one clean line: control characters are left out,
// broken UTF-8 becomes '?', and the line ends after 512 bytes.
// RFC 9051 section 9, text.
func AppendText(dst, text []byte) []byte {
	end := len(dst) + maxText
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			r = '?'
		}
		text = text[n:]
		if unicode.IsControl(r) {
			continue
		}
		if len(dst)+utf8.RuneLen(r) > end {
			break
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
