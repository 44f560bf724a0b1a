package tests

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// tryAsk says a command on the runtime socket and returns the whole answer.
func (l *lb) tryAsk(command string) (string, error) {
	conn, err := net.DialTimeout("unix", l.socket, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// ask is tryAsk for a test that cannot go on without the answer.
func (l *lb) ask(command string) string {
	l.t.Helper()
	answer, err := l.tryAsk(command)
	if err != nil {
		l.t.Fatalf("%s: %v", command, err)
	}
	return answer
}

// tell is ask for a command that answers nothing when it succeeds.
func (l *lb) tell(command string) {
	l.t.Helper()
	if answer := strings.TrimSpace(l.ask(command)); answer != "" {
		l.t.Fatalf("%s: got %q, want no answer", command, answer)
	}
}

// output runs a command of the program to its end.
func (l *lb) output(args ...string) (string, error) {
	l.t.Helper()
	program, err := shared.program()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	return string(out), err
}

// ctl runs the command "imaplb ctl".
func (l *lb) ctl(words ...string) (string, error) {
	l.t.Helper()
	return l.output(append([]string{"ctl", "-s", l.socket}, words...)...)
}

// check runs the command "imaplb check" on the configuration file.
func (l *lb) check() (string, error) {
	l.t.Helper()
	return l.output("check", "-f", l.config)
}

// home is the server a user has in the stick table, "" if he has none.
func (l *lb) home(user string) string {
	l.t.Helper()
	return l.entry(user, "server_key")
}

// entry is a column of a user's entry in the stick table, "" if there is none.
func (l *lb) entry(user, column string) string {
	l.t.Helper()
	m := regexp.MustCompile(` ` + column + `=(\S+)`).FindStringSubmatch(l.ask("show table users key " + user))
	if m == nil {
		return ""
	}
	return m[1]
}

// stat is a column of "show stat" for a proxy's line.
func (l *lb) stat(proxy, row, column string) string {
	l.t.Helper()
	table := strings.Split(strings.TrimPrefix(l.ask("show stat"), "# "), "\n")
	at := -1
	for i, name := range strings.Split(table[0], ",") {
		if name == column {
			at = i
		}
	}
	for _, line := range table[1:] {
		cells := strings.Split(line, ",")
		if at >= 0 && len(cells) > at && cells[0] == proxy && cells[1] == row {
			return cells[at]
		}
	}
	l.t.Fatalf("show stat has no %s of %s/%s", column, proxy, row)
	return ""
}

// record is a line of the log: its keys and their values.
type record map[string]string

// records are the lines of the log with that message.
func (l *lb) records(msg string) []record {
	var list []record
	pattern := regexp.MustCompile(`([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)`)
	for line := range strings.Lines(l.log()) {
		r := record{}
		for _, m := range pattern.FindAllStringSubmatch(line, -1) {
			r[m[1]] = strings.Trim(m[2], `"`)
		}
		if r["msg"] == msg {
			list = append(list, r)
		}
	}
	return list
}

// sessionEnd waits for the line about the end of the last session with these
// values, given as "key=value".
func (l *lb) sessionEnd(want ...string) record {
	l.t.Helper()
	var found record
	within(l.t, patience, fmt.Sprintf("a line of a session's end with %q", want), func() bool {
		for _, r := range l.records("session end") {
			if r.has(want) {
				found = r
			}
		}
		return found != nil
	})
	return found
}

func (r record) has(want []string) bool {
	for _, w := range want {
		key, value, _ := strings.Cut(w, "=")
		if r[key] != value {
			return false
		}
	}
	return true
}
