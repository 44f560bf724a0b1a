package imap

import (
	"bytes"
	"strings"
)

// Bounds of a capability list. Dovecot's has some 45 words and 500 bytes.
const (
	maxCapabilityWords = 128
	maxCapabilityBytes = 4096
)

// Capability is a set of capability names in the order of the list it was read
// from. The zero value is empty. Immutable. RFC 9051 section 7.2.2.
type Capability struct {
	words string // separated by one space
}

// ParseCapability reads names separated by spaces. Names that are no atoms are
// left out, and so is what comes behind 128 names or 4096 bytes. Nothing of
// list is kept.
func ParseCapability(list []byte) Capability {
	list = list[:min(len(list), maxCapabilityBytes)]
	var words strings.Builder
	words.Grow(len(list))
	for n := 0; n < maxCapabilityWords && len(list) > 0; {
		var word []byte
		word, list, _ = bytes.Cut(list, []byte(" "))
		if !all(word, isAtom) {
			continue
		}
		if n > 0 {
			words.WriteByte(' ')
		}
		words.Write(word)
		n++
	}
	return Capability{words.String()}
}

// Has reports whether name is in the set, in any case.
func (c Capability) Has(name string) bool {
	for word := range strings.SplitSeq(c.words, " ") {
		if name != "" && equalFold(word, name) {
			return true
		}
	}
	return false
}

// Empty reports whether the set has no name.
func (c Capability) Empty() bool { return c.words == "" }

// Append appends the names separated by spaces, without those in drop. A drop
// that ends in "=" leaves out every name that begins with it.
func (c Capability) Append(dst []byte, drop ...string) []byte {
	start := len(dst)
	for word := range strings.SplitSeq(c.words, " ") {
		if dropped(word, drop) {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, word...)
	}
	return dst
}

func dropped(word string, drop []string) bool {
	for _, d := range drop {
		if strings.HasSuffix(d, "=") && len(word) >= len(d) && equalFold(word[:len(d)], d) {
			return true
		}
		if equalFold(word, d) {
			return true
		}
	}
	return false
}
