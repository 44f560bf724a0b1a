package stats

import "strconv"

// Limiter is the part of a Node that has to do with limits. They hold for this
// process and until the next reload.
type Limiter interface {
	// SetGlobalMaxconn bounds the client connections; 0 is the file's limit.
	SetGlobalMaxconn(o Order, n int) error
	// SetFrontendMaxconn bounds those of a frontend; 0 is no limit.
	SetFrontendMaxconn(o Order, frontend string, n int) error
	// SetServerMaxconn bounds the sessions of a server; 0 is no limit.
	SetServerMaxconn(o Order, backend, server string, n int) error
}

// maxMaxconn is the highest maxconn, as in the configuration.
const maxMaxconn = 50_000_000

const (
	needNumber = "Integer value expected."
	outOfRange = "Value out of range."
)

// setGlobalMaxconn takes no more than the descriptors suffice for.
func setGlobalMaxconn(c *client, args []string) message {
	n, bad := maxconnOf(args)
	if bad == "" && n > c.node.Info().HardMaxconn {
		bad = outOfRange
	}
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.SetGlobalMaxconn(Order{By: c.by, Local: true}, n))
}

func setFrontendMaxconn(c *client, args []string) message {
	if len(args) == 0 {
		return failed("A frontend name is expected.")
	}
	for _, p := range c.node.Proxies() {
		if p.Kind != KindFrontend || !is(args[0], p.Name, p.ID) {
			continue
		}
		n, bad := maxconnOf(args[1:])
		if bad != "" {
			return failed(bad)
		}
		return outcome(c.node.SetFrontendMaxconn(Order{By: c.by, Local: true}, p.Name, n))
	}
	return failed("No such frontend.")
}

func setServerMaxconn(c *client, args []string) message {
	t, bad := c.target(args)
	if bad != "" {
		return failed(bad)
	}
	if len(args) == 1 {
		return failed("Require <maxconn>.")
	}
	n, bad := maxconnOf(args[1:])
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.SetServerMaxconn(Order{By: c.by, Local: true}, t.backend.Name, t.row.Name, n))
}

// maxconnOf reads the limit. HAProxy takes what is no number for 0, which
// closes a frontend; here it is an error.
func maxconnOf(args []string) (n int, bad string) {
	if len(args) == 0 {
		return 0, needNumber
	}
	n, err := strconv.Atoi(args[0])
	switch {
	case err != nil:
		return 0, needNumber
	case n < 0 || n > maxMaxconn:
		return 0, outOfRange
	}
	return n, ""
}
