package conf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxUnixPath is the longest path of a unix socket in bytes: what sun_path
// holds with its closing zero (unix(7)).
const maxUnixPath = 107

// maxHost is the longest host name in bytes. RFC 1123 section 2.1.
const maxHost = 255

// bind is a parsed listening address.
type bind struct {
	unix string         // path, "" for TCP
	addr netip.AddrPort // an invalid Addr is every address, of IPv4 and IPv6
}

// parseBind reads "ip:port", "[ip6]:port", ":port" or "unix:/path". Port 0 is
// the kernel's choice.
func parseBind(s string) (bind, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return bind{unix: path}, checkUnixPath(path)
	}
	host, port, err := splitHostPort(s)
	if err != nil {
		return bind{}, err
	}
	if host == "" {
		return bind{addr: netip.AddrPortFrom(netip.Addr{}, port)}, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return bind{}, fmt.Errorf("bad address %q: %q is no IP address", s, host)
	}
	if ip == netip.IPv6Unspecified() {
		ip = netip.Addr{} // a listener on [::] takes IPv4 as well
	}
	return bind{addr: netip.AddrPortFrom(ip, port)}, nil
}

// overlaps reports whether bind(2) would refuse b where a is bound.
func (a bind) overlaps(b bind) bool {
	if a.unix != "" || b.unix != "" {
		return a.unix == b.unix
	}
	x, y := a.addr.Addr(), b.addr.Addr()
	if a.addr.Port() != b.addr.Port() || a.addr.Port() == 0 {
		return false
	}
	if !x.IsValid() || !y.IsValid() || x == y {
		return true
	}
	return x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// checkServerAddr judges "host:port" or "unix:/path" and returns the form in
// which equal addresses are equal strings.
func checkServerAddr(s string) (canonical string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return s, checkUnixPath(path)
	}
	host, port, err := splitHostPort(s)
	if err != nil {
		return "", err
	}
	if port == 0 {
		return "", fmt.Errorf("bad address %q: nothing listens on port 0", s)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), port).String(), nil
	}
	if !isHostName(host) {
		return "", fmt.Errorf("bad address %q: %q is neither an IP address nor a host name", s, host)
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), strconv.Itoa(int(port))), nil
}

// splitHostPort is net.SplitHostPort with a numeric port and errors that tell
// what to write.
func splitHostPort(s string) (host string, port uint16, err error) {
	host, digits, err := net.SplitHostPort(s)
	if err != nil {
		var addrErr *net.AddrError
		if ip, ipErr := netip.ParseAddr(s); ipErr == nil {
			return "", 0, fmt.Errorf("bad address %q: the port is missing, write %q", s, net.JoinHostPort(ip.String(), "143"))
		}
		if errors.As(err, &addrErr) {
			return "", 0, fmt.Errorf("bad address %q: %s", s, addrErr.Err)
		}
		return "", 0, fmt.Errorf("bad address %q", s)
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("bad address %q: bad port %q, write 1 to 65535", s, digits)
	}
	return host, uint16(n), nil
}

// checkUnixPath judges the path of a unix socket.
func checkUnixPath(path string) error {
	if path == "" {
		return errors.New(`the path is missing behind "unix:"`)
	}
	if len(path) > maxUnixPath {
		return fmt.Errorf("the path of a unix socket has at most %d bytes, this one has %d", maxUnixPath, len(path))
	}
	return nil
}

// isHostName reports whether s has the form of a host name; underscores are
// let through since some networks have them. RFC 1123 section 2.1.
func isHostName(s string) bool {
	if s == "" || len(s) > maxHost {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
