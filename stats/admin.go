package stats

import (
	"slices"
	"strconv"
	"strings"
)

// The commands that change a server.

const maxWeight = 256

func setServer(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	var what string
	if len(args) > 1 {
		what = args[1]
	}
	switch what {
	case "state":
		return c.setState(t, args[2:])
	case "weight":
		return c.changeWeight(t, args[2:])
	}
	return failed("usage: set server <backend>/<server> state | weight")
}

func (c *client) setState(t target, args []string) message {
	o, args := c.order(args)
	if len(args) == 0 || !slices.Contains([]string{"ready", "drain", "maint"}, args[0]) {
		return failed("'set server <srv> state' expects 'ready', 'drain' and 'maint'.")
	}
	return outcome(c.node.SetState(o, t.backend.Name, t.row.Name, args[0]))
}

func enableServer(c *client, args []string) message  { return c.switchServer(args, "ready") }
func disableServer(c *client, args []string) message { return c.switchServer(args, "maint") }

func (c *client) switchServer(args []string, state string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	return c.setState(t, append([]string{state}, args[1:]...))
}

func setWeight(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	return c.changeWeight(t, args[1:])
}

func (c *client) changeWeight(t target, args []string) message {
	o, args := c.order(args)
	if len(args) == 0 {
		return failed("Require <weight> or <weight%>.")
	}
	weight, bad := parseWeight(args[0], t.row.InitialWeight)
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.SetWeight(o, t.backend.Name, t.row.Name, weight))
}

// parseWeight reads a weight, or a percentage of the initial one.
func parseWeight(s string, initial int) (weight int, bad string) {
	digits, relative := strings.CutSuffix(s, "%")
	n, err := strconv.ParseInt(digits, 10, 32)
	switch {
	case err != nil && strings.IndexFunc(digits, isDigit) != 0:
		return 0, "Empty weight string empty or preceded by garbage"
	case err != nil:
		return 0, "Trailing garbage in weight string"
	case relative && n < 0:
		return 0, "Relative weight must be positive."
	case relative:
		return int(min(n*int64(initial)/100, maxWeight)), ""
	case n < 0 || n > maxWeight:
		return 0, "Absolute weight can only be between 0 and 256 inclusive."
	}
	return int(n), ""
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func getWeight(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	c.printf("%d (initial %d)\n", t.row.Weight, t.row.InitialWeight)
	return message{}
}
