package main

import "github.com/spf13/cobra"

func newRun() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run -f FILE",
		Short: "Run the balancer in the foreground",
		Long: `Runs the balancer in the foreground; the log goes to standard error.

SIGHUP loads the file again. SIGTERM and SIGINT stop accepting, wait for the
sessions up to global.hard_stop_after, and end; sent again they end at once.`,
		Example: `  imaplb run -f /etc/imaplb/imaplb.toml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := requireFile(file); err != nil {
				return err
			}
			return runNode(cmd.Context(), file, cmd.ErrOrStderr())
		},
	}
	fileFlag(cmd, &file)
	return cmd
}
