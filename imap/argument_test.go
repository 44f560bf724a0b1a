package imap

import (
	"bytes"
	"errors"
	"testing"
)

func TestConsumeAstring(t *testing.T) {
	tests := []struct {
		in, value string
		n         int
		err       error
	}{
		{"alice x", "alice", 5, nil},
		{"a]b+c%d*e\\f)", "a]b+c%d*e\\f", 11, nil},
		{`"al ice" x`, "al ice", 8, nil},
		{`"" x`, "", 2, nil},
		{`"a\"b\\c"`, `a"b\c`, 9, nil},
		{"\"\xe9\"", "\xe9", 3, nil},
		{"{5}\r\nal\r\ne x", "al\r\ne", 10, nil},
		{"{5+}\nalice", "alice", 10, nil},
		{"{0}\r\n x", "", 5, nil},
		{"", "", 0, ErrSyntax},
		{" a", "", 0, ErrSyntax},
		{"(a", "", 0, ErrSyntax},
		{"\xe9", "", 0, ErrSyntax},
		{`"a\b"`, "", 0, ErrSyntax},
		{`"a\`, "", 0, ErrSyntax},
		{`"a`, "", 0, ErrSyntax},
		{"\"a\r\n\"", "", 0, ErrSyntax},
		{"\"a\x00\"", "", 0, ErrSyntax},
		{"{5}\r\nal", "", 0, ErrSyntax},
		{"{2}\r\na\x00", "", 0, ErrSyntax},
		{"{x{2}\r\nab", "", 0, ErrSyntax},
		{"{2}", "", 0, ErrSyntax},
	}
	for _, tt := range tests {
		value, n, err := ConsumeAstring([]byte(tt.in))
		if string(value) != tt.value || n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("ConsumeAstring(%q) = %q, %d, %v, want %q, %d, %v", tt.in, value, n, err, tt.value, tt.n, tt.err)
		}
	}
}

// What one end writes, the other reads back.
func FuzzStrings(f *testing.F) {
	f.Add([]byte(`se"sa\me`))
	f.Add([]byte("{5}\r\n"))
	f.Add([]byte{0, 0x80})
	f.Fuzz(func(t *testing.T, s []byte) {
		if value, n, err := ConsumeAstring(s); err == nil && (n == 0 || n > len(s) || len(value) > n) {
			t.Fatalf("ConsumeAstring(%q) = %q, %d", s, value, n)
		}
		if CanQuote(s) {
			q := AppendQuoted(nil, s)
			if got, n, err := ConsumeString(q); err != nil || n != len(q) || !bytes.Equal(got, s) {
				t.Errorf("%q quoted is read as %q, %d, %v", s, got, n, err)
			}
		}
		l := AppendLiteral(nil, s)
		got, n, err := ConsumeString(l)
		if hasNUL := bytes.IndexByte(s, 0) >= 0; hasNUL != (err != nil) {
			t.Errorf("literal %q: %v", s, err)
		} else if !hasNUL && (n != len(l) || !bytes.Equal(got, s)) {
			t.Errorf("literal %q is read as %q, %d", s, got, n)
		}
	})
}

func TestCanQuote(t *testing.T) {
	for s, want := range map[string]bool{"": true, "a\"\\b~\x7f": true, "a\rb": false, "a\nb": false, "\x00": false, "é": false} {
		if got := CanQuote([]byte(s)); got != want {
			t.Errorf("CanQuote(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestAppendLiteralHeader(t *testing.T) {
	if got := AppendLiteralHeader([]byte("x "), 42); string(got) != "x {42}\r\n" {
		t.Errorf("AppendLiteralHeader = %q", got)
	}
}
