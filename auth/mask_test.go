package auth

import "testing"

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		mask, s string
		want    bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "alice", true}, {"**", "a", true},
		{"alice", "alice", true}, {"alice", "Alice", false}, {"al?ce", "alice", true}, {"al?ce", "alce", false},
		{"*@example.org", "bob@example.org", true}, {"*@example.org", "bob@example.org.evil", false},
		{"admin*", "admin", true}, {"admin*", "administrator", true}, {"admin*", "myadmin", false},
		{"*.example.org", "mail.example.org", true}, {"*.example.org", "example.org", false},
		{"a*b*c", "aXbXbYc", true}, {"a*b*c", "aXcXb", false}, {"?", "", false}, {"a?", "a", false},
	} {
		if got := Match(c.mask, c.s); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.mask, c.s, got, c.want)
		}
	}
}
