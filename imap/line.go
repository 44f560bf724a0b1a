// Package imap reads and writes the IMAP that a proxy must understand to log a
// user in: lines, commands with their literals, server responses, CAPABILITY
// and ID. RFC 9051, RFC 3501, RFC 7888, RFC 2971. It holds no sockets,
// goroutines or clocks, and it knows nothing of mailboxes and messages: after
// the login a session is bytes.
//
// Readers are Consume… and Parse…; what they return aliases their input unless
// they say otherwise. Writers are Append….
package imap

import (
	"bytes"
	"errors"
)

var (
	// ErrLineTooLong says that a line or command is longer than its limit.
	ErrLineTooLong = errors.New("imap: line too long")

	// ErrSyntax says that the bytes are not what the grammar of RFC 9051
	// section 9 wants here. It never quotes them: they may hold a password.
	ErrSyntax = errors.New("imap: syntax error")
)

// ConsumeLine returns the first line of b without its CRLF, and n, the bytes
// it occupies including the CRLF. n == 0 with a nil error means b holds no
// complete line yet: call again with the same bytes and more. The line aliases
// b. A bare LF ends a line too. limit is in bytes, the LF not counted; a longer
// line is ErrLineTooLong. RFC 9051 section 2.2.
func ConsumeLine(b []byte, limit int) (line []byte, n int, err error) {
	i := bytes.IndexByte(b, '\n')
	if i > limit || i < 0 && len(b) > limit {
		return nil, 0, ErrLineTooLong
	}
	if i < 0 {
		return nil, 0, nil
	}
	return bytes.TrimSuffix(b[:i], []byte("\r")), i + 1, nil
}
