package tests

import (
	"regexp"
	"strings"
	"testing"
)

// What docs/haproxy-keywords.md names as ours is a documented key or command.
func TestKeywordsAreOurs(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(read(t, "../docs/configuration.md"), -1) {
		known[m[1]] = true
	}
	for _, m := range regexp.MustCompile("(?m)^### `([a-z -]+?)(?: *[<\\[|(].*)?`$").FindAllStringSubmatch(read(t, "../docs/stats-socket.md"), -1) {
		known[m[1]] = true
	}
	section := regexp.MustCompile("^`(\\[[a-z]+(\\.NAME)?\\]|mode = .*)`$")
	rows := 0
	for line := range strings.Lines(read(t, "../docs/haproxy-keywords.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.Contains(cells[1], "---") || strings.TrimSpace(cells[1]) == "HAProxy" {
			continue
		}
		rows++
		for _, name := range regexp.MustCompile("`[^`]+`").FindAllString(cells[2], -1) {
			if !known[strings.Trim(name, "`")] && !section.MatchString(name) {
				t.Errorf("docs/haproxy-keywords.md: %s is neither a key nor a command", name)
			}
		}
	}
	if rows < 80 {
		t.Errorf("only %d rows were found", rows)
	}
}
