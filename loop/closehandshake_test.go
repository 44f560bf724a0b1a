package loop

import (
	"crypto/tls"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestCloseDuringHandshake: a connection may be closed while its handshake's
// goroutine computes or writes. That neither writes to who has the descriptor
// next, nor keeps its slot.
func TestCloseDuringHandshake(t *testing.T) {
	server, client := tlsConfigs(t, tls.VersionTLS13)
	g := group(t, 2)
	slots := NewHandshakes(4, 2)
	defer slots.Close()
	h := &script{data: func(c *Conn, p []byte) { c.Write(p) }, eof: (*Conn).Finish}
	good := serve(t, g, "tcp", accepts(secure(server, slots, h, nil)))
	var began atomic.Int64
	bad := serve(t, g, "tcp", accepts(func(c *Conn, _ netip.AddrPort) Handler {
		cfg := server.Clone()
		cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { // on the goroutine
			switch began.Add(1) % 3 {
			case 0:
				c.Loop().Post(c.Close)
			case 1:
				c.Loop().Post(c.Finish)
			default:
				c.Loop().Do(c.Reset)
			}
			return nil, nil
		}
		c.StartServerTLS(cfg, slots, func(err error) {
			if err == nil {
				c.Close()
			}
		})
		return &script{}
	}))
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() { // ends with its rounds
			for range 10 {
				b := dial(t, bad)
				_ = tls.Client(b, client).Handshake() // it may have been in time
				c := dial(t, good)
				s := tls.Client(c, client)
				if _, err := s.Write([]byte("x")); err != nil {
					t.Errorf("a handshake beside those that end: %v", err)
				} else if _, err := s.Read(make([]byte, 1)); err != nil {
					t.Errorf("an echo beside those that end: %v", err)
				}
				_, _ = b.Close(), c.Close()
			}
		})
	}
	clients.Wait()
	eventually(t, "all connections are closed", func() bool { return conns(g) == 0 })
	eventually(t, "no slot is taken", func() bool { return slots.Running() == 0 })
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "the descriptors are closed", func() bool { return openFiles(t) <= files })
	nothingLeft(t, g)
}
