package imap

// Reply is a status line that a server sends. RFC 9051 section 7.1.
type Reply struct {
	Tag    []byte // nil is "*"
	Status Status
	Code   string // without brackets; "" is none
	Text   string
}

// AppendReply appends the line with its CRLF. Code and Text are clean already.
func AppendReply(dst []byte, r Reply) []byte {
	if len(r.Tag) == 0 {
		dst = append(dst, '*')
	} else {
		dst = append(dst, r.Tag...)
	}
	dst = append(dst, ' ')
	dst = append(dst, r.Status.String()...)
	dst = append(dst, ' ')
	if r.Code != "" {
		dst = append(dst, '[')
		dst = append(dst, r.Code...)
		dst = append(dst, "] "...)
	}
	dst = append(dst, r.Text...)
	return append(dst, "\r\n"...)
}
