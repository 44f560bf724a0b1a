package imap

import "testing"

func TestAppendReply(t *testing.T) {
	tests := []struct {
		r    Reply
		want string
	}{
		{Reply{Status: StatusBYE, Text: "Bye."}, "* BYE Bye.\r\n"},
		{Reply{Tag: []byte("a1"), Status: StatusNO, Code: "LIMIT", Text: "Later."}, "a1 NO [LIMIT] Later.\r\n"},
	}
	for _, tt := range tests {
		if got := AppendReply(nil, tt.r); string(got) != tt.want {
			t.Errorf("AppendReply(%v) = %q, want %q", tt.r, got, tt.want)
		}
	}
}
