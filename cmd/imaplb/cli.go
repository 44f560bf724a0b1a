package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"imaplb/conf"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // what was asked for failed
	exitUsage = 2 // what was asked for makes no sense
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake in the command line itself.
type usageError struct{ error }

// errSilent ends a command that has said itself what is wrong.
var errSilent = errors.New("failed")

// execute runs the command that args name and returns the exit code.
func execute(ctx context.Context, args []string, s streams) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var usage usageError
	var faults conf.Faults
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "imaplb: %v\nTry '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, errSilent):
	case errors.As(err, &faults):
		fmt.Fprintln(s.err, faults.Error()) // each line names its file
	default:
		fmt.Fprintf(s.err, "imaplb: %v\n", err)
	}
	return exitError
}

// newRoot is the command line with all its commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "imaplb",
		Short: "A load balancer for IMAP",
		Long: `imaplb stands in front of IMAP servers, takes the logins, and keeps each user on
one server.`,
		Example: `  imaplb demo                          try it: no root, no files, no servers needed
  imaplb check -f /etc/imaplb/imaplb.toml
  imaplb run -f /etc/imaplb/imaplb.toml
  imaplb ctl show stat`,
		SilenceUsage:               true,
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		Args:                       knownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newRun(), newCheck(), newDemo(), newCtl(), newVersion())
	return root
}

// knownCommand refuses arguments of the root, which are commands nobody has.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		hint = fmt.Sprintf(" (did you mean %q?)", names[0])
	}
	return usageError{fmt.Errorf("unknown command %q%s", args[0], hint)}
}

// noArgs is for commands that take flags alone.
func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", strings.Join(args, " "))}
	}
	return nil
}

// fileFlag adds -f, the configuration file.
func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "file", "f", "", "configuration file (required)")
	// The only error is a flag that does not exist.
	_ = cmd.MarkFlagFilename("file", "toml")
}

// requireFile reports a missing -f.
func requireFile(file string) error {
	if file == "" {
		return usageError{errors.New("no configuration file: name it with -f FILE")}
	}
	return nil
}
