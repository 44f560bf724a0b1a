package balancer

import "net/netip"

// Ask is for whom a server is wanted.
type Ask struct {
	Key    string     // of the stick table
	Source netip.Addr // the client's; zero for a unix socket
	Tag    string     // only servers with this tag are chosen; "" is any server
}
