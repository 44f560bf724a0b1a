package imap

import "bytes"

// Status is the condition that a response tells. RFC 9051 section 7.1.
type Status uint8

// The conditions. PREAUTH and BYE are always untagged.
const (
	StatusNone Status = iota // data such as CAPABILITY, or "+"
	StatusOK
	StatusNO
	StatusBAD
	StatusBYE
	StatusPREAUTH
)

var statusNames = [...]string{"", "OK", "NO", "BAD", "BYE", "PREAUTH"}

// String returns the word on the wire, "" for StatusNone.
func (s Status) String() string { return statusNames[s] }

// Response is one line from a server. All slices alias the line.
// RFC 9051 section 7.
type Response struct {
	Tag      []byte // "*", "+" or the tag
	Status   Status // StatusNone for data such as CAPABILITY and for "+"
	Name     []byte // word behind "*" of data ("CAPABILITY", "ID", "5"); empty otherwise
	Code     []byte // response code without brackets and arguments, "UNAVAILABLE"; nil if none
	CodeArgs []byte // rest inside the brackets, such as the capability list
	Text     []byte // human text behind the code, or the data behind Name, or what follows "+ "
}

// ParseResponse reads a line without its CRLF. It is lenient where servers
// are sloppy (no text, no bracket at the end of a code, "+" without a space)
// and gives ErrSyntax for what has no tag or no condition.
func ParseResponse(line []byte) (Response, error) {
	if len(line) > 0 && line[0] == '+' {
		return Response{Tag: line[:1], Text: bytes.TrimPrefix(line[1:], []byte(" "))}, nil
	}
	tag, rest, _ := bytes.Cut(line, []byte(" "))
	word, text, _ := bytes.Cut(rest, []byte(" "))
	untagged := len(tag) == 1 && tag[0] == '*'
	if !untagged && !ValidTag(tag) || len(word) == 0 {
		return Response{}, ErrSyntax
	}
	r := Response{Tag: tag, Status: status(word), Text: text}
	switch {
	case !untagged && (r.Status < StatusOK || r.Status > StatusBAD):
		return Response{}, ErrSyntax
	case r.Status == StatusNone:
		r.Name = word
		return r, nil
	}
	r.splitCode()
	return r, nil
}

func status(word []byte) Status {
	for i, name := range statusNames {
		if i > 0 && equalFold(word, name) {
			return Status(i)
		}
	}
	return StatusNone
}

// splitCode takes "[CODE args]" off the front of Text. A bracket inside a
// quoted string does not end the code.
func (r *Response) splitCode() {
	if len(r.Text) == 0 || r.Text[0] != '[' {
		return
	}
	end := -1
	quoted := false
	for i := 1; i < len(r.Text) && end < 0; i++ {
		switch c := r.Text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ']' && !quoted:
			end = i
		}
	}
	if end < 0 {
		return
	}
	r.Code, r.CodeArgs, _ = bytes.Cut(r.Text[1:end], []byte(" "))
	r.Text = bytes.TrimPrefix(r.Text[end+1:], []byte(" "))
}

// IsCode reports whether a response code is the wanted one, in any case.
func IsCode(code []byte, want string) bool { return equalFold(code, want) }
