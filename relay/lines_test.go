package relay

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// stream is what a naive reader of a whole stream finds.
type stream struct{ between, bye bool }

// naive reads the stream line by line and literal by literal.
func naive(b []byte) (s stream) {
	for fresh := true; ; {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			s.between = fresh && len(b) == 0
			return s
		}
		line := b[:i]
		b = b[i+1:]
		s.bye = s.bye || fresh && len(line) >= 5 && strings.EqualFold(string(line[:5]), "* BYE")
		n, ok := literal(strings.TrimRight(string(line), "\r"))
		fresh = !ok
		if uint64(len(b)) < n {
			return s // inside a literal
		}
		b = b[n:]
	}
}

// literal reads the "{n}" at the end of a line.
func literal(line string) (n uint64, ok bool) {
	open := strings.LastIndexByte(line, '{')
	if open < 0 || !strings.HasSuffix(line, "}") {
		return 0, false
	}
	digits := strings.TrimSuffix(line[open+1:len(line)-1], "+")
	if digits == "" {
		return 0, true // our reader takes "{}" for a literal of nothing
	}
	n, err := strconv.ParseUint(digits, 10, 59)
	if err != nil {
		return 0, false // no number, or none that a literal has
	}
	return n, true
}

var streams = []string{
	"", "* OK hi\r\n", "* OK hi", "* BYE gone\r\n", "* bye gone\r\na OK done\r\n", "* BYE", "* BY\r\n", "x* BYE\r\n",
	"* 1 FETCH (BODY[] {5}\r\n* BYE)\r\n", "* 1 FETCH (BODY[] {5}\r\n* BY", "* 1 FETCH (BODY[] {7}\r\n* BYE\r\n)\r\n",
	"* 1 FETCH (BODY[] {0}\r\n)\r\n", "* 1 FETCH (BODY[] {0}\r\n", "* 1 FETCH (BINARY[] ~{3}\r\nabc)\r\n",
	"* LIST () \"/\" {3+}\r\na\r\n\r\n", "* OK {x}\r\n* BYE\r\n", "* OK {5}x\r\n", "* OK {{3}\r\nabc\r\n", "* OK {12\r\n* BYE x\r\n",
	"* OK {3} {4}\r\nabcd\r\n", "* OK {5}\nabcde\n", "* X {99999999999999999999999}\r\n* BYE\r\n", "\r\n\r\n", "* BYE\n", "*\x00BYE\n",
}

func check(t *testing.T, in []byte, cut int) {
	t.Helper()
	var l lines
	for rest := in; len(rest) > 0; {
		n := min(cut, len(rest))
		l.follow(rest[:n])
		rest = rest[n:]
	}
	want := naive(in)
	if got := (stream{l.between(), l.bye}); got != want {
		t.Errorf("in pieces of %d: follow(%q) = %+v, want %+v", cut, in, got, want)
	}
}

func TestLinesAtEverySplit(t *testing.T) {
	for _, s := range streams {
		for cut := 1; cut <= len(s)+1; cut++ {
			check(t, []byte(s), cut)
		}
	}
}

func FuzzLines(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		if cut < 1 || cut > 1<<20 || bytes.Contains(in, []byte("\r\r")) || bytes.Contains(in, []byte("\r}")) {
			return // nothing that a server sends; the naive reader reads it otherwise
		}
		check(t, in, cut)
		check(t, in, len(in)+1)
	})
}

func BenchmarkLines(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"noop", "a1 OK NOOP completed\r\n"},
		{"literal", "* 1 FETCH (BODY[] {65536}\r\n" + strings.Repeat("x", 65536) + ")\r\na OK\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			var l lines
			text := []byte(c.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				l.follow(text)
			}
		})
	}
}
