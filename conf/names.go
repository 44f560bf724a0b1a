package conf

import (
	"net"
	"net/netip"
	"strings"

	"imaplb/resolver"
)

// maxAllName is the longest name of a server that stands for several, in
// bytes: behind it come a dash and an address.
const maxAllName = maxName - len("-2001:0db8:1111:2222:3333:4444:5555:6666")

// HostName is the name in the server's addr that has to be looked up, "" if
// there is none.
func (s *Server) HostName() string {
	if strings.HasPrefix(s.Upstream.Addr, "unix:") {
		return ""
	}
	host, _, err := net.SplitHostPort(s.Upstream.Addr)
	if err != nil {
		return ""
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return strings.ToLower(host)
}

// AtAddress is the server with an address in the place of its name, or, with
// the zero address, with none. One that stands for several is then called
// NAME-ADDRESS.
func (s Server) AtAddress(ip netip.Addr) Server {
	_, port, _ := net.SplitHostPort(s.Upstream.Addr) // it has been checked
	if !ip.IsValid() {
		s.Upstream.Addr = ""
		return s
	}
	if s.Upstream.Resolve == "all" {
		s.Name += "-" + ip.String()
	}
	s.Upstream.Addr = net.JoinHostPort(ip.String(), port)
	return s
}

// checkNameservers judges who is asked for names.
func (r *report) checkNameservers(list []string) {
	for i, s := range list {
		if _, err := resolver.ParseNameserver(s); err != nil {
			r.fault(indexPath("global.nameservers", i), "%q is no nameserver: write an IP address, or one with port, such as \"10.0.0.1:53\"", s)
		}
	}
}

// checkResolve judges a server that stands for several.
func (r *report) checkResolve(path string, s Server) {
	switch {
	case s.Upstream.Resolve != "all":
	case s.HostName() == "":
		r.fault(path, `"all", but addr has no name to look up`)
	case len(s.Name) > maxAllName:
		r.fault(path, `"all" needs a name of the server of at most %d bytes: behind it comes the address`, maxAllName)
	}
}

// checkAllNames finds servers whose name one that stands for several may get.
func (r *report) checkAllNames(path string, servers []Server) {
	for _, s := range servers {
		for _, other := range servers {
			ip, found := strings.CutPrefix(other.Name, s.Name+"-")
			if _, err := netip.ParseAddr(ip); s.Upstream.Resolve == "all" && found && err == nil {
				r.fault(keyPath(path, other.Name), "server %q, which stands for several, may get this name", s.Name)
			}
		}
	}
}
