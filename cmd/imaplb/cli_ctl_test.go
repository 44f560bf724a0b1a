package main

import (
	"bufio"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeSocket answers each line on its own connection and closes it, as the
// runtime socket does. asked gets the lines, when the listener is closed.
func fakeSocket(t *testing.T, answers map[string]string) (path string, asked func() []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan []string)
	go answer(ln, answers, lines)
	return path, func() []string {
		_ = ln.Close()
		return <-lines
	}
}

func answer(ln net.Listener, answers map[string]string, lines chan<- []string) {
	var all []string
	for {
		conn, err := ln.Accept()
		if err != nil {
			lines <- all
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		command, ok := strings.CutPrefix(line, "set severity-output number;")
		if !ok {
			command = "without severity: " + line
		}
		all = append(all, command)
		_, _ = conn.Write([]byte("\n" + answers[command]))
		_ = conn.Close()
	}
}

func TestCtlPrintsAnswers(t *testing.T) {
	path, asked := fakeSocket(t, map[string]string{
		"show info":                         "Name: x\nPid: 1\n\n",
		"show a;show b":                     "a\n\nb 1\nb 2\n\n",
		"kick bob":                          "[6]: 3 sessions closed.\n\n",
		"set x":                             "\n",
		"show odd":                          "[3]: of a dump\n[3]: 2\n\n",
		"reload":                            "[3]: f.toml:1: a: b\nf.toml:2: c: d\n\n",
		"show info;bogus":                   "Name: x\n\n[6]: Unknown command: 'bogus'.\n  help\n\n",
		"show stat -1 4 -1":                 "cut off in the mid",
		"echo [3]":                          "[x]: [3]\n\n",
		"set server mail/m1 state drain -f": "\n",
	})
	for _, c := range []struct {
		args string
		want result
	}{
		{"show info", result{exitOK, "Name: x\nPid: 1\n", ""}},
		{"show a;show b", result{exitOK, "a\n\nb 1\nb 2\n", ""}},
		{"kick bob", result{exitOK, "3 sessions closed.\n", ""}},
		{"set x", result{exitOK, "", ""}},
		{"reload", result{exitError, "f.toml:1: a: b\nf.toml:2: c: d\n", ""}},
		{"show info;bogus", result{exitError, "Name: x\n\nUnknown command: 'bogus'.\n  help\n", ""}},
		{"show stat -1 4 -1", result{exitOK, "cut off in the mid", ""}},
		{"echo [3]", result{exitOK, "[x]: [3]\n", ""}},
		{"set server mail/m1 state drain -f", result{exitOK, "", ""}},
	} {
		if got := cli("", append([]string{"ctl", "-s", path}, strings.Fields(c.args)...)...); got != c.want {
			t.Errorf("ctl %s: %+v, want %+v", c.args, got, c.want)
		}
		if got := cli(c.args+"\n", "ctl", "--socket", path); got != c.want {
			t.Errorf("%q | ctl: %+v, want %+v", c.args, got, c.want)
		}
	}
	if all := asked(); len(all) != 18 || slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "without") }) {
		t.Errorf("asked %q", all)
	}
}

func TestCtlReadsCommandsFromStandardInput(t *testing.T) {
	path, asked := fakeSocket(t, map[string]string{"a": "1\n\n", "b c": "2\n\n"})
	t.Setenv(socketEnv, path)
	if got := cli("# a comment\n\n a\r\nb c", "ctl"); got != (result{exitOK, "1\n2\n", ""}) {
		t.Errorf("%+v", got)
	}
	if all := asked(); !slices.Equal(all, []string{"a", "b c"}) {
		t.Errorf("asked %q", all)
	}
	if got := cli("", "ctl", "a"); got.code != exitError || !strings.HasPrefix(got.err, "imaplb: cannot reach the runtime socket") {
		t.Errorf("without a server: %+v", got)
	}
	if got := cli("", "ctl", "a\nb"); got.code != exitUsage {
		t.Errorf("two lines in an argument: %+v", got)
	}
}

func TestSocketPath(t *testing.T) {
	t.Setenv(socketEnv, "")
	if got := socketPath(""); got != defaultSocket {
		t.Errorf("neither flag nor environment: %q", got)
	}
	t.Setenv(socketEnv, "/env")
	if got := socketPath(""); got != "/env" {
		t.Errorf("environment: %q", got)
	}
	if got := socketPath("/flag"); got != "/flag" {
		t.Errorf("flag: %q", got)
	}
}
