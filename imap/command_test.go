package imap

import (
	"errors"
	"strings"
	"testing"
)

// scan finds the first command of b offered in growing pieces of step bytes,
// takes every literal up to 100 bytes, and returns its length.
func scan(b []byte, step, limit int) (n, literals int, err error) {
	var s Scanner
	for end := min(step, len(b)); ; end = min(end+step, len(b)) {
		for {
			n, lit, err := s.Next(b[:end], limit)
			switch {
			case err != nil:
				return 0, literals, err
			case n > 0 && !lit.Found:
				return n, literals, nil
			case n > 0 && (lit.Size > 100 || n+lit.Size > limit):
				return 0, literals, ErrSyntax
			}
			if n == 0 {
				break
			}
			literals++
			s.Accept(n, lit)
		}
		if end == len(b) {
			return 0, literals, nil
		}
	}
}

func TestScanner(t *testing.T) {
	tests := []struct {
		name, in    string
		n, literals int
		err         error
	}{
		{"line", "a NOOP\r\nb NOOP\r\n", 8, 0, nil},
		{"bare LF", "a NOOP\nb", 7, 0, nil},
		{"incomplete", "a NOOP\r", 0, 0, nil},
		{"literals", "a LOGIN {5}\r\nal\r\ne {0+}\r\n\r\nb", 27, 2, nil},
		{"literal incomplete", "a LOGIN {5}\r\nal\r\n", 0, 1, nil},
		{"line end in a literal", "a LOGIN {4+}\r\n{3}\n x\r\n", 22, 1, nil},
		{"no literal", "a LOGIN {x5}\r\n", 14, 0, nil},
		{"no literal either", "a LOGIN 5}\r\n", 12, 0, nil},
		{"huge", "a LOGIN {99999999999999999999}\r\n", 0, 0, ErrSyntax},
		{"leading zeros", "a LOGIN {0000000000000001}\r\nx\r\n", 31, 1, nil},
		{"endless", strings.Repeat("x", 41), 0, 0, ErrLineTooLong},
		{"endless with a literal", "a LOGIN {20+}\r\n" + strings.Repeat("x", 27), 0, 1, ErrLineTooLong},
	}
	for _, tt := range tests {
		for step := 1; step <= len(tt.in); step++ {
			n, literals, err := scan([]byte(tt.in), step, 40)
			if n != tt.n || literals != tt.literals || !errors.Is(err, tt.err) {
				t.Errorf("%s by %d: scan(%q) = %d, %d literals, %v, want %d, %d, %v",
					tt.name, step, tt.in, n, literals, err, tt.n, tt.literals, tt.err)
			}
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add([]byte("a LOGIN {5}\r\nal\r\ne {0+}\r\n\r\nb"), 3)
	f.Add([]byte("a LOGIN {99999999999999999999+}\r\n"), 1)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		step = 1 + (step&0xff+0xff)%0xff
		n, literals, err := scan(b, len(b)+1, 300)
		n2, literals2, err2 := scan(b, step, 300)
		if n != n2 || literals != literals2 || !errors.Is(err2, err) {
			t.Errorf("whole %d, %d, %v, by %d: %d, %d, %v", n, literals, err, step, n2, literals2, err2)
		}
		if n > 301 {
			t.Errorf("a command of %d bytes passed", n)
		}
	})
}

func TestParseCommand(t *testing.T) {
	long := strings.Repeat("t", 126)
	tests := []struct{ in, tag, name, args string }{
		{"a1 NOOP\r\n", "a1", "NOOP", ""},
		{"a1 login a b\n", "a1", "login", "a b"},
		{".]! ID (\"a\" NIL)\r\n", ".]!", "ID", `("a" NIL)`},
		{"a1\r\n", "a1", "", ""},
		{"\r\n", "", "", ""},
		{" NOOP\r\n", "", "", ""},
		{"+ NOOP\r\n", "", "", ""},
		{"* NOOP\r\n", "", "", ""},
		{"a(b NOOP\r\n", "", "", ""},
		{"a\x80 NOOP\r\n", "", "", ""},
		{long + " NOOP\r\n", long, "NOOP", ""},
		{long + "t NOOP\r\n", "", "", ""},
	}
	for _, tt := range tests {
		c := ParseCommand([]byte(tt.in))
		if string(c.Tag) != tt.tag || string(c.Name) != tt.name || string(c.Args) != tt.args {
			t.Errorf("ParseCommand(%q) = %q %q %q, want %q %q %q", tt.in, c.Tag, c.Name, c.Args, tt.tag, tt.name, tt.args)
		}
	}
}

func BenchmarkCommand(b *testing.B) {
	in := []byte("a1 LOGIN {17+}\r\nalice@example.com \"sesame\"\r\n")
	args := 0
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var s Scanner
		n, lit, _ := s.Next(in, 8192)
		s.Accept(n, lit)
		n, _, _ = s.Next(in, 8192)
		c := ParseCommand(in[:n])
		_, k, _ := ConsumeAstring(c.Args)
		_, k2, _ := ConsumeAstring(c.Args[k+1:])
		args = k + k2
	}
	if want := len("{17+}\r\nalice@example.com") + len(`"sesame"`); args != want {
		b.Fatalf("read %d bytes, want %d", args, want)
	}
}
