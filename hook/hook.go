// Package hook runs an operator's program while a user is moved, as the flush
// script of Dovecot's director: when his sessions have ended on the old server,
// and before he is let in at the new one.
//
// What it is told are data: they are arguments and environment of the program,
// and no shell reads them. It runs for a bounded time, in a process group of
// its own that is killed then.
package hook

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// MaxParallel is the most hooks that run at once; further ones wait for their
// turn in the time they have.
const MaxParallel = 100

const (
	maxSaid  = 256         // bytes kept of what a hook writes
	pipeWait = time.Second // for pipes that a child of a hook holds open
	somePath = "/usr/sbin:/usr/bin:/sbin:/bin"
)

// Errors a caller may branch on.
var (
	ErrBusy    = errors.New("hook: no turn in time, too many others run")
	ErrTimeout = errors.New("hook: killed at its timeout")
)

// Move is what a hook is told of a move.
type Move struct {
	User    string // as the stick table spells him
	Backend string
	Old     string // the server he leaves
	OldAddr string // "10.0.0.11:143"; "" if it is not in the configuration any more
	New     string
	NewAddr string
	Missing []string // peers that did not say that his sessions have ended
}

// args are the arguments of the program.
func (m *Move) args() []string { return []string{m.User, m.Old, m.New} }

// env is its whole environment: what imaplb itself was given may be secret.
func (m *Move) env() []string {
	return []string{
		"PATH=" + somePath, "IMAPLB_USER=" + m.User, "IMAPLB_BACKEND=" + m.Backend,
		"IMAPLB_OLD_SERVER=" + m.Old, "IMAPLB_OLD_ADDR=" + m.OldAddr,
		"IMAPLB_NEW_SERVER=" + m.New, "IMAPLB_NEW_ADDR=" + m.NewAddr,
		"IMAPLB_MISSING_PEERS=" + strings.Join(m.Missing, ","),
	}
}

// A Runner runs hooks. Shared: any goroutine may call Run.
type Runner struct {
	slots chan struct{} // one for each hook that runs
}

// NewRunner returns a runner of MaxParallel hooks at once.
func NewRunner() *Runner { return &Runner{slots: make(chan struct{}, MaxParallel)} }

// Run runs the program at path and waits for its end, at most timeout. The
// error tells how it failed, with the first line of what it wrote.
func (r *Runner) Run(ctx context.Context, path string, timeout time.Duration, m *Move) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return ErrBusy
	}
	defer func() { <-r.slots }()
	cmd := exec.CommandContext(ctx, path, m.args()...)
	said := &firstLine{}
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = m.env(), "/", said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeWait
	err := cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && cmd.ProcessState.Success() && ctx.Err() == nil:
		return nil // what it has left running is its own business
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = fmt.Errorf("%w of %s", ErrTimeout, timeout)
	case ctx.Err() != nil:
		err = fmt.Errorf("hook: killed: %w", ctx.Err())
	default:
		err = fmt.Errorf("hook: %w", err)
	}
	if text := said.text(); text != "" {
		err = fmt.Errorf("%w: %q", err, text)
	}
	return err
}

// firstLine keeps the beginning of what is written to it. Owned by the
// goroutine of exec.Cmd that copies, until Run of it returns.
type firstLine struct{ b []byte }

func (f *firstLine) Write(p []byte) (int, error) {
	if room := maxSaid - len(f.b); room > 0 {
		f.b = append(f.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (f *firstLine) text() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(f.b)), "\n")
	return strings.ToValidUTF8(line, "?")
}
