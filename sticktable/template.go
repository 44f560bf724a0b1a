package sticktable

import (
	"fmt"
	"strings"
)

// Bounds of a template.
const (
	maxTemplate = 256 // bytes of its text
	maxFilters  = 8   // behind one user
)

// FilterNames are the filters of a template that take no argument, and those
// that take one.
var FilterNames = []string{"domain", "local", "lower", "upper", "strip", "before", "after"}

// Template makes keys of users: text, and in braces the user's name behind
// filters, each of which takes what the one before left:
//
//	{user|strip '*'}@{user|domain}
//
// "lower" and "upper" change the case; "domain" is what follows the last @, or
// the whole if it has none, "local" what stands before it. "strip 'x'" and
// "before 'x'" cut off what follows from the first x on, "after 'x'" is what
// follows the first x; without an x each leaves the whole. Immutable.
type Template struct{ parts []templatePart }

type templatePart struct {
	text    string // if not user
	user    bool
	filters []filter
}

type filter struct{ name, arg string }

// IsTemplate reports whether the key of a Config is a template and no word.
func IsTemplate(key string) bool { return strings.ContainsAny(key, "{}") }

// ParseTemplate reads a template. An error says what is wrong and where.
func ParseTemplate(s string) (*Template, error) {
	if len(s) > maxTemplate {
		return nil, fmt.Errorf("a template of %d bytes is too long: write at most %d", len(s), maxTemplate)
	}
	t, users := &Template{}, 0
	for rest := s; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			i = len(rest)
		}
		if i > 0 {
			t.parts = append(t.parts, templatePart{text: rest[:i]})
			rest = rest[i:]
			continue
		}
		if rest[0] == '}' {
			return nil, fmt.Errorf("template %q: } without {", s)
		}
		p, after, err := parseUser(rest[1:])
		if err != nil {
			return nil, fmt.Errorf("template %q: %w", s, err)
		}
		t.parts = append(t.parts, p)
		users++
		rest = after
	}
	if users == 0 {
		return nil, fmt.Errorf("template %q: no {user}: all users would be one", s)
	}
	return t, nil
}

// parseUser reads what follows a brace, up to the closing one.
func parseUser(s string) (p templatePart, rest string, err error) {
	p.user = true
	s, ok := strings.CutPrefix(strings.TrimLeft(s, " "), "user")
	if !ok {
		return p, "", fmt.Errorf("{ must be followed by user")
	}
	for {
		s = strings.TrimLeft(s, " ")
		switch {
		case s == "":
			return p, "", fmt.Errorf("{ without }")
		case s[0] == '}':
			return p, s[1:], nil
		case s[0] != '|':
			return p, "", fmt.Errorf("%q where | or } is expected", firstRune(s))
		case len(p.filters) == maxFilters:
			return p, "", fmt.Errorf("more than %d filters behind one user", maxFilters)
		}
		var f filter
		if f, s, err = parseFilter(strings.TrimLeft(s[1:], " ")); err != nil {
			return p, "", err
		}
		p.filters = append(p.filters, f)
	}
}

// UnknownFilter is the error of a filter that is none.
type UnknownFilter struct{ Name string }

func (e *UnknownFilter) Error() string {
	return fmt.Sprintf("no filter %q: write %s", e.Name, strings.Join(FilterNames, ", "))
}

// parseFilter reads a filter and its argument.
func parseFilter(s string) (f filter, rest string, err error) {
	end := strings.IndexFunc(s, func(c rune) bool { return c < 'a' || c > 'z' })
	if end < 0 {
		end = len(s)
	}
	f.name, s = s[:end], s[end:]
	switch f.name {
	case "lower", "upper", "domain", "local":
		return f, s, nil
	case "strip", "before", "after":
	default:
		return f, "", &UnknownFilter{f.name}
	}
	s = strings.TrimLeft(s, " ")
	if s == "" || s[0] != '\'' {
		return f, "", fmt.Errorf("%s needs what to look for, such as %s '*'", f.name, f.name)
	}
	arg, rest, ok := strings.Cut(s[1:], "'")
	if !ok || arg == "" {
		return f, "", fmt.Errorf("%s: the text in quotes is empty or has no end", f.name)
	}
	f.arg = arg
	return f, rest, nil
}

func firstRune(s string) string {
	for _, c := range s {
		return string(c)
	}
	return ""
}

// Key is the key of a user: the user himself where the template leaves nothing,
// or more than a key may have.
func (t *Template) Key(user string) string {
	key := ""
	if len(t.parts) == 1 { // costs nothing but what the filters do
		key = t.parts[0].apply(user)
	} else {
		var b strings.Builder
		for i := range t.parts {
			b.WriteString(t.parts[i].apply(user))
		}
		key = b.String()
	}
	if key == "" || len(key) > MaxKey {
		return user
	}
	return key
}

func (p *templatePart) apply(user string) string {
	if !p.user {
		return p.text
	}
	for _, f := range p.filters {
		user = f.apply(user)
	}
	return user
}

func (f filter) apply(s string) string {
	switch f.name {
	case "lower":
		return strings.ToLower(s)
	case "upper":
		return strings.ToUpper(s)
	case "domain":
		return KeyOf("domain", s)
	case "local":
		if i := strings.LastIndexByte(s, '@'); i >= 0 {
			return s[:i]
		}
	case "strip", "before":
		before, _, _ := strings.Cut(s, f.arg)
		return before
	case "after":
		if _, after, ok := strings.Cut(s, f.arg); ok {
			return after
		}
	}
	return s
}
