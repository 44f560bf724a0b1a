package loop

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// TestStopLeavesNothing: no descriptor and no goroutine outlives Stop, in
// whatever state the connections are.
func TestStopLeavesNothing(t *testing.T) {
	server, client := tlsConfigs(t, tls.VersionTLS13)
	_, to := target(t, "tcp") // also wakes the runtime's own poller
	hung := unanswered(t)
	files, goroutines := openFiles(t), runtime.NumGoroutine()

	g, err := NewGroup(2, poller, slog.New(strict{slog.DiscardHandler, t, ""}))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	slots := NewHandshakes(2, 2)
	h := &script{data: func(c *Conn, p []byte) {
		switch string(p) {
		case "pause":
			c.Pause()
		case "push":
			c.Write(make([]byte, 8<<20))
		case "finish":
			c.Finish()
		}
		c.Loop().SetTimer(new(Timer), time.Now().Add(time.Hour), expirer(func(time.Time) {}))
	}}
	plain := serve(t, g, "tcp", accepts(with(h)))
	local := serve(t, g, "unix", accepts(with(h)))
	secured := serve(t, g, "tcp", accepts(secure(server, slots, h, nil)))
	var clients []net.Conn
	for _, ln := range []*Listener{plain, local} {
		for _, say := range []string{"", "pause", "push", "finish"} {
			c := dial(t, ln)
			mustWrite(t, c, say)
			clients = append(clients, c)
		}
	}
	for range 4 { // two in slots, two that wait
		c := dial(t, secured)
		mustWrite(t, c, string(clientHello(t)))
		clients = append(clients, c)
	}
	for _, a := range []Addr{to, hung} {
		h := &connector{connected: func(c *Conn) { c.StartClientTLS(client, slots, func(error) {}) }}
		if _, err := dialOn(t, g, a, netip.Addr{}, h); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all connections are there", func() bool { return conns(g) == int64(len(clients))+2 })

	g.Stop()
	slots.Close()
	for _, l := range g.Loops {
		l.Post(func() { t.Error("ran behind Stop") })
		l.Do(func() { t.Error("ran behind Stop") })
	}
	plain.Close()
	for _, c := range clients {
		_ = c.Close()
	}
	if n := conns(g); n != 0 {
		t.Errorf("%d connections left", n)
	}
	// The goroutines of handshakes end by themselves.
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openFiles(t); n > files {
		t.Errorf("%d descriptors more than before", n-files)
	}
	if n := slots.Running(); n != 0 {
		t.Errorf("%d handshakes run", n)
	}
}

// TestChurnLeavesNothing: connections that come and go in every way give their
// descriptors, goroutines and slots back.
func TestChurnLeavesNothing(t *testing.T) {
	server, client := tlsConfigs(t, tls.VersionTLS13)
	g := group(t, 2)
	slots := NewHandshakes(4, 2)
	h := &script{
		data: func(c *Conn, p []byte) {
			switch p[0] % 5 {
			case 0:
				c.Close()
			case 1:
				c.Reset()
			case 2:
				c.Write(p)
				c.Finish()
			case 3:
				c.Write(make([]byte, 1<<20))
			default:
				c.CloseWrite()
			}
		},
		eof: func(c *Conn) { c.Finish() },
	}
	plain := serve(t, g, "tcp", accepts(with(h)))
	secured := serve(t, g, "tcp", accepts(secure(server, slots, h, nil)))
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for i := range 100 {
		var c net.Conn
		raw := dial(t, plain)
		mustWrite(t, raw, string(rune('a'+i%26)))
		if i%3 == 0 {
			_ = raw.(*net.TCPConn).SetLinger(0)
		}
		_ = raw.Close()
		c = dial(t, secured)
		switch i % 4 {
		case 0:
			mustWrite(t, c, "garbage")
		case 1:
			mustWrite(t, c, string(clientHello(t)))
		default:
			s := tls.Client(c, client)
			mustWrite(t, s, string(rune('a'+i%26)))
		}
		_ = c.Close()
	}
	eventually(t, "all connections are closed", func() bool { return conns(g) == 0 })
	eventually(t, "no slot is taken", func() bool { return slots.Running() == 0 })
	eventually(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "the descriptors are closed", func() bool { return openFiles(t) <= files })
	nothingLeft(t, g)
}
