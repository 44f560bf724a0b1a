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

func kickUser(c *client, args []string) message {
	o, args := c.order(args)
	if len(args) != 1 {
		return failed("A user name is expected.")
	}
	n, err := c.node.KickUser(o, args[0])
	if err != nil {
		return failed(err.Error())
	}
	if !o.Local && c.node.Cluster().Name != "" {
		return informedf("%d sessions closed here; the other peers close theirs.", n)
	}
	return informedf("%d sessions closed.", n)
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
	o, args := c.order(args)
	if len(args) != 2 {
		return failed(moveUsage)
	}
	if o.Local {
		return failed("A move holds for all peers: nobody may be on two servers.")
	}
	t, bad := c.target(args[1:])
	if bad != "" {
		return failed(bad)
	}
	table := c.table(t.backend.Table)
	if table == nil {
		return failedf("Backend %s has no stick table: its users are placed by the algorithm alone.", t.backend.Name)
	}
	if c.out.Flush() != nil {
		return message{}
	}
	m := Move{Table: table.Name(), User: args[0], Backend: t.backend.Name, Server: t.row.Name}
	return outcome(c.node.Move(c.srv.ctx, o, m))
}
