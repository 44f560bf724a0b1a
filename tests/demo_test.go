package tests

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The demo needs nothing, tells how to try it, and what it tells works.
func TestDemo(t *testing.T) {
	t.Parallel()
	need(t, "curl")
	program, err := shared.program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "demo")
	cmd.Dir = t.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go readLines(out, lines) // ends with the process
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for range lines { // up to its end, so that Wait may close the pipe
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	}()
	curl := expectLine(t, lines, `curl .*imaps://\S+`)
	ctl := expectLine(t, lines, `\S+ ctl .*show table users['"]?`)
	for range 2 {
		try := exec.Command("sh", "-c", curl)
		if said, err := try.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", curl, err, said)
		}
	}
	expectLine(t, lines, `session begin`)
	expectLine(t, lines, `session end`)
	try := exec.Command("sh", "-c", ctl)
	if said, err := try.CombinedOutput(); err != nil || !strings.Contains(string(said), "key=demo") {
		t.Errorf("%s: %v: %s", ctl, err, said)
	}
}

func readLines(r io.Reader, lines chan<- string) {
	defer close(lines)
	for s := bufio.NewScanner(r); s.Scan(); {
		lines <- s.Text()
	}
}

// expectLine waits for a line with the pattern and returns what matched.
func expectLine(t *testing.T, lines <-chan string, pattern string) string {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	limit := time.After(patience)
	var before []string
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the demo ended before it said %q; it said %q", pattern, before)
			}
			if m := wanted.FindString(line); m != "" {
				return m
			}
			before = append(before, line)
		case <-limit:
			t.Fatalf("the demo did not say %q; it said %q", pattern, before)
		}
	}
}
