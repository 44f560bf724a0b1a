package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"imaplb/conf"
)

func newCheck() *cobra.Command {
	var file string
	var dump bool
	cmd := &cobra.Command{
		Use:   "check -f FILE [--dump]",
		Short: "Check a configuration file",
		Long: `Checks a configuration file, and the certificates it names, and reports all
faults at once, one line each: file:line: path.to.key: what is wrong.
The exit code is 1 if there are any.`,
		Example: `  imaplb check -f /etc/imaplb/imaplb.toml
  imaplb check -f imaplb.toml --dump    # what is in force, defaults included`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireFile(file); err != nil {
				return err
			}
			return check(file, dump, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	fileFlag(cmd, &file)
	cmd.Flags().BoolVar(&dump, "dump", false, "print the whole configuration with its defaults")
	return cmd
}

// check loads the file. Warnings go to warn, so that a dump on out is a
// configuration file.
func check(file string, dump bool, out, warn io.Writer) error {
	c, err := conf.Load(file)
	if err != nil {
		return err
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(warn, "warning: %s\n", w)
	}
	if dump {
		return c.Dump(out)
	}
	_, err = fmt.Fprintln(out, "configuration is valid")
	return err
}
