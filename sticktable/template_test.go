package sticktable

import (
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	long := strings.Repeat("u", 255)
	for _, c := range []struct{ template, user, want string }{
		{"{user}", "alice", "alice"},
		{"{user|lower}", "ALICE", "alice"},
		{"{user|upper}", "alice", "ALICE"},
		{"{user|domain}", "a@b@example.org", "example.org"},
		{"{user|domain}", "alice", "alice"},
		{"{user|local}", "a@b@example.org", "a@b"},
		{"{user|local}", "alice", "alice"},
		{"{user|strip '*'}", "alice*master", "alice"},
		{"{user|strip '*'}", "alice", "alice"},
		{"{user|before '+'}@{user|domain}", "alice+lists@example.org", "alice@example.org"},
		{"{user|local|before '+'}@{user|domain}", "alice@example.org", "alice@example.org"},
		{"{user|after '%'}", "master%alice", "alice"},
		{"{user|after '%'}", "alice", "alice"},
		{"{ user | lower | strip '*' }", "Alice*Master", "alice"},
		{"{user|strip '||'|strip '}'}", "a}b||c", "a"},
		{"t-{user}-{user|domain}", "a@b", "t-a@b-b"},
		{"{user|strip '*'}", "*master", "*master"}, // nothing is left
		{"{user|local}", "@example.org", "@example.org"},
		{"{user}{user}{user}", long, long}, // more than a key may have
	} {
		tb := New("t", Config{Key: c.template, Size: 1}, "lb1")
		if got := tb.KeyOf(c.user); got != c.want {
			t.Errorf("%q of %q = %q, want %q", c.template, c.user, got, c.want)
		}
		if !tb.ByUser() || tb.BySNI() || tb.BySource() {
			t.Errorf("%q: a table by template is not one of users", c.template)
		}
	}
}

func TestBadTemplates(t *testing.T) {
	for s, want := range map[string]string{
		"":                "no {user}",
		"static":          "no {user}",
		"a}":              "} without {",
		"{":               "must be followed by user",
		"{domain}":        "must be followed by user",
		"{user":           "{ without }",
		"{user|":          `no filter ""`,
		"{user|lwer}":     `no filter "lwer"`,
		"{users}":         `"s" where | or }`,
		"{user lower}":    `"l" where | or }`,
		"{user|strip}":    "strip needs what to look for",
		"{user|strip ''}": "empty or has no end",
		"{user|after 'x}": "empty or has no end",
		"{user" + strings.Repeat("|lower", maxFilters+1) + "}": "more than 8 filters",
		"{user}" + strings.Repeat("x", maxTemplate):            "too long",
	} {
		if _, err := ParseTemplate(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseTemplate(%q) = %v, want %q", s, err, want)
		}
	}
}

// A login pays for the key of its template no more than the text it makes.
func TestTemplateAllocatesNothing(t *testing.T) {
	tb := New("t", Config{Key: "{user|lower|strip '*'}", Size: 1}, "lb1")
	if n := testing.AllocsPerRun(100, func() { tb.KeyOf("alice@example.org*master") }); n != 0 {
		t.Errorf("%v allocations for a key, want none", n)
	}
}

// FuzzTemplate: what is read makes a key that a table can hold of every user.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"{user|lower|strip '*'}", "{user|local|before '+'}@{user|domain}", "{user|after '%'}x", "{", "}{user"} {
		f.Add(s, "Alice+x@example.org*master")
	}
	f.Fuzz(func(t *testing.T, s, user string) {
		tp, err := ParseTemplate(s)
		if err != nil || user == "" || len(user) > 255 {
			return
		}
		key := tp.Key(user)
		if key == "" || len(key) > MaxKey {
			t.Errorf("%q of %q is a key of %d bytes", s, user, len(key))
		}
		if again := tp.Key(user); again != key {
			t.Errorf("%q of %q = %q and then %q", s, user, key, again)
		}
	})
}
