package stats

import (
	"fmt"
	"strconv"
)

// Limiter is the part of a Node that has to do with limits. Those of
// connections hold for this process and until the next reload.
type Limiter interface {
	// SetGlobalMaxconn bounds the client connections; 0 is the file's limit.
	SetGlobalMaxconn(o Order, n int) error
	// SetFrontendMaxconn bounds those of a frontend; 0 is no limit.
	SetFrontendMaxconn(o Order, frontend string, n int) error
	// SetServerMaxconn bounds the sessions of a server; 0 is no limit.
	SetServerMaxconn(o Order, backend, server string, n int) error
	// Limits tells how near servers are to the limits that peers share.
	Limits() []Limit
}

// Limit is a limit of a server as it is in force now.
type Limit struct {
	Backend, Server string
	Kind            string // "maxconn", "maxlogins" or "login_rate"
	All             int64  // for all peers together
	Here            int64  // what this one may have of it
	UsedHere        int64
	Used            int64 // by all
	Parts           []LimitPart
}

// LimitPart is what a peer has told of a limit.
type LimitPart struct {
	Peer        string
	Claim, Used int64
	Wants       int64 // used, and waiting
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
	o, args := c.order(args)
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
	return outcome(c.node.SetServerMaxconn(o, t.backend.Name, t.row.Name, n))
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

// showServersLimits tells of each limit of a server what there is for all, what
// this peer may have and has of it, what all have, and of each peer its claim,
// what it has and what it wants.
func showServersLimits(c *client, args []string) message {
	only := ""
	if len(args) > 0 {
		p := findBackend(c.node.Proxies(), args[0])
		if p == nil {
			return failed(cantFindOne)
		}
		only = p.Name
	}
	c.printf("# backend server limit total here used_here used peers(claim/used/wants)\n")
	for _, l := range c.node.Limits() {
		if only != "" && only != l.Backend {
			continue
		}
		c.row = fmt.Appendf(c.row, "%s %s %s %d %d %d %d ", l.Backend, l.Server, l.Kind, l.All, l.Here, l.UsedHere, l.Used)
		for i, p := range l.Parts {
			if i > 0 {
				c.row = append(c.row, ',')
			}
			c.row = appendEscaped(c.row, p.Peer)
			c.row = fmt.Appendf(c.row, "=%d/%d/%d", p.Claim, p.Used, p.Wants)
		}
		if len(l.Parts) == 0 {
			c.row = append(c.row, '-')
		}
		if !c.flushRow() {
			break
		}
	}
	return message{}
}
