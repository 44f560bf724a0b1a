package imap

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestID(t *testing.T) {
	pairs := func(n int) string { return "(" + strings.TrimSpace(strings.Repeat(`"k" "v" `, n)) + ")" }
	tests := []struct {
		in   string
		want string // as AppendID writes it
		err  error
	}{
		{"NIL", "NIL", nil},
		{"nil", "NIL", nil},
		{"()", "NIL", nil},
		{`("name" "mutt" "os" nil)`, `("name" "mutt" "os" NIL)`, nil},
		{`( "a"  "" )`, `("a" "")`, nil},
		{"(\"a\" {3+}\r\nb\"\x01)", `("a" "b\"?")`, nil},
		{`("` + strings.Repeat("k", 31) + `" "v" "a" "b")`, `("a" "b")`, nil},
		{`("k" "` + strings.Repeat("v", 1025) + `" "a" "b")`, `("a" "b")`, nil},
		{pairs(31), pairs(30), nil},
		{"", "", ErrSyntax},
		{"(", "", ErrSyntax},
		{`("a")`, "", ErrSyntax},
		{`("a" "b"`, "", ErrSyntax},
		{`("a" "b") x`, "", ErrSyntax},
		{`(NIL "b")`, "", ErrSyntax},
		{`(a b)`, "", ErrSyntax},
	}
	for _, tt := range tests {
		got, err := ParseID([]byte(tt.in))
		if !errors.Is(err, tt.err) || err == nil && string(AppendID(nil, got)) != tt.want {
			t.Errorf("ParseID(%.60q) = %.60q, %v, want %.60q, %v", tt.in, AppendID(nil, got), err, tt.want, tt.err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add([]byte(`("name" "mutt" "os" NIL)`))
	f.Add([]byte("(\"a\" {1+}\r\nb)"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs, err := ParseID(b)
		if err != nil {
			return
		}
		if len(pairs) > maxIDPairs {
			t.Fatalf("%d pairs", len(pairs))
		}
		line := AppendID(nil, pairs)
		again, err := ParseID(line)
		if err != nil || len(again) != len(pairs) || !CanQuote(line) {
			t.Fatalf("ParseID(%q) of what AppendID wrote: %v", line, err)
		}
		if !slices.Equal(AppendID(nil, again), line) {
			t.Fatalf("%q is not read back as it was written", line)
		}
	})
}
