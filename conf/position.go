package conf

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// The TOML library reads the values but keeps the lines to itself, so they are
// found by a second, much coarser reading of a text the library has accepted.
// On a text that is no TOML the positions are of no use, but finite.

// maxNesting is how deep values may nest before the scanner gives up.
const maxNesting = 64

// position is where a key first stands: its line, and its rank among all keys.
type position struct{ line, rank int }

// positions maps each path, spelt as [keyPath] and [indexPath] do, to where it
// first stands.
type positions map[string]position

// keyPath is the path of a key within the table at path: "a.b", or `a."b c"`
// if the key is not a bare one.
func keyPath(path, key string) string {
	quoted := toml.Key{key}.String()
	if path == "" {
		return quoted
	}
	return path + "." + quoted
}

// indexPath is the path of an element, counted from 0, of the array at path.
func indexPath(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

// scanner reads TOML just well enough to tell keys from values.
type scanner struct {
	src   string
	pos   int
	line  int
	found positions
	count map[string]int // elements so far of each array of tables
}

// scanPositions finds the line of every key of src, which the TOML library has
// accepted.
func scanPositions(src string) positions {
	src = strings.TrimPrefix(src, "\ufeff") // a byte order mark, which the library passes too
	s := &scanner{src: src, line: 1, found: positions{}, count: map[string]int{}}
	table := ""
	for s.skip(" \t\r\n"); s.pos < len(s.src); s.skip(" \t\r\n") {
		start := s.pos
		if s.src[s.pos] == '[' {
			table = s.header()
		} else {
			s.keyValue(table, 0)
		}
		if s.pos == start {
			break // no TOML
		}
	}
	return s.found
}

// skip passes the bytes of set, and comments.
func (s *scanner) skip(set string) {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		switch {
		case c == '#':
			s.until("\n")
		case strings.IndexByte(set, c) >= 0:
			s.advance(1)
		default:
			return
		}
	}
}

// until passes everything before the first byte of set.
func (s *scanner) until(set string) {
	n := strings.IndexAny(s.src[s.pos:], set)
	if n < 0 {
		n = len(s.src) - s.pos
	}
	s.advance(n)
}

// advance passes n bytes and counts the lines among them.
func (s *scanner) advance(n int) {
	n = min(n, len(s.src)-s.pos)
	s.line += strings.Count(s.src[s.pos:s.pos+n], "\n")
	s.pos += n
}

// at reports whether the text goes on with prefix.
func (s *scanner) at(prefix string) bool {
	return strings.HasPrefix(s.src[s.pos:], prefix)
}

// note records that path is here, unless it was met before.
func (s *scanner) note(path string) {
	if _, met := s.found[path]; !met {
		s.found[path] = position{s.line, len(s.found)}
	}
}

// header passes "[a.b]" or "[[a.b]]" and returns the path of its table.
func (s *scanner) header() string {
	array := s.at("[[")
	s.advance(1)
	if array {
		s.advance(1)
	}
	parts := s.key()
	s.until("\n") // the brackets behind the key, and a comment
	table := ""
	for i, part := range parts {
		path := keyPath(table, part)
		s.note(path)
		if last := i == len(parts)-1; last && array {
			s.count[path]++
		}
		if n := s.count[path]; n > 0 {
			path = indexPath(path, n-1)
			s.note(path)
		}
		table = path
	}
	return table
}

// keyValue passes "a.b = value" within the table at path.
func (s *scanner) keyValue(path string, depth int) {
	for _, part := range s.key() {
		path = keyPath(path, part)
		s.note(path)
	}
	s.skip(" \t")
	if s.at("=") {
		s.advance(1)
		s.skip(" \t")
		s.value(path, depth)
	}
}

// key passes a dotted key and the blanks around it and returns its parts.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.skip(" \t")
		start := s.pos
		switch {
		case s.at(`"`):
			parts = append(parts, unquoteKey(s.string(`"`)))
		case s.at("'"):
			parts = append(parts, strings.Trim(s.string("'"), "'"))
		default:
			s.until(" \t\r\n.=]\"'#[{},")
			parts = append(parts, s.src[start:s.pos])
		}
		s.skip(" \t")
		if s.pos == start || !s.at(".") {
			return parts
		}
		s.advance(1)
	}
}

// unquoteKey reads a basic string the way the library does.
func unquoteKey(quoted string) string {
	var v struct{ Key string }
	if _, err := toml.Decode("Key = "+quoted, &v); err != nil {
		return quoted // no TOML
	}
	return v.Key
}

// value passes any value; the keys inside it stand below path.
func (s *scanner) value(path string, depth int) {
	switch {
	case depth > maxNesting:
		s.advance(len(s.src))
	case s.at(`"""`), s.at("'''"):
		s.string(s.src[s.pos : s.pos+3])
	case s.at(`"`), s.at("'"):
		s.string(s.src[s.pos : s.pos+1])
	case s.at("["):
		s.array(path, depth+1)
	case s.at("{"):
		s.inlineTable(path, depth+1)
	default:
		s.until(",]}#\r\n")
	}
}

// string passes a string with its quotes, which are given, and returns it.
func (s *scanner) string(quote string) string {
	start := s.pos
	s.advance(len(quote))
	for s.pos < len(s.src) && !s.at(quote) {
		if quote[0] == '"' && s.at(`\`) {
			s.advance(1)
		}
		s.advance(1)
	}
	s.advance(len(quote))
	if len(quote) == 3 { // up to two quotes may stand before the closing three
		for range 2 {
			if s.at(quote[:1]) {
				s.advance(1)
			}
		}
	}
	return s.src[start:s.pos]
}

// array passes "[ value, … ]".
func (s *scanner) array(path string, depth int) {
	s.advance(1)
	for i := 0; s.pos < len(s.src); i++ {
		s.skip(" \t\r\n,")
		if s.at("]") {
			s.advance(1)
			return
		}
		start := s.pos
		element := indexPath(path, i)
		s.note(element)
		s.value(element, depth)
		if s.pos == start {
			return // no TOML
		}
	}
}

// inlineTable passes "{ key = value, … }".
func (s *scanner) inlineTable(path string, depth int) {
	s.advance(1)
	for s.pos < len(s.src) {
		s.skip(" \t\r\n,")
		if s.at("}") {
			s.advance(1)
			return
		}
		start := s.pos
		s.keyValue(path, depth)
		if s.pos == start {
			return // no TOML
		}
	}
}
