package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const (
	defaultSocket = "/run/imaplb/imaplb.sock"
	socketEnv     = "IMAPLB_SOCKET"
)

func newCtl() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "ctl [-s SOCKET] [COMMAND…]",
		Short: "Send commands to a running imaplb",
		Long: `Sends a command to the runtime socket of a running imaplb and prints the answer;
without a command, each line of standard input is one. The exit code is 1 if
the socket cannot be reached or an answer is an error.`,
		Example: `  imaplb ctl help
  imaplb ctl 'show info;show stat'
  imaplb ctl set server mail/mail1 state drain
  imaplb ctl reload
  imaplb ctl -s /tmp/imaplb.sock < commands.txt`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := &control{ctx: cmd.Context(), socket: socketPath(socket), out: bufio.NewWriter(cmd.OutOrStdout())}
			if len(args) > 0 {
				return c.finish(c.send(strings.Join(args, " ")))
			}
			return c.finish(c.sendLines(cmd.InOrStdin()))
		},
	}
	cmd.Flags().StringVarP(&socket, "socket", "s", "",
		fmt.Sprintf("runtime socket (default $%s, else %s)", socketEnv, defaultSocket))
	cmd.Flags().SetInterspersed(false) // what follows the command is the command's: show stat -1 4 -1
	return cmd
}

// socketPath is the socket to ask: the flag's, the environment's or the usual.
func socketPath(flag string) string {
	for _, path := range []string{flag, os.Getenv(socketEnv)} {
		if path != "" {
			return path
		}
	}
	return defaultSocket
}

// control talks to a runtime socket. Owned by the goroutine of its command.
type control struct {
	ctx    context.Context
	socket string
	out    *bufio.Writer
	failed bool // an answer was an error
}

// sendLines sends each line of r.
func (c *control) sendLines(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := c.send(line); err != nil {
			return err
		}
	}
	return lines.Err()
}

// send sends one line of commands, separated by ";", and copies the answers.
// The server closes behind the last.
func (c *control) send(line string) error {
	if strings.ContainsAny(line, "\r\n") {
		return usageError{errors.New("a command is one line")}
	}
	conn, err := new(net.Dialer).DialContext(c.ctx, "unix", c.socket)
	if err != nil {
		return fmt.Errorf("cannot reach the runtime socket (is imaplb running, and stats.socket set?): %w", err)
	}
	defer conn.Close() //nolint:errcheck // everything was read
	// The severity tells errors from answers.
	if _, err := fmt.Fprintf(conn, "set severity-output number;%s\n", line); err != nil {
		return fmt.Errorf("ask %s: %w", c.socket, err)
	}
	answers := bufio.NewReader(conn)
	if _, err := answers.ReadString('\n'); err != nil {
		return fmt.Errorf("read from %s: %w", c.socket, err)
	}
	return c.copyAnswers(answers)
}

// copyAnswers copies lines until the end. An empty line ends an answer; a
// message has its severity, "[3]: ", before its first line.
func (c *control) copyAnswers(r *bufio.Reader) error {
	blank := false // an empty line is held back: the last is not printed
	for first := true; ; {
		line, err := r.ReadString('\n')
		if line == "\n" {
			blank, first = true, true
			continue
		}
		if line != "" {
			if blank {
				c.out.WriteByte('\n')
			}
			blank = false
			c.copyLine(line, first)
			first = false
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from %s: %w", c.socket, err)
		}
	}
}

// copyLine prints a line; the first of a message without its severity, which
// is syslog's: 3 and less are errors. That a command is unknown comes as mere
// information.
func (c *control) copyLine(line string, first bool) {
	if first && len(line) > 5 && line[0] == '[' && '0' <= line[1] && line[1] <= '7' && line[2:5] == "]: " {
		c.failed = c.failed || line[1] <= '3'
		line = line[5:]
	}
	if first && strings.HasPrefix(line, "Unknown command: ") {
		c.failed = true
	}
	c.out.WriteString(line)
}

// finish prints what is left and decides about the exit code.
func (c *control) finish(err error) error {
	if flushErr := c.out.Flush(); err == nil {
		err = flushErr
	}
	if err == nil && c.failed {
		return errSilent // the answer was printed
	}
	return err
}
