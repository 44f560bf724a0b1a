package loop

import (
	"crypto/tls"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFinishTellsNothing: the handler hears no more of a connection that it
// finishes, though the other side has reset it a moment ago, and so the
// close_notify fails.
func TestFinishTellsNothing(t *testing.T) {
	t.Parallel()
	for _, finish := range []func(*Conn){(*Conn).Finish, (*Conn).FinishQuiet} {
		eachVersion(t, func(t *testing.T, server, client *tls.Config) {
			g := group(t, 1)
			slots := NewHandshakes(1, 1)
			started := make(chan *Conn, 1)
			h := &script{closed: func(_ *Conn, err error) { t.Errorf("Closed(%v)", err) }}
			ln := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
				c.StartServerTLS(server, slots, func(error) { started <- c })
				return h
			}))
			raw := dial(t, ln)
			if err := tls.Client(raw, client).Handshake(); err != nil {
				t.Fatal(err)
			}
			c := wait(t, started, "the handshake")
			said, free := make(chan int), make(chan bool)
			go g.Loops[0].Do(func() { said <- c.FD(); <-free; finish(c) }) // ends below
			fd := wait(t, said, "the loop to be held up")
			_ = raw.(*net.TCPConn).SetLinger(0)
			_ = raw.Close()
			eventually(t, "the reset is here", func() bool {
				info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
				return err == nil && info.State == 7 // TCP_CLOSE
			})
			close(free)
			eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
		})
	}
}
