// Command load measures imaplb beside other proxies. It is a light IMAP server
// (imapd), a closed-loop client (login, noop, fetch, idle, stall, storm) and a
// driver (bench) that starts the server and the proxies and measures each in
// turn within one run.
//
// It imports nothing of imaplb, so that what is measured is the built binary
// and nothing else, and it runs on loopback only.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: load COMMAND [flags]

  bench    start the servers and the proxies, measure, print the table
  imapd    the light IMAP server, until its standard input ends
  login    connect, LOGIN, LOGOUT, again and again
  noop     NOOP round trips on connections that are logged in
  fetch    FETCH of 1 MiB literals on connections that are logged in
  idle     open sessions, send IDLE and hold them
  stall    ask for 1 GiB and read nothing
  storm    take descriptors, then try to connect again and again

load COMMAND -h lists the flags of a command.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		stop()
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(out, usage)
		return nil
	}
	name, args := args[0], args[1:]
	switch name {
	case "bench":
		return benchCommand(ctx, args, out)
	case "imapd":
		return imapdCommand(args, os.Stdin, out)
	case "login", "noop", "fetch":
		return loopCommand(ctx, name, args, out)
	case "idle", "stall", "storm":
		return holdCommand(ctx, name, args, out)
	case "help", "-h", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	return fmt.Errorf("no command %q; try: load help", name)
}
