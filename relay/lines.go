package relay

import "bytes"

// lines follows the server's stream just far enough to know whether a line may
// be put in: not in the middle of a line, and not in a literal, where it would
// become part of a message. RFC 9051 section 4.3. A literal is skipped as a
// whole, so following a large message costs nothing.
type lines struct {
	literal uint64 // bytes of a literal still to come; in a line, what is inside its "{"
	at      brace  // how far the end of the line looks like "{literal}"
	inside  bool   // of a literal
	col     uint8  // bytes of the line seen, as far as byePrefix matches
	inLine  bool   // the last byte was not a line feed
	bye     bool   // the server, or we, have said BYE
}

// brace is where the tail of a line stands in "{" digits ["+"] "}" [CR].
type brace uint8

const (
	noBrace brace = iota
	opened        // "{" and perhaps digits
	plus          // "{" digits "+"
	closed        // "}" and perhaps CR
)

const (
	byePrefix = "* BYE"
	noMatch   = uint8(255)
	// maxLiteral is what a literal may announce (RFC 9051: number64). More
	// digits are no literal.
	maxLiteral = 1 << 63
)

// between reports whether a line may be put in.
func (l *lines) between() bool { return !l.inside && !l.inLine }

// follow takes the next bytes of the stream.
func (l *lines) follow(b []byte) {
	for len(b) > 0 {
		if l.inside {
			n := min(l.literal, uint64(len(b)))
			l.literal -= n
			l.inside = l.literal > 0
			b = b[n:]
			continue
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.part(b)
			l.inLine = true
			return
		}
		l.part(b[:i])
		b = b[i+1:]
		l.lineEnd()
	}
}

// lineEnd closes a line, and opens the literal that its end announced. What
// follows a literal is still the same line, but for a BYE that makes no
// difference: it is not between lines until a line feed comes.
func (l *lines) lineEnd() {
	l.bye = l.bye || l.col == uint8(len(byePrefix))
	l.inLine = false
	l.col = 0
	if l.at == closed {
		l.inside = l.literal > 0
		l.inLine = true
		l.col = noMatch
	}
	l.at = noBrace
}

// part takes bytes of a line, without its line feed.
func (l *lines) part(b []byte) {
	for i := 0; l.col < uint8(len(byePrefix)) && i < len(b); i++ {
		if upper(b[i]) != byePrefix[l.col] {
			l.col = noMatch
			break
		}
		l.col++
	}
	if i := bytes.LastIndexByte(b, '{'); i >= 0 {
		l.at, l.literal = opened, 0
		b = b[i+1:]
	}
	for _, c := range b {
		if l.at == noBrace {
			return
		}
		l.tail(c)
	}
}

// upper folds the case of a letter and leaves all else alone.
func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// tail advances the recognition of "{literal}" by a byte.
func (l *lines) tail(c byte) {
	switch {
	case l.at == opened && c >= '0' && c <= '9' && l.literal < maxLiteral/10:
		l.literal = l.literal*10 + uint64(c-'0')
	case l.at == opened && c == '+':
		l.at = plus
	case (l.at == opened || l.at == plus) && c == '}':
		l.at = closed
	case l.at == closed && c == '\r':
	default:
		l.at = noBrace
	}
}
