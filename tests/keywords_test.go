package tests

import (
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
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

// Each key of docs/configuration.md, which has them all by TestDocumentedKeys,
// is in a configuration that some test of this package or an example runs.
func TestKeysAreUsed(t *testing.T) {
	t.Parallel()
	var used strings.Builder
	for _, pattern := range []string{"*.go", "../examples/*.toml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
		}
		for _, path := range paths {
			text := read(t, path)
			if strings.HasSuffix(path, ".go") {
				text = literals(t, text)
			}
			used.WriteString(text + "\n")
		}
	}
	n := 0
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(read(t, "../docs/configuration.md"), -1) {
		n++
		if !regexp.MustCompile(`(?m)(?:^|[\s{,./])` + m[1] + ` *= *\S`).MatchString(used.String()) {
			t.Errorf("no test and no example has the key %s", m[1])
		}
	}
	if n < 90 {
		t.Errorf("only %d keys were found", n)
	}
}

// literals are the strings of a Go file.
func literals(t *testing.T, source string) string {
	t.Helper()
	var all strings.Builder
	var s scanner.Scanner
	files := token.NewFileSet()
	s.Init(files.AddFile("", files.Base(), len(source)), []byte(source), nil, 0)
	for {
		switch _, kind, text := s.Scan(); kind {
		case token.EOF:
			return all.String()
		case token.STRING:
			plain, err := strconv.Unquote(text)
			if err != nil {
				t.Fatal(err)
			}
			all.WriteString(plain + "\n")
		}
	}
}
