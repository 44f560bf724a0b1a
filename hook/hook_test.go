package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var someMove = Move{User: "alice", Backend: "mail", Old: "s1", OldAddr: "10.0.0.1:143", New: "s2", NewAddr: "10.0.0.2:143", Missing: []string{"lb2", "lb3"}}

// program writes a shell script and returns its path.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun(t *testing.T) {
	tests := []struct {
		name, text string
		timeout    time.Duration
		want       string // in the error; "" is none
	}{
		{"succeeds", "exit 0", time.Minute, ""},
		{"fails", "exit 3", time.Minute, "exit status 3"},
		{"fails and says why", "echo no space >&2; echo more; exit 1", time.Minute, `exit status 1: "no space"`},
		{"says without end", "yes | head -c 1000000; exit 1", time.Minute, `exit status 1: "y"`},
		{"is killed", "kill -9 $$", time.Minute, "signal: killed"},
		{"hangs", "echo wait; sleep 600", 200 * time.Millisecond, `killed at its timeout of 200ms: "wait"`},
		{"leaves a child that holds its output", "sleep 600 & exit 0", 10 * time.Second, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := NewRunner().Run(t.Context(), program(t, tt.text), tt.timeout, &someMove)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("Run = %v, want %q", err, tt.want)
			}
		})
	}
	if err := NewRunner().Run(t.Context(), "/nowhere/hook", time.Minute, &someMove); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run of a program that is not there = %v", err)
	}
}

// Names of users are data, whatever is in them.
func TestRunTells(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	path := program(t, `printf '%s|' "$@" "$IMAPLB_USER" "$IMAPLB_OLD_SERVER" "$IMAPLB_OLD_ADDR" "$IMAPLB_NEW_SERVER" "$IMAPLB_NEW_ADDR" "$IMAPLB_BACKEND" "$IMAPLB_MISSING_PEERS" "$SECRET" > `+out)
	t.Setenv("SECRET", "fake-password")
	for _, user := range []string{"alice", "-rf", "$(touch /tmp/x); `id`", "a b'c\"d", "ä\xff", ""} {
		m := someMove
		m.User = user
		if err := NewRunner().Run(t.Context(), path, time.Minute, &m); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		want := user + "|s1|s2|" + user + "|s1|10.0.0.1:143|s2|10.0.0.2:143|mail|lb2,lb3||"
		if string(got) != want {
			t.Errorf("user %q: the hook was told %q, want %q", user, got, want)
		}
	}
	m := someMove
	m.User = "a\x00b"
	if err := NewRunner().Run(t.Context(), path, time.Minute, &m); err == nil {
		t.Error("a user name with a NUL was passed on")
	}
}

// At the timeout the children of a hook are killed as well.
func TestHookIsKilledWithItsChildren(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	path := program(t, "sleep 600 & echo $! > "+pidFile+"; wait")
	begun := time.Now()
	err := NewRunner().Run(t.Context(), path, time.Second, &someMove)
	if !errors.Is(err, ErrTimeout) {
		t.Fatalf("Run = %v, want %v", err, ErrTimeout)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if state := stateOf(pid); state != "" && state != "Z" {
		t.Errorf("the child is alive: state %s, %v", state, syscall.Kill(pid, 0))
	}
}

// stateOf is the letter of a process's state, "" if it is gone.
func stateOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(b))
	return fields[2]
}

// No more hooks run at once than may; one that gets no turn says so.
func TestHooksAreBounded(t *testing.T) {
	r := &Runner{slots: make(chan struct{}, 2)}
	r.slots <- struct{}{}
	r.slots <- struct{}{}
	path := program(t, "exit 0")
	if err := r.Run(t.Context(), path, 50*time.Millisecond, &someMove); !errors.Is(err, ErrBusy) {
		t.Errorf("Run of a third = %v, want %v", err, ErrBusy)
	}
	<-r.slots
	for range 3 {
		if err := r.Run(t.Context(), path, time.Minute, &someMove); err != nil {
			t.Errorf("Run with a turn free = %v", err)
		}
	}
}

// Hooks end with their owner.
func TestHookIsKilledAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := NewRunner().Run(ctx, program(t, "sleep 600"), time.Minute, &someMove); err == nil {
		t.Error("Run after the end was no error")
	}
}
