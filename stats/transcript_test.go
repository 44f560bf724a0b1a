package stats

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// Entries of a table come in no order that could be written down.
var entryLine = regexp.MustCompile(`(?m)^0x[0-9a-f]+: key=.*\n|^.* (mail|other) \S+ \d+ \d+ \d+ .*\n`)

// TestTranscripts replays testdata/*.txt: a line "> command", and under it all
// bytes of the answer until the server closes, with "$" for each line end and
// "=> " for what the node was told. -update writes them anew: read the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			compare(t, string(text), got)
		})
	}
}

// replay runs the commands of a transcript, each on a connection of its own.
func replay(t *testing.T, text string) string {
	var b strings.Builder
	node := newSnapshot()
	s := start(t, node, "admin")
	for line := range strings.Lines(text) {
		switch command, ok := strings.CutPrefix(line, "> "); {
		case line == "\n", strings.HasPrefix(line, "# ") && !strings.HasSuffix(line, "$\n"):
			b.WriteString(line) // a comment
		case ok:
			node.fail = nil
			if strings.HasPrefix(command, "FAIL ") {
				command, node.fail = strings.TrimPrefix(command, "FAIL "), errFaults
			}
			answer := sorted(strings.ReplaceAll(ask(t, s, command), s.path, "/run/imaplb/imaplb.sock"))
			b.WriteString(line)
			b.WriteString(strings.ReplaceAll(answer, "\n", "$\n"))
			for _, call := range node.calls {
				b.WriteString("  => " + call + "\n")
			}
			node.calls = nil
		}
	}
	return b.String()
}

// sorted sorts the neighbouring lines that stand for entries of a table.
func sorted(answer string) string {
	lines := strings.SplitAfter(answer, "\n")
	for i := 1; i < len(lines); i++ {
		for j := i; j > 0 && entryLine.MatchString(lines[j]) && entryLine.MatchString(lines[j-1]) && lines[j] < lines[j-1]; j-- {
			lines[j], lines[j-1] = lines[j-1], lines[j]
		}
	}
	return strings.Join(lines, "")
}

func compare(t *testing.T, want, got string) {
	t.Helper()
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	command := ""
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("line %d, under %q:\nwant %q\ngot  %q", i+1, command, at(w, i), at(g, i))
		}
		if strings.HasPrefix(w[i], "> ") {
			command = w[i]
		}
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "<nothing>"
}
