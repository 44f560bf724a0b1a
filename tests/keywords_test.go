package tests

import (
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
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

// ofHTTP are keywords of HAProxy that mean nothing in mode tcp.
var ofHTTP = regexp.MustCompile(`(?i)http|(?:^| )h[12]-|fcgi|cache|compress|cookie|quic|^(?:errorfile|errorloc|max-keep-alive)`)

// docs/haproxy-keywords.md has all keywords that HAProxy itself says it knows.
func TestKeywordsAreAll(t *testing.T) {
	t.Parallel()
	need(t, "haproxy")
	version, err := exec.Command("haproxy", "-v").Output()
	if err != nil || !strings.Contains(string(version), "version 2.6.") {
		t.Skipf("the document is about version 2.6, this is %s %v", version, err)
	}
	list, err := exec.Command("haproxy", "-dKcfg", "-q", "-c", "-f", os.DevNull).Output()
	if err != nil && len(list) == 0 {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var masks []string
	for line := range strings.Lines(read(t, "../docs/haproxy-keywords.md")) {
		for _, word := range regexp.MustCompile(`[a-z0-9][a-zA-Z0-9_.*-]+`).FindAllString(line, -1) {
			known[word] = true
			if strings.Contains(word, "*") {
				masks = append(masks, word)
			}
		}
	}
	n := 0
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || ofHTTP.MatchString(line) {
			continue
		}
		for _, word := range regexp.MustCompile(`[a-z][a-zA-Z0-9_.-]+`).FindAllString(line, -1) {
			n++
			masked := slices.ContainsFunc(masks, func(m string) bool { ok, _ := path.Match(m, word); return ok })
			if !known[word] && !masked {
				t.Errorf("docs/haproxy-keywords.md has no %s (%s)", word, line)
			}
		}
	}
	if n < 400 {
		t.Errorf("HAProxy tells of %d keywords only", n)
	}
}

// Each key of docs/configuration.md, which has them all by TestDocumentedKeys,
// is in a configuration that some test of this package or an example runs, and
// so is each word that a key may have but its default; each command of
// docs/stats-socket.md is typed in a test or stands in a transcript.
func TestKeysAreUsed(t *testing.T) {
	t.Parallel()
	used := usedText(t, "*.go", "../examples/*.toml")
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|([^|\n]*)\\|([^|\n]*)\\|([^|\n]*)\\|")
	rows := row.FindAllStringSubmatch(read(t, "../docs/configuration.md"), -1)
	for _, m := range rows {
		key, kind, byDefault, words := m[1], m[2], m[3], m[4]
		if !regexp.MustCompile(`(?m)(?:^|[\s{,./])` + key + ` *= *\S`).MatchString(used) {
			t.Errorf("no test and no example has the key %s", key)
		}
		for word := range strings.SplitSeq(words, ",") {
			word, _, _ = strings.Cut(strings.TrimSpace(word), ";")
			if strings.HasPrefix(kind, " word") && !strings.Contains(byDefault, word) &&
				!regexp.MustCompile(`(?m)(?:^|")`+word+`(?:"|$)`).MatchString(used) {
				t.Errorf("no test and no example has %s = %q", key, word)
			}
		}
	}
	if len(rows) < 90 {
		t.Errorf("only %d keys were found", len(rows))
	}
	used += usedText(t, "../stats/testdata/*.txt")
	for _, m := range regexp.MustCompile("(?m)^### `([a-z -]+?)(?: *[<\\[(].*)?`$").FindAllStringSubmatch(read(t, "../docs/stats-socket.md"), -1) {
		if !regexp.MustCompile(`(?m)(?:^|[>;] *)` + m[1] + `(?:[ ;]|$)`).MatchString(used) {
			t.Errorf("no test has the command %q", m[1])
		}
	}
}

// usedText is the text of files, of those in Go the strings.
func usedText(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(paths))
		}
		for _, path := range paths {
			text := read(t, path)
			if strings.HasSuffix(path, ".go") {
				text = literals(t, text)
			}
			all.WriteString(text + "\n")
		}
	}
	return all.String()
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
