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

// The demo needs nothing, tells how to try it, and what it tells works: with
// one of its peers dead the user is on the same server.
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
	kill := expectLine(t, lines, `kill -9 \d+`)
	curlAgain := expectLine(t, lines, `curl .*imaps://\S+`)
	ctlAgain := expectLine(t, lines, `\S+ ctl .*show users.*`)
	for range 2 { // who reads the text has them both running by then
		expectLine(t, lines, `msg=started`)
	}
	mail := shell(t, curl)
	shell(t, curl)
	expectLine(t, lines, `session begin`)
	expectLine(t, lines, `session end`)
	if said := shell(t, ctl); !strings.Contains(said, "key=demo") {
		t.Errorf("%s: %s", ctl, said)
	}
	shell(t, kill)
	expectLine(t, lines, `lb1 has ended .*`)
	if again := shell(t, curlAgain); again != mail || !strings.Contains(mail, "mail") {
		t.Errorf("through lb2 the mail is %q, through lb1 it was %q", again, mail)
	}
	said := shell(t, ctlAgain)
	home := regexp.MustCompile(`(?m)^demo1 mail (\S+) .* lb1$`).FindStringSubmatch(said)
	if home == nil || !strings.Contains(mail, home[1]) {
		t.Errorf("%s: %s, want demo1 where his mail came from: %s", ctlAgain, said, mail)
	}
}

// shell runs a line as somebody who follows the demo's text does.
func shell(t *testing.T, line string) string {
	t.Helper()
	said, err := exec.Command("sh", "-c", line).Output()
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	return string(said)
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
