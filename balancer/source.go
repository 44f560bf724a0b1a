package balancer

import (
	"net/netip"

	"github.com/cespare/xxhash/v2"
)

const sourceBits = 64 // of an IPv6 address: hosts change the rest as they like

// sourceHash is for balance = "source": users from one address go to one
// server. A client of a unix socket has none; its key stands in.
func sourceHash(ask *Ask) uint64 {
	a := ask.Source.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return keyHash(ask.Key)
	case a.Is6():
		a = netip.PrefixFrom(a, sourceBits).Masked().Addr()
	}
	b := a.As16()
	return xxhash.Sum64(b[:])
}
