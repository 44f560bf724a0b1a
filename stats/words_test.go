package stats

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	tests := []struct {
		line string
		want [][]string
	}{
		{"show info", [][]string{{"show", "info"}}},
		{"  show\t info  ", [][]string{{"show", "info"}}},
		{"a;b c", [][]string{{"a"}, {"b", "c"}}},
		{"a; ;b;", [][]string{{"a"}, {"b"}}},
		{"", [][]string{nil}},
		{" ; ", [][]string{nil}},
		{`key a\ b`, [][]string{{"key", "a b"}}},
		{`key a\;b;c`, [][]string{{"key", "a;b"}, {"c"}}},
		{`key a\\;c`, [][]string{{"key", `a\`}, {"c"}}},
		{`key a\=b`, [][]string{{"key", "a=b"}}},
		{`key a\`, [][]string{{"key", "a"}}},
		{`\ `, [][]string{{" "}}},
	}
	for _, tt := range tests {
		var got [][]string
		for _, cmd := range appendCommands(nil, tt.line) {
			words, err := appendWords(nil, cmd, maxWords)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, words)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.line, got, tt.want)
		}
	}
}

func TestCutPayload(t *testing.T) {
	tests := []struct {
		line, command, end string
		ok                 bool
	}{
		{"set x <<", "set x", "", true},
		{"set x <<EOF ", "set x", "EOF", true},
		{"set x <<EOF y", "set x <<EOF y", "", false},
		{"set x<<", "set x<<", "", false},
		{"<<", "<<", "", false},
	}
	for _, tt := range tests {
		if command, end, ok := cutPayload(tt.line); command != tt.command || end != tt.end || ok != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.line, command, end, ok)
		}
	}
}

func TestTarget(t *testing.T) {
	for word, want := range map[string]bool{"@": true, "@1": true, "@!123": true, "@x": false, "1": false, "@1x": false, "": false} {
		if isTarget(word) != want {
			t.Errorf("isTarget(%q) is %v", word, !want)
		}
	}
}

func TestDelay(t *testing.T) {
	tests := []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"60", time.Minute, true}, {"60s", time.Minute, true}, {"5m", 5 * time.Minute, true}, {"20ms", 20 * time.Millisecond, true},
		{"7us", 7 * time.Microsecond, true}, {"1d", 24 * time.Hour, true}, {"2h", 2 * time.Hour, true}, {"0", 0, true},
		{"", 0, false}, {"x", 0, false}, {"-1", 0, false}, {"1.5s", 0, false}, {"2000000000d", 0, false}, {"99999999999", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseDelay(tt.text, time.Second); got != tt.want || ok != tt.ok {
			t.Errorf("%q: %v, %v", tt.text, got, ok)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 29 * time.Minute: "29m", 62 * time.Minute: "1h2m", 3601 * time.Second: "1h",
		26*time.Hour + time.Minute: "1d2h", -time.Second: "0s",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// FuzzSplit: whatever a line holds, its words hold its bytes and no more, and a
// key printed by a dump is the same key when it is typed.
func FuzzSplit(f *testing.F) {
	f.Add("show info;show stat\r", "bob@example.org")
	f.Add(`set table users key a\ b\;c\\ data.server_id 1; ;\`, `a=b c\d`)
	f.Add("@1 show info <<EOF", "\x1b\n\t\r\x00\xff")
	f.Add(strings.Repeat("a ", 70), ";")
	f.Fuzz(func(t *testing.T, line, key string) {
		size := 0
		for _, cmd := range appendCommands(nil, line) {
			words, err := appendWords(nil, cmd, maxWords)
			if len(words) > maxWords || err != nil && len(words) != maxWords {
				t.Fatalf("%d words, %v", len(words), err)
			}
			for _, w := range words {
				size += len(w)
			}
		}
		if size > len(line) {
			t.Fatalf("%d bytes of words in %q", size, line)
		}
		escaped := string(appendEscaped(nil, key))
		if strings.ContainsFunc(escaped, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%q escapes to %q", key, escaped)
		}
		if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' || r == ';' }) {
			return // control bytes are shown, not typed; ";" ends a command
		}
		cmds := appendCommands(nil, "key "+escaped)
		words, err := appendWords(nil, cmds[0], maxWords)
		if key != "" && (err != nil || len(cmds) != 1 || len(words) != 2 || words[1] != key) {
			t.Fatalf("%q is printed %q and read %q", key, escaped, words)
		}
	})
}
