package loop

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SocketConfig is what every TCP socket gets. Zero leaves a value to the kernel.
type SocketConfig struct {
	KeepAliveIdle time.Duration // silence until the other side is asked whether it lives
	UserTimeout   time.Duration // longest time that sent bytes, or such a question, stay unanswered
}

// apply sets the options on a TCP socket. On a listener it serves all sockets
// accepted from it: the kernel hands the options down. Urgent bytes are bytes like
// others (RFC 6093 section 4): apart they would wake a ring's receive for nothing. How often a silent side
// is asked is left to the kernel, since TCP_USER_TIMEOUT decides when it is
// dead (tcp(7)), and every option costs a call for each login.
func (sc *SocketConfig) apply(fd int) error {
	set := func(level, opt, v int) error {
		if v == 0 {
			return nil
		}
		return unix.SetsockoptInt(fd, level, opt, v)
	}
	for _, o := range [...]struct{ level, opt, v int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.SOL_SOCKET, unix.SO_OOBINLINE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds(sc.KeepAliveIdle)},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(sc.UserTimeout.Milliseconds())},
	} {
		if err := set(o.level, o.opt, o.v); err != nil {
			return fmt.Errorf("loop: set socket option: %w", err)
		}
	}
	return nil
}

// seconds rounds up, since zero would switch the option off.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// addrPort is the address of a TCP socket, zero for others. An IPv4 address
// that came in through an IPv6 socket is an IPv4 address.
func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// readFD is recv(2), writeFD send(2), n never below zero. They go to the kernel
// without telling Go's scheduler, since a non-blocking call comes straight
// back, and spare read(2)'s and write(2)'s detour through the file system.
func readFD(fd int, p []byte) (int, error) {
	return stream(unix.SYS_RECVFROM, fd, p)
}

func writeFD(fd int, p []byte) (int, error) {
	return stream(unix.SYS_SENDTO, fd, p)
}

// stream calls recv or send. A send to a connection that is gone is EPIPE and
// no signal.
func stream(call uintptr, fd int, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, _, e := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
