package conf

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// docs/configuration.md tells the range of each number and duration, and the
// words that each word may be, as the rules have them.
func TestDocumentedRanges(t *testing.T) {
	text, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	// What is no number or word for itself, or has a bound that another key sets.
	left := map[string]bool{
		"frontend.*.rules.*.action":  true,
		"backend.*.balance_factor":   true,
		"backend.*.server.*.minconn": true,
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		if m := regexp.MustCompile("^## `\\[(.*)\\]`").FindStringSubmatch(line); m != nil {
			section = strings.ReplaceAll(m[1], "NAME", "*") + "."
		}
		m := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| ([^|]*) \\| [^|]* \\| ([^|]*) \\|").FindStringSubmatch(line)
		if m == nil {
			continue
		}
		path, kind := section+m[1], m[2]
		r, ok := rules[path]
		if !ok || left[path] {
			continue
		}
		left[path] = true
		want := fmt.Sprintf("%d to %d", r.min, r.max)
		switch {
		case kind == "duration":
			want = formatDuration(time.Duration(r.min)) + " to " + formatDuration(time.Duration(r.max))
		case r.words != nil:
			want = strings.TrimPrefix(strings.Join(r.words, ", "), ", ") // "" is told in the meaning
		}
		if strings.TrimSpace(m[3]) != want {
			t.Errorf("docs/configuration.md has %q as the range of %s, the program %q", m[3], path, want)
		}
	}
	for path := range rules {
		if !left[path] {
			t.Errorf("docs/configuration.md has no %s", path)
		}
	}
}
