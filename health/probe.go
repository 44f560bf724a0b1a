package health

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

const sockerr = "SOCKERR" // no descriptor or port to connect with: the fault is on this side

// Connect returns a probe that connects and hangs up. network and address are
// net.Dial's: "tcp" and "host:port", or "unix" and a path. source is the local
// address to connect from, nil for the kernel's choice.
func Connect(network, address string, source net.Addr) Probe {
	dialer := net.Dialer{LocalAddr: source, KeepAlive: -1}
	return func(ctx context.Context) error {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset leaves no port in TIME_WAIT
		}
		return conn.Close()
	}
}

// word is HAProxy's word for the result of a connect, with the cause in the
// system's own words.
func word(err error) (check, desc string) {
	var errno syscall.Errno
	var dns *net.DNSError
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case err == nil:
		return "L4OK", ""
	case timeout || errors.Is(err, syscall.ETIMEDOUT):
		return "L4TOUT", "connection timed out"
	case errors.As(err, &dns):
		return "L4CON", "name not resolved"
	case !errors.As(err, &errno):
		return "L4CON", "cannot connect"
	case errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.EADDRNOTAVAIL:
		return sockerr, errno.Error()
	}
	return "L4CON", errno.Error()
}
