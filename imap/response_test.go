package imap

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseResponse(t *testing.T) {
	type want struct {
		tag              string
		status           Status
		name, code, args string
		text             string
		err              error
	}
	tests := []struct {
		in string
		want
	}{
		{"* OK [CAPABILITY IMAP4rev1 ID] ready", want{"*", StatusOK, "", "CAPABILITY", "IMAP4rev1 ID", "ready", nil}},
		{"* ok hi", want{"*", StatusOK, "", "", "", "hi", nil}},
		{"* OK", want{"*", StatusOK, "", "", "", "", nil}},
		{"* PREAUTH hi", want{"*", StatusPREAUTH, "", "", "", "hi", nil}},
		{"* BYE [UNAVAILABLE] gone", want{"*", StatusBYE, "", "UNAVAILABLE", "", "gone", nil}},
		{"L NO [ALERT]", want{"L", StatusNO, "", "ALERT", "", "", nil}},
		{"L NO [broken", want{"L", StatusNO, "", "", "", "[broken", nil}},
		{`L NO [BADCHARSET ("x]\"y")] no`, want{"L", StatusNO, "", "BADCHARSET", `("x]\"y")`, "no", nil}},
		{"L BAD what", want{"L", StatusBAD, "", "", "", "what", nil}},
		{"* CAPABILITY IMAP4rev1", want{"*", StatusNone, "CAPABILITY", "", "", "IMAP4rev1", nil}},
		{"* 5 EXISTS", want{"*", StatusNone, "5", "", "", "EXISTS", nil}},
		{"* FLAGS [x] y", want{"*", StatusNone, "FLAGS", "", "", "[x] y", nil}},
		{"+ go on", want{"+", StatusNone, "", "", "", "go on", nil}},
		{"+", want{"+", StatusNone, "", "", "", "", nil}},
		{"+OK", want{"+", StatusNone, "", "", "", "OK", nil}},
		{"", want{err: ErrSyntax}},
		{"*", want{err: ErrSyntax}},
		{"L BYE no", want{err: ErrSyntax}},
		{"L PREAUTH no", want{err: ErrSyntax}},
		{"L FLAGS ()", want{err: ErrSyntax}},
		{"SSH-2.0-x\x01 OK y", want{err: ErrSyntax}},
		{"HTTP/1.1 400 Bad Request", want{err: ErrSyntax}},
	}
	for _, tt := range tests {
		r, err := ParseResponse([]byte(tt.in))
		got := want{string(r.Tag), r.Status, string(r.Name), string(r.Code), string(r.CodeArgs), string(r.Text), err}
		if got != tt.want {
			t.Errorf("ParseResponse(%q) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	f.Add([]byte("* OK [CAPABILITY IMAP4rev1 ID] ready"))
	f.Add([]byte(`L NO [BADCHARSET ("x]\"y")] no`))
	f.Add([]byte("+"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := ParseResponse(line)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatal(err)
			}
			return
		}
		if len(r.Tag) == 0 {
			t.Fatal("no tag")
		}
		for _, part := range [][]byte{r.Tag, r.Name, r.Code, r.CodeArgs, r.Text} {
			if !bytes.Contains(line, part) {
				t.Fatalf("%q is not in the line", part)
			}
		}
	})
}

func TestIsCode(t *testing.T) {
	if !IsCode([]byte("unavailable"), "UNAVAILABLE") || IsCode([]byte("UNAVAILABLE2"), "UNAVAILABLE") || IsCode(nil, "A") {
		t.Error("IsCode does not compare the whole word in any case")
	}
	if IsCode([]byte("LI\u212a"), "LIk") {
		t.Error("IsCode folds more than ASCII")
	}
}

func TestCapability(t *testing.T) {
	c := ParseCapability([]byte(" IMAP4rev1  STARTTLS auth=plain AUTH=LOGIN IDLE b(d LOGIN-REFERRALS "))
	for name, want := range map[string]bool{"imap4REV1": true, "IDLE": true, "AUTH=PLAIN": true, "AUTH=": false, "ID": false, "b(d": false} {
		if got := c.Has(name); got != want {
			t.Errorf("Has(%q) = %v, want %v", name, got, want)
		}
	}
	tests := []struct {
		drop []string
		want string
	}{
		{nil, "x IMAP4rev1 STARTTLS auth=plain AUTH=LOGIN IDLE LOGIN-REFERRALS"},
		{[]string{"starttls", "AUTH=", "LOGIN-REFERRALS"}, "x IMAP4rev1 IDLE"},
		{[]string{"IMAP4rev1", "LOGIN"}, "x STARTTLS auth=plain AUTH=LOGIN IDLE LOGIN-REFERRALS"},
	}
	for _, tt := range tests {
		if got := c.Append([]byte("x "), tt.drop...); string(got) != tt.want {
			t.Errorf("Append(%q) = %q, want %q", tt.drop, got, tt.want)
		}
	}
}

func TestCapabilityEmpty(t *testing.T) {
	for _, c := range []Capability{{}, ParseCapability(nil), ParseCapability([]byte(" ( "))} {
		if !c.Empty() || c.Has("") || len(c.Append(nil)) > 0 {
			t.Errorf("%+v is not empty", c)
		}
	}
}

func TestCapabilityIsBounded(t *testing.T) {
	c := ParseCapability([]byte(strings.Repeat("ABC ", 500)))
	if n := len(strings.Fields(string(c.Append(nil)))); n != maxCapabilityWords {
		t.Errorf("%d words, want %d", n, maxCapabilityWords)
	}
	if n := len(ParseCapability(bytes.Repeat([]byte("A"), 10_000)).Append(nil)); n > maxCapabilityBytes {
		t.Errorf("%d bytes, want at most %d", n, maxCapabilityBytes)
	}
}

func FuzzCapability(f *testing.F) {
	f.Add([]byte("IMAP4rev1 AUTH=PLAIN IDLE"))
	f.Fuzz(func(t *testing.T, list []byte) {
		c := ParseCapability(list)
		line := c.Append(nil)
		if again := ParseCapability(line); again != c {
			t.Fatalf("%q is read back as %q", c, again)
		}
		if len(line) > maxCapabilityBytes || !CanQuote(line) {
			t.Fatalf("line %q", line)
		}
		for word := range strings.FieldsSeq(string(line)) {
			if !c.Has(word) {
				t.Fatalf("Has(%q) = false", word)
			}
		}
	})
}

func TestAppendText(t *testing.T) {
	tests := []struct{ in, want string }{
		{"Logged in", "Logged in"},
		{"a\r\nb\x00\x7fc\u0085", "abc"},
		{"über\xff", "über?"},
		{"", ""},
	}
	for _, tt := range tests {
		if got := AppendText([]byte("x "), []byte(tt.in)); string(got) != "x "+tt.want {
			t.Errorf("AppendText(%q) = %q, want %q", tt.in, got, "x "+tt.want)
		}
	}
	if got := AppendText(nil, []byte(strings.Repeat("é", 300))); len(got) != maxText || !utf8.Valid(got) {
		t.Errorf("%d bytes, want %d of whole characters", len(got), maxText)
	}
}
