package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Addr is an address that can be dialled without further look-ups. Immutable.
type Addr struct {
	raw    []byte // as connect(2) takes it
	family int
	text   string
	ap     netip.AddrPort
}

// String is the address as "ip:port" or "unix:/path".
func (a Addr) String() string { return a.text }

// AddrPort is the address of a TCP server, zero for a unix socket.
func (a Addr) AddrPort() netip.AddrPort { return a.ap }

// AddrFrom makes an Addr of an IP address with port.
func AddrFrom(ap netip.AddrPort) Addr {
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	a := Addr{family: unix.AF_INET, text: ap.String(), ap: ap, raw: rawTCP(ap)}
	if ap.Addr().Is6() {
		a.family = unix.AF_INET6
	}
	return a
}

// Resolve turns "host:port" or "unix:/path" into an address; of a name's
// addresses it takes the lowest, IPv4 before IPv6. It blocks and must not be called on a loop.
func Resolve(ctx context.Context, text string) (Addr, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if len(path) == 0 || len(path) > 107 { // sun_path, unix(7)
			return Addr{}, fmt.Errorf("loop: resolve %q: a unix path has 1 to 107 bytes", text)
		}
		return Addr{raw: rawUnix(path), family: unix.AF_UNIX, text: text}, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return Addr{}, fmt.Errorf("loop: resolve: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Addr{}, fmt.Errorf("loop: resolve %q: bad port", text)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return AddrFrom(netip.AddrPortFrom(ip, uint16(n))), nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return Addr{}, fmt.Errorf("loop: resolve: %w", err)
	}
	if len(ips) == 0 {
		return Addr{}, fmt.Errorf("loop: resolve %q: no address", host)
	}
	// The order of an answer changes from one to the next; a reload must not
	// find another server behind the same addresses.
	slices.SortFunc(ips, func(a, b netip.Addr) int { return a.Unmap().Compare(b.Unmap()) })
	return AddrFrom(netip.AddrPortFrom(ips[0], uint16(n))), nil
}

// Dial begins to connect. The answer, good or bad, comes through the handler:
// Connected if h has that method (see [Connector]), else the first Data; Closed
// if it failed. An error returned at once means that nothing was begun.
// source is the local address, zero for the kernel's choice.
func (l *Loop) Dial(to Addr, source netip.Addr, sc *SocketConfig, h Handler) (*Conn, error) {
	if to.family == unix.AF_UNSPEC { // the zero Addr
		return nil, fmt.Errorf("loop: dial: no address: %w", unix.EHOSTUNREACH)
	}
	const how = unix.SOCK_STREAM | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(to.family, how, 0)
	if err != nil && IsExhausted(err) && l.freed() {
		fd, err = unix.Socket(to.family, how, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("loop: dial %s: %w", to, err)
	}
	if err := connect(fd, to, source, sc); err != nil {
		_ = unix.Close(fd) // nothing was sent
		return nil, fmt.Errorf("loop: dial %s: %w", to, err)
	}
	// A server that speaks first needs no notice of the connection: its
	// greeting is one.
	want := wantRead
	_, tell := h.(Connector)
	switch {
	case tell && l.ring != nil:
		want = wantWrite // a receive that fails would take the reason with it
	case tell:
		want |= wantWrite
	}
	c, err := l.add(fd, h, want)
	if err != nil {
		return nil, err
	}
	l.count.Add(1)
	if tell {
		c.mode |= connecting
	}
	return c, nil
}

// Connector is a Handler that wants to know when a dialled connection stands,
// because it has to speak first.
type Connector interface {
	Connected(c *Conn)
}

func connect(fd int, to Addr, source netip.Addr, sc *SocketConfig) error {
	if to.family != unix.AF_UNIX {
		if err := sc.apply(fd); err != nil {
			return err
		}
	}
	if source.IsValid() && to.family != unix.AF_UNIX {
		// The port is chosen at connect, so that one source address serves
		// as many connections as there are ports for each destination.
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return err
		}
		if err := rawCall(unix.SYS_BIND, fd, AddrFrom(netip.AddrPortFrom(source, 0)).raw); err != nil {
			return err
		}
	}
	err := rawCall(unix.SYS_CONNECT, fd, to.raw)
	switch {
	case errors.Is(err, unix.EINPROGRESS):
		return nil
	case errors.Is(err, unix.EAGAIN): // a unix socket whose queue is full
		return unix.ECONNREFUSED
	}
	return err
}

// connected is called when a connecting descriptor became writable or failed,
// and reports whether it stands.
func (c *Conn) connected() bool {
	e, err := unix.GetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && e != 0 {
		err = unix.Errno(e)
	}
	if err != nil {
		c.fail(err)
		return false
	}
	if c.loop.ring == nil && !c.Established() {
		return false // the event was the one of the descriptor's former connection
	}
	c.mode &^= connecting
	if h, ok := c.h.(Connector); ok { // else it is to be finished
		h.Connected(c)
	}
	c.rewant()
	return c.fd >= 0
}

// Established reports whether a dialled connection stands. It is a system call.
func (c *Conn) Established() bool {
	if c.fd < 0 {
		return false
	}
	_, err := unix.Getpeername(c.FD())
	return err == nil
}

// IsRefused reports whether err says that nobody listens there or the host is
// known to be away, in contrast to a timeout.
func IsRefused(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) ||
		errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ENOENT)
}

// IsExhausted reports whether err says that this process or host has no
// descriptor, port or memory left: no fault of the other side.
func IsExhausted(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) ||
		errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// IsBroken reports whether err says no more than that the connection ended
// where it should not have.
func IsBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.EPIPE) || errors.Is(err, ErrHandshakeAborted)
}
