package imap

import "bytes"

// maxLiteralDigits keeps a literal's size below the range of an int on every system.
const maxLiteralDigits = 9

// Literal is what a line announces at its end. RFC 9051 section 4.3,
// RFC 7888 section 3.
type Literal struct {
	Found bool
	Sync  bool // {n}: the client waits for "+" before it sends the bytes
	Size  int  // bytes; a number of more than 9 digits is 999,999,999
}

// Scanner finds the end of a command whose bytes arrive in pieces. It keeps
// positions, not bytes: the caller offers everything from the command's first
// byte each time, and what was looked at once is not looked at again. The zero
// value is at the start of a command. It is owned by whoever owns the bytes.
type Scanner struct {
	line int32 // where the present line begins
	seen int32 // no line end before this
}

// Next looks for the end of the present line. n is the bytes from the start of
// the command to there, 0 if the line is not complete. If it announces a
// literal, the command goes on: accept it with Accept and call Next again, or
// refuse it. If not, b[:n] is the whole command. limit is in bytes and holds
// for the command from its first byte to its last LF, that LF not counted.
func (s *Scanner) Next(b []byte, limit int) (n int, lit Literal, err error) {
	from := min(int(s.seen), len(b))
	i := bytes.IndexByte(b[from:], '\n')
	switch {
	case i < 0 && len(b) > limit, i >= 0 && from+i > limit:
		return 0, Literal{}, ErrLineTooLong
	case i < 0:
		s.seen = max(s.seen, int32(len(b)))
		return 0, Literal{}, nil
	}
	n = from + i + 1
	line := bytes.TrimSuffix(b[s.line:n-1], []byte("\r"))
	return n, trailingLiteral(line), nil
}

// Accept counts the literal that the line ending at n announced as part of the
// command. The caller has checked that it keeps the command below its limit.
func (s *Scanner) Accept(n int, lit Literal) {
	s.line = int32(n + lit.Size)
	s.seen = s.line
}

// trailingLiteral reads "{n}" or "{n+}" at the end of a line.
func trailingLiteral(line []byte) Literal {
	end := len(line) - 1
	if end < 2 || line[end] != '}' {
		return Literal{}
	}
	lit := Literal{Found: true, Sync: true}
	if line[end-1] == '+' {
		lit.Sync = false
		end--
	}
	start := end
	for start > 0 && '0' <= line[start-1] && line[start-1] <= '9' {
		start--
	}
	if start == end || start == 0 || line[start-1] != '{' {
		return Literal{}
	}
	digits := bytes.TrimLeft(line[start:end], "0")
	if len(digits) > maxLiteralDigits {
		digits = []byte("999999999")
	}
	for _, c := range digits {
		lit.Size = lit.Size*10 + int(c-'0')
	}
	return lit
}
