package imap

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestConsumeLine(t *testing.T) {
	tests := []struct {
		in   string
		line string
		n    int
		err  error
	}{
		{"", "", 0, nil},
		{"abc", "", 0, nil},
		{"abc\r", "", 0, nil},
		{"abc\r\nd", "abc", 5, nil},
		{"abc\nd", "abc", 4, nil},
		{"\r\n", "", 2, nil},
		{"12345678\n", "12345678", 9, nil},
		{"12345678", "", 0, nil},
		{"123456789", "", 0, ErrLineTooLong},
		{"123456789\n", "", 0, ErrLineTooLong},
	}
	for _, tt := range tests {
		line, n, err := ConsumeLine([]byte(tt.in), 8)
		if string(line) != tt.line || n != tt.n || !errors.Is(err, tt.err) {
			t.Errorf("ConsumeLine(%q) = %q, %d, %v, want %q, %d, %v", tt.in, line, n, err, tt.line, tt.n, tt.err)
		}
	}
}

func FuzzConsumeLine(f *testing.F) {
	f.Add([]byte("a NOOP\r\nb"), 8192)
	f.Add([]byte("\n"), 0)
	f.Fuzz(func(t *testing.T, b []byte, limit int) {
		line, n, err := ConsumeLine(b, limit)
		switch {
		case n > len(b) || n > 0 && err != nil:
			t.Fatalf("n = %d of %d, err %v", n, len(b), err)
		case n > 0 && (b[n-1] != '\n' || bytes.IndexByte(line, '\n') >= 0 || !bytes.HasPrefix(b, line)):
			t.Fatalf("line %q, n %d", line, n)
		case n == 0 && err == nil && len(b) > max(limit, 0):
			t.Fatal("an endless line is not refused")
		}
	})
}

func BenchmarkConsumeLine(b *testing.B) {
	in := []byte("a1 LOGIN alice@example.com sesame\r\n" + strings.Repeat("a2 NOOP\r\n", 10))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := in; len(rest) > 0; {
			_, n, _ := ConsumeLine(rest, 8192)
			rest = rest[n:]
		}
	}
}
