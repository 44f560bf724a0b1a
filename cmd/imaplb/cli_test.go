package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// result is what a command line came to.
type result struct {
	code     int
	out, err string
}

// cli runs a command line.
func cli(stdin string, args ...string) result {
	var out, errs bytes.Buffer
	code := execute(context.Background(), args, streams{strings.NewReader(stdin), &out, &errs})
	return result{code, out.String(), errs.String()}
}

// writeFile writes a file of a test and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const goodConfig = `[frontend.imap]
bind = ["127.0.0.1:0"]
backend = "mail"
[backend.mail.server.m1]
addr = "127.0.0.1:143"
[backend.spare.server.m1]
addr = "127.0.0.1:143"
`

const badConfig = `[frontend.imap]
bind = ["127.0.0.1:0"]
backend = "mial"
[backend.mail.server.m1]
adr = "127.0.0.1:143"
`

func TestMistakesInTheCommandLine(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"bogus", `imaplb: unknown command "bogus"` + "\nTry 'imaplb --help'.\n"},
		{"chekc", `imaplb: unknown command "chekc" (did you mean "check"?)` + "\nTry 'imaplb --help'.\n"},
		{"check", "imaplb: no configuration file: name it with -f FILE\nTry 'imaplb check --help'.\n"},
		{"run", "imaplb: no configuration file: name it with -f FILE\nTry 'imaplb run --help'.\n"},
		{"check -f", "imaplb: flag needs an argument: 'f' in -f\nTry 'imaplb check --help'.\n"},
		{"check --dmup -f x", "imaplb: unknown flag: --dmup\nTry 'imaplb check --help'.\n"},
		{"run -f x y", "imaplb: unexpected argument \"y\"\nTry 'imaplb run --help'.\n"},
		{"version 2", "imaplb: unexpected argument \"2\"\nTry 'imaplb version --help'.\n"},
		{"demo x", "imaplb: unexpected argument \"x\"\nTry 'imaplb demo --help'.\n"},
		{"--nope", "imaplb: unknown flag: --nope\nTry 'imaplb --help'.\n"},
	} {
		if got := cli("", strings.Fields(c.args)...); got != (result{exitUsage, "", c.want}) {
			t.Errorf("imaplb %s: %+v, want %q", c.args, got, c.want)
		}
	}
}

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		if got := cli("", args...); got.code != exitOK || !strings.Contains(got.out, "Examples:\n  imaplb") || got.err != "" {
			t.Errorf("%v: %+v", args, got)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
	if got := cli(""); got.code != exitOK || !strings.Contains(got.out, "Available Commands:") {
		t.Errorf("without a command: %+v", got)
	}
}

func TestVersion(t *testing.T) {
	if got := cli("", "version"); got.code != exitOK || !strings.HasPrefix(got.out, "imaplb "+Version+" ") {
		t.Errorf("%+v", got)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := cli("", "completion", shell); got.code != exitOK || !strings.Contains(got.out, "imaplb") {
			t.Errorf("%s: code %d, %d bytes, %q", shell, got.code, len(got.out), got.err)
		}
	}
}

func TestCheck(t *testing.T) {
	good, bad := writeFile(t, "good.toml", goodConfig), writeFile(t, "bad.toml", badConfig)
	warning := "warning: " + good + ":6: backend.spare: no frontend uses this backend\n"
	if got := cli("", "check", "-f", good); got != (result{exitOK, "configuration is valid\n", warning}) {
		t.Errorf("good file: %+v", got)
	}
	want := bad + `:3: frontend.imap.backend: no backend "mial" (did you mean "mail"?)` + "\n" +
		bad + `:5: backend.mail.server.m1.adr: unknown key (did you mean "addr"?)` + "\n"
	for _, args := range [][]string{{"check", "-f", bad}, {"check", "--dump", "--file", bad}, {"run", "-f", bad}} {
		if got := cli("", args...); got != (result{exitError, "", want}) {
			t.Errorf("%v: %+v, want %q", args, got, want)
		}
	}
	if got := cli("", "check", "-f", good+"x"); got.code != exitError || !strings.HasPrefix(got.err, "imaplb: conf: open ") {
		t.Errorf("no file: %+v", got)
	}
}

func TestCheckDumpIsAConfigurationFile(t *testing.T) {
	first := cli("", "check", "--dump", "-f", writeFile(t, "good.toml", goodConfig))
	if first.code != exitOK || !strings.Contains(first.out, "timeout_client = \"31m\"\n") {
		t.Fatalf("%+v", first)
	}
	if second := cli("", "check", "--dump", "-f", writeFile(t, "dump.toml", first.out)); second.out != first.out {
		t.Errorf("the dump of the dump differs:\n%s\n%s", first.out, second.out)
	}
}
