package stats

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The commands that concern the client's own connection.

const maxWait = time.Hour // of one "wait"

func quit(c *client, _ []string) message {
	c.quit = true
	return message{}
}

func prompt(c *client, args []string) message {
	if len(args) == 0 {
		if c.mode == closing || c.mode == interactive {
			c.mode = prompting
		} else {
			c.mode = closing
		}
		return message{}
	}
	for _, word := range args {
		switch word {
		case "n":
			c.mode = closing
		case "i":
			c.mode = interactive
		case "p":
			c.mode = prompting
		case "timed":
			c.mode = timed
		default:
			return informed("Usage: prompt [help | n | i | p | timed ]*\n" +
				"  n      one line of commands, then close\n" +
				"  i      interactive, no prompt\n" +
				"  p      interactive, with a prompt\n" +
				"  timed  interactive, with the uptime in the prompt\n" +
				"Without argument the prompt is switched on or off.")
		}
	}
	return message{}
}

func echo(_ *client, args []string) message { return informed(strings.Join(args, " ")) }

// wait lets a line of commands pause. The end of the server cuts it short.
func wait(c *client, args []string) message {
	if len(args) != 1 {
		return failed("Expects a duration in milliseconds; conditions are not supported.")
	}
	d, ok := parseDelay(args[0], time.Millisecond)
	if !ok || d > maxWait {
		return failed("Invalid duration.")
	}
	if c.out.Flush() != nil {
		return message{}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return informed("Done.")
	case <-c.srv.ctx.Done():
		return failed("Interrupted.")
	}
}

func setTimeout(c *client, args []string) message {
	if len(args) == 0 || args[0] != "cli" {
		return failed("'set timeout' only supports 'cli'.")
	}
	if len(args) < 2 {
		return failed("Expects an integer value.")
	}
	d, ok := parseDelay(args[1], time.Second)
	if !ok || d == 0 || d > maxTimeout {
		return failed("Invalid timeout value.")
	}
	c.timeout = d
	return message{}
}

// parseDelay reads a number with HAProxy's units (us ms s m h d), unit if it
// has none.
func parseDelay(s string, unit time.Duration) (time.Duration, bool) {
	units := []struct {
		suffix string
		unit   time.Duration
	}{
		{"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second},
		{"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour},
	}
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = digits, u.unit
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || int64(n) > int64(1<<63-1)/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

func setSeverity(c *client, args []string) message {
	if len(args) == 0 || !slices.Contains([]string{"none", "number", "string"}, args[0]) {
		return failed("one of 'none', 'number', 'string' is a required argument")
	}
	c.severity = args[0]
	return message{}
}

// lowerTo is the command that gives up rights.
func lowerTo(l level) func(*client, []string) message {
	return func(c *client, _ []string) message {
		if c.level < l {
			return failed("Permission denied")
		}
		c.level = l
		return message{}
	}
}

func showLevel(c *client, _ []string) message { return informed(c.level.String()) }

func showSockets(c *client, _ []string) message {
	c.printf("# socket lvl processes\nunix@%s %s all\n", c.srv.path, c.srv.level)
	return message{}
}
