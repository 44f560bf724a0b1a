package stats

import "testing"

// Whatever is typed behind "explain user": a question with a user, or a text.
func FuzzQuestion(f *testing.F) {
	f.Add("alice mail from 192.0.2.7 sni imap.example.org bind :993")
	f.Add("alice from ::ffff:192.0.2.7")
	f.Add("alice bind bind")
	f.Add("alice from fe80::1%eth0 from 1.2.3.4")
	f.Add("")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := appendWords(nil, line, maxWords)
		if err != nil {
			return
		}
		q, bad := parseQuestion(words)
		switch {
		case bad != "":
			if len(words) == 1 && words[0] != "" {
				t.Errorf("a user alone is refused: %s", bad)
			}
		case q.User == "" || q.User != words[0]:
			t.Errorf("asked of %q, want %q", q.User, words[0])
		case q.From.Zone() != "" || q.From.Is4In6():
			t.Errorf("the address %s is not one that clients are known by", q.From)
		}
	})
}
