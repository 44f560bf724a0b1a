package frontend

import (
	"fmt"
	"net/netip"
)

// ParseNetwork reads a network, "10.0.0.0/8", or an address, which is a network
// of one. IPv4 within IPv6 is IPv4. Bits behind the prefix are an error, since
// they are a slip more often than not.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`frontend: bad network %q: write "10.0.0.0/8" or an IP address`, s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("frontend: bad network %q: bits are set behind the prefix, write %q", s, p.Masked())
	}
	return p, nil
}
