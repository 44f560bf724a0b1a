package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"imaplb/auth"
	"imaplb/cluster"
	"imaplb/frontend"
	"imaplb/stats"
)

// maxKicks bounds the orders of the peers to kick many that wait for their
// turn here.
const maxKicks = 64

// KickSessions ends sessions, at all peers unless the order is for this one.
func (n *node) KickSessions(o stats.Order, k stats.Kick) (int, error) {
	order := cluster.Kick{User: k.User}
	switch {
	case k.Server != "":
		order.Server = k.Backend + "/" + k.Server
	case k.Source != "":
		net, err := frontend.ParseNetwork(k.Source)
		if err != nil {
			return 0, ours(err)
		}
		order.Source = net.String()
	}
	closed, err := n.kickHere(order)
	if err != nil {
		return 0, err
	}
	if !n.alone(o) {
		return closed, n.cluster.OrderKick(time.Now(), o.By, order)
	}
	n.cluster.Note(time.Now(), o.By, order.String()+" local")
	return closed, nil
}

// Kick ends sessions at this peer. It is called where the order was given as
// well. Those of one user are found at once; for all others the sessions are
// looked through, which keepKicks does.
func (n *node) Kick(k cluster.Kick) string {
	if k.User != "" && !stats.IsMask(k.User) {
		closed, _ := n.kickHere(k)
		return fmt.Sprintf("%d sessions closed here", closed)
	}
	select {
	case n.kicks <- k:
		return "sessions are being closed here"
	default:
		return "not carried out here, too many such orders wait"
	}
}

// keepKicks carries out what Kick has left to it, until stop is closed.
func (n *node) keepKicks(stop, done chan struct{}) {
	defer close(done)
	for {
		select {
		case <-stop:
			return
		case k := <-n.kicks:
			if closed, err := n.kickHere(k); err == nil && closed > 0 {
				n.log.Info("sessions closed by order", "order", k.String(), "sessions", closed)
			}
		}
	}
}

// kickHere ends sessions at this peer and tells how many. BYEs are spread, so
// that many clients do not come back in one second.
func (n *node) kickHere(k cluster.Kick) (closed int, err error) {
	spread := n.parts.Load().conf.Global.ShutdownSpread
	switch {
	case k.Server != "":
		backend, server, _ := strings.Cut(k.Server, "/")
		s, err := n.server(backend, server)
		if err != nil {
			return 0, err
		}
		return n.engine.KickServer(s, spread), nil
	case k.Source != "":
		net, err := frontend.ParseNetwork(k.Source)
		if err != nil {
			return 0, err
		}
		return n.engine.KickIf(func(_ string, src netip.Addr) bool { return net.Contains(src) }, spread), nil
	case stats.IsMask(k.User):
		mask := strings.ToLower(k.User)
		return n.engine.KickIf(func(user string, _ netip.Addr) bool { return user != "" && auth.Match(mask, user) }, spread), nil
	}
	return n.engine.Kick(k.User), nil
}
