package stats

import (
	"fmt"
	"net"
	"syscall"
)

// Orders change more than this process: they hold for the cluster, unless
// their last word is "local".

// order takes that last word off.
func (c *client) order(args []string) (Order, []string) {
	o := Order{By: c.by}
	if n := len(args); n > 0 && args[n-1] == "local" {
		o.Local = true
		args = args[:n-1]
	}
	return o, args
}

// caller names who is at the other end of the socket, for the record.
func caller(conn *net.UnixConn, l level) string {
	raw, err := conn.SyscallConn()
	if err != nil {
		return l.String()
	}
	var cred *syscall.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if controlErr != nil || err != nil {
		return l.String()
	}
	return fmt.Sprintf("%s uid=%d", l, cred.Uid)
}

func forgetPeer(c *client, args []string) message {
	if len(args) != 1 {
		return failed("The name of a dead peer is expected (use 'show peers').")
	}
	return outcome(c.node.ForgetPeer(Order{By: c.by, Local: true}, args[0]))
}

const moveUsage = "Usage: move user <user> <bk>/<srv>"

// moveUser moves a user and waits until it is done.
func moveUser(c *client, args []string) message {
	m, o, bad := c.whoAndWhere(args, moveUsage)
	if bad != "" {
		return failed(bad)
	}
	return outcome(c.node.Move(c.srv.ctx, o, m))
}
