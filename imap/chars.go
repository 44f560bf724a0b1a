package imap

// Classes of bytes, as bits of classes.
const (
	isAtom byte = 1 << iota // ATOM-CHAR
	isTag                   // may stand in a tag: ASTRING-CHAR without "+"
	isArg                   // may stand in an unquoted argument
)

// classes says what a byte may stand in. RFC 9051 section 9: atom-specials are
// "(" ")" "{" SP CTL "%" "*" quoted-specials "]"; bytes above 0x7e are none.
var classes = func() (t [256]byte) {
	const atomSpecials = "(){ %*\"\\]"
	for c := '!'; c <= '~'; c++ {
		t[c] = isAtom | isTag | isArg
	}
	for _, c := range atomSpecials {
		t[c] = 0
	}
	for _, c := range `%*\]` {
		t[c] = isArg
	}
	t[']'] |= isTag
	t['+'] &^= isTag
	return t
}()

// all reports whether s is not empty and every byte is of the class.
func all(s []byte, class byte) bool {
	for _, c := range s {
		if classes[c]&class == 0 {
			return false
		}
	}
	return len(s) > 0
}

// equalFold compares as IMAP does: only the case of ASCII letters is ignored.
func equalFold[S []byte | string](s S, word string) bool {
	if len(s) != len(word) {
		return false
	}
	for i := range len(s) {
		if lower(s[i]) != lower(word[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
