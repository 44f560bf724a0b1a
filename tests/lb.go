package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lb is a running imaplb. Owned by the goroutine of its test. At the end of
// the test it is checked for leaks, data races, errors in its log and secrets.
type lb struct {
	t        testing.TB
	dir      string
	config   string // path of the configuration file
	socket   string
	plain    string // frontends: no TLS, STARTTLS and implicit TLS
	starttls string
	implicit string
	web      string // where /readyz is asked, "" is nowhere
	limit    int    // RLIMIT_NOFILE, 0 is what the tests have
	at       place  // where it runs
	secrets  []string

	cmd    *exec.Cmd
	exited chan error // the result of Wait
	start  usage      // before the first client

	wantErrors bool // the test expects lines at level ERROR
}

// usage is what must be the same after the last client as before the first.
type usage struct{ goroutines, descriptors int }

// runLB writes the configuration, starts imaplb and waits until it is ready.
func runLB(t testing.TB, o options) *lb {
	t.Helper()
	l := newLB(t, o)
	l.run()
	return l
}

// newLB writes the configuration only.
func newLB(t testing.TB, o options) *lb {
	t.Helper()
	l := &lb{
		t: t, dir: t.TempDir(), limit: o.descriptors, at: o.at, secrets: append([]string{password, tokenKey}, oddPasswords...),
		plain: o.at.address(t), starttls: o.at.address(t), implicit: o.at.address(t),
	}
	l.config, l.socket = filepath.Join(l.dir, "imaplb.toml"), filepath.Join(l.dir, "sock")
	l.write(o)
	return l
}

// run starts the process and waits until it takes logins.
func (l *lb) run() {
	l.t.Helper()
	l.begin()
	l.ready()
}

// begin starts the process.
func (l *lb) begin() {
	l.t.Helper()
	program, err := shared.program()
	if err != nil {
		l.t.Fatal(err)
	}
	log, err := os.OpenFile(l.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	args := []string{program, "run", "-f", l.config}
	if l.limit > 0 {
		need(l.t, "prlimit")
		args = append([]string{"prlimit", fmt.Sprintf("--nofile=%d:%d", l.limit, l.limit)}, args...)
	}
	l.cmd = l.at.command(args...)
	l.cmd.Stdout, l.cmd.Stderr = log, log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	first := l.exited == nil
	l.exited = make(chan error, 1)
	go wait(l.cmd, l.exited) // ends with the process, which finish ends
	if first {
		l.t.Cleanup(l.finish)
	}
}

// ready waits until the process takes logins.
func (l *lb) ready() {
	l.t.Helper()
	ready := waitFor(30*time.Second, func() bool {
		answer, err := l.tryAsk("show info")
		return err == nil && strings.Contains(answer, "\nReady: 1\n") || l.dead()
	})
	if !ready || l.dead() {
		l.t.Fatal("imaplb did not get ready")
	}
	l.start = l.usage()
}

func wait(cmd *exec.Cmd, exited chan<- error) { exited <- cmd.Wait() }

// dead tells whether the process has ended.
func (l *lb) dead() bool { return len(l.exited) > 0 }

// finish is the end of each test with an imaplb.
func (l *lb) finish() {
	l.t.Helper()
	if !l.t.Failed() && !l.dead() {
		l.checkUsage()
		l.checkAnswers()
	}
	if !l.dead() {
		l.signal(syscall.SIGTERM)
		if err := l.waitExit(20 * time.Second); err != nil {
			l.t.Errorf("imaplb ended with %v", err)
		}
	}
	l.checkLog()
	if l.t.Failed() {
		l.t.Logf("imaplb's log:\n%s", ends(l.log(), 100))
	}
}

// checkUsage fails the test if something is left of the sessions.
func (l *lb) checkUsage() {
	l.t.Helper()
	if !waitFor(10*time.Second, func() bool { return l.info("CurrConns") == 0 }) {
		l.t.Errorf("%d connections left at the end:\n%s", l.info("CurrConns"), l.ask("show sess"))
		return
	}
	var now usage
	same := func() bool {
		now = l.usage()
		return now.goroutines <= l.start.goroutines && now.descriptors <= l.start.descriptors
	}
	if !waitFor(5*time.Second, same) {
		l.t.Errorf("at the end %+v, at the start %+v", now, l.start)
	}
}

// checkAnswers looks for secrets in what the runtime socket tells.
func (l *lb) checkAnswers() {
	l.t.Helper()
	for _, command := range []string{"show info", "show stat", "show table users", "show users", "show sess all", "show errors"} {
		if s := l.secretIn(l.ask(command)); s != "" {
			l.t.Errorf("%s shows a secret, %q", command, s)
		}
	}
}

// checkLog looks for what must never be in a log.
func (l *lb) checkLog() {
	l.t.Helper()
	log := l.log()
	if s := l.secretIn(log); s != "" {
		l.t.Errorf("the log has a secret, %q", s)
	}
	for _, bad := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(log, bad) {
			l.t.Errorf("the log has %q", bad)
		}
	}
	if !l.wantErrors && strings.Contains(log, "level=ERROR") {
		l.t.Error("the log has errors")
	}
}

// secretIn finds a password, as it is or in base64, which shows a third of
// the text whatever stands before it.
func (l *lb) secretIn(text string) string {
	for _, s := range l.secrets {
		if strings.Contains(text, s) {
			return s
		}
		for skip := range 3 {
			part := s[skip : skip+(len(s)-skip)/3*3]
			if strings.Contains(text, base64String(part)) {
				return s
			}
		}
	}
	return ""
}

// signal sends a signal to imaplb.
func (l *lb) signal(sig syscall.Signal) {
	l.t.Helper()
	if err := l.cmd.Process.Signal(sig); err != nil {
		l.t.Errorf("signal %v: %v", sig, err)
	}
}

// waitExit waits for the end of the process; it is killed after limit.
func (l *lb) waitExit(limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-l.exited:
		l.exited <- err // dead remains true
		return err
	case <-timer.C:
		_ = l.cmd.Process.Kill()
		l.exited <- <-l.exited
		return fmt.Errorf("still there %v after it was told to end", limit)
	}
}

// kill ends the process at once.
func (l *lb) kill() {
	l.t.Helper()
	l.signal(syscall.SIGKILL)
	_ = l.waitExit(10 * time.Second) // killed is what it says
}

// usage counts what sessions cost, after a garbage collection.
func (l *lb) usage() usage {
	l.t.Helper()
	return usage{goroutines: l.debugGC("goroutines"), descriptors: l.descriptors()}
}

// debugGC runs the garbage collector and returns one of the numbers it
// answers.
func (l *lb) debugGC(name string) int {
	l.t.Helper()
	return number(l.t, l.ask("debug gc"), `(?i)`+name+`\D*(\d+)`)
}

// info is a number of "show info".
func (l *lb) info(key string) int {
	l.t.Helper()
	return number(l.t, l.ask("show info"), `(?m)^`+key+`: (\d+)`)
}

// descriptors counts the open descriptors of the process.
func (l *lb) descriptors() int {
	l.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", l.cmd.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	return len(entries)
}

// rss is the memory of the process in bytes.
func (l *lb) rss() int {
	l.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", l.cmd.Process.Pid))
	if err != nil {
		l.t.Fatal(err)
	}
	return number(l.t, string(b), `VmRSS:\s*(\d+) kB`) << 10
}

func (l *lb) logPath() string { return filepath.Join(l.dir, "log") }

// log is all that imaplb has said.
func (l *lb) log() string {
	b, err := os.ReadFile(l.logPath())
	if err != nil {
		return err.Error()
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}

// number is the first number that the pattern finds.
func number(t testing.TB, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in %q", pattern, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// tail is the last n lines of a text.
func tail(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// ends are the first n lines of a log and the last n, and of those between the
// first n that tell of more than a logout: of many faults the first tells most.
func ends(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) <= 2*n {
		return text
	}
	usual := func(line string) bool { return strings.Contains(line, " reason=logout ") }
	between := slices.DeleteFunc(slices.Clone(lines[n:len(lines)-n]), usual)
	return strings.Join(lines[:n], "") + "…\n" + strings.Join(between[:min(n, len(between))], "") + "…\n" + tail(text, n)
}
