// budget: one file, because the stories share their scripts and clients.

package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// versions are the versions of TLS that are spoken.
var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// eachVersion runs f for each version of TLS.
func eachVersion(t *testing.T, f func(t *testing.T, server, client *tls.Config)) {
	t.Helper()
	for name, v := range versions {
		t.Run("TLS "+name, func(t *testing.T) {
			t.Parallel()
			server, client := tlsConfigs(t, v)
			f(t, server, client)
		})
	}
}

// batch is a net.Conn that keeps what is written behind the first n writes,
// and sends it in one piece.
type batch struct {
	net.Conn
	mu   sync.Mutex
	free int
	kept []byte
}

func (b *batch) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free > 0 {
		b.free--
		return b.Conn.Write(p)
	}
	b.kept = append(b.kept, p...)
	return len(p), nil
}

// SetWriteDeadline is what crypto/tls does around its close_notify. Our bytes
// go out behind it.
func (b *batch) SetWriteDeadline(time.Time) error { return nil }

func (b *batch) send(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.Conn.Write(b.kept); err != nil {
		t.Error(err)
	}
	b.kept, b.free = nil, 1<<30
}

// handshakeFirst waits for both sides' end of the handshake: a client that
// sends more than a little ahead is refused.
func handshakeFirst(t *testing.T, c *tls.Conn, started <-chan *Conn) *Conn {
	t.Helper()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return wait(t, started, "the handshake")
}

func TestTLSEchoToSlowReader(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		var most atomic.Int64
		stopped := make(chan struct{}, 1)
		h := echo(&most, stopped)
		started := make(chan *Conn, 1)
		ln := serve(t, group(t, 2), "tcp", accepts(secure(server, NewHandshakes(2, 2), h, func(c *Conn, _ error) { started <- c })))
		c := tls.Client(dial(t, ln), client)
		handshakeFirst(t, c, started)
		exchange(t, c, noise(4, 16<<20), stopped, c.CloseWrite)
		if n := most.Load(); n > readSize {
			t.Errorf("kept %d bytes, want at most %d", n, readSize)
		}
	})
}

// TestTLSResumed also shows that TLS tells what was agreed.
func TestTLSResumed(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		client.NextProtos, server.NextProtos = []string{"imap"}, []string{"imap"}
		info := make(chan TLSInfo, 1)
		h := &script{data: func(c *Conn, p []byte) { c.Write(p) }, eof: func(c *Conn) { c.Finish() }}
		a := accepts(secure(server, NewHandshakes(1, 1), h, func(c *Conn, err error) {
			if err != nil || c.Handshaking() {
				t.Errorf("handshake: %v, Handshaking() = %v", err, c.Handshaking())
			}
			info <- c.TLS()
		}))
		ln := serve(t, group(t, 1), "tcp", a)
		for _, resumed := range []bool{false, true} {
			c := tls.Client(dial(t, ln), client)
			mustWrite(t, c, "x")
			mustRead(t, c, "x") // by now it has the ticket
			want := TLSInfo{Version: server.MaxVersion, Resumed: resumed, ServerName: "imap.test", ALPN: "imap"}
			if got := wait(t, info, "the handshake"); got != want {
				t.Errorf("TLS() = %+v, want %+v", got, want)
			}
			_ = c.Close()
		}
	})
}

// TestTLSBytesBehindFinished arrive in one segment with it: nothing more comes
// that would wake the connection.
func TestTLSBytesBehindFinished(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		var hold atomic.Bool
		started, data := make(chan *Conn, 1), make(chan string, 10)
		h := &script{data: func(c *Conn, p []byte) {
			if c.Paused() {
				t.Error("Data of a paused connection")
			}
			data <- string(p)
		}}
		ln := serve(t, group(t, 1), "tcp", accepts(secure(server, NewHandshakes(1, 1), h, func(c *Conn, err error) {
			if hold.Load() {
				c.Pause()
			}
			c.Write([]byte("* OK\r\n"))
			started <- c
		})))
		// In TLS 1.2 the client's Finished is the last only of a handshake
		// that resumes a session. The first one fetches the ticket.
		first := tls.Client(dial(t, ln), client)
		mustRead(t, first, "* OK\r\n")
		wait(t, started, "the handshake")
		for _, held := range []bool{false, true} {
			hold.Store(held)
			b := &batch{Conn: dial(t, ln), free: 1}
			c := tls.Client(b, client)
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, c, "a1 ")
			mustWrite(t, c, "NOOP\r\n")
			b.send(t)
			s := wait(t, started, "the handshake")
			if held {
				s.loop.Do(func() { none(t, data, "data of a paused connection"); s.Resume() })
			}
			for got := ""; got != "a1 NOOP\r\n"; {
				got += wait(t, data, "the rest behind "+got)
			}
			mustRead(t, c, "* OK\r\n")
		}
	})
}

// TestTLSClientSide dials a server that greets in one segment with the last of
// its handshake.
func TestTLSClientSide(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		ln, to := target(t, "tcp")
		g, slots := group(t, 1), NewHandshakes(1, 1)
		done, data, eof := make(chan error, 2), make(chan string, 10), make(chan bool, 2)
		h := &connector{connected: func(c *Conn) {
			c.StartClientTLS(client, slots, func(err error) { done <- err })
		}}
		h.data = func(c *Conn, p []byte) { data <- string(p); c.Write(p) }
		h.eof = func(c *Conn) { eof <- true; c.Finish() }
		if _, err := dialOn(t, g, to, netip.Addr{}, h); err != nil {
			t.Fatal(err)
		}
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		b := &batch{Conn: raw, free: 1}
		s := tls.Server(b, server)
		if err := s.Handshake(); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, s, "* OK ready\r\n")
		b.send(t)
		if err := wait(t, done, "the handshake"); err != nil {
			t.Fatal(err)
		}
		if got := wait(t, data, "the greeting"); got != "* OK ready\r\n" {
			t.Errorf("data = %q, want the greeting", got)
		}
		mustRead(t, s, "* OK ready\r\n")
		_ = s.CloseWrite()
		wait(t, eof, "EOF")
		if got := readAll(t, s); got != "" {
			t.Errorf("read %q, want the end", got)
		}
		_ = s.Close()
		eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
		none(t, eof, "a second EOF")
		none(t, done, "a second result")
	})
}

// TestTLSLargeCertificate: a server whose flight is larger than what is kept of
// a client that talks ahead can be reached all the same.
func TestTLSLargeCertificate(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		chain := server.Certificates[0].Certificate
		for size := 0; size < 3*readSize/2; size += len(chain[0]) {
			chain = append(chain, chain[0])
		}
		server.Certificates[0].Certificate = chain
		ln, to := target(t, "tcp")
		slots := NewHandshakes(1, 1)
		done := make(chan error, 2)
		h := &connector{connected: func(c *Conn) {
			c.StartClientTLS(client, slots, func(err error) { done <- err })
		}}
		if _, err := dialOn(t, group(t, 1), to, netip.Addr{}, h); err != nil {
			t.Fatal(err)
		}
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = raw.Close() })
		_ = raw.SetDeadline(time.Now().Add(patient))
		if err := tls.Server(raw, server).Handshake(); err != nil {
			t.Errorf("the server's handshake: %v", err)
		}
		if err := wait(t, done, "the result"); err != nil {
			t.Error(err)
		}
	})
}

// TestTLSClientRefuses a certificate that it does not know, and says so.
func TestTLSClientRefuses(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		_, client.RootCAs = certificate(t)
		ln, to := target(t, "tcp")
		g := group(t, 1)
		done := make(chan error, 2)
		h := &connector{connected: func(c *Conn) {
			c.StartClientTLS(client, NewHandshakes(1, 1), func(err error) { done <- err })
		}}
		// The server may hang up faster than the result is posted.
		h.closed = func(_ *Conn, err error) { done <- err }
		if _, err := dialOn(t, g, to, netip.Addr{}, h); err != nil {
			t.Fatal(err)
		}
		raw, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s := tls.Server(raw, server)
		err = s.Handshake()
		if err == nil { // TLS 1.3 hears of it with the first read
			_, err = s.Read(make([]byte, 1))
		}
		var alert tls.AlertError
		if !errors.As(err, &alert) && (err == nil || !bytes.Contains([]byte(err.Error()), []byte("bad certificate"))) {
			t.Errorf("the server got %v, want the alert", err)
		}
		_ = raw.Close()
		if err := wait(t, done, "the result"); err == nil {
			t.Error("the handshake succeeded")
		}
		eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
		none(t, done, "a second result")
	})
}

// TestTLSEnds: each side's close_notify is the end for the other, told once.
func TestTLSEnds(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		eof := make(chan bool, 5)
		g := group(t, 1)
		h := &script{
			data:   func(c *Conn, p []byte) { c.Write(p); c.CloseWrite(); c.Write([]byte("nothing behind the end")) },
			eof:    func(c *Conn) { eof <- c.Done() },
			closed: func(_ *Conn, err error) { t.Errorf("Closed(%v)", err) },
		}
		ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, nil)))
		c := tls.Client(dial(t, ln), client)
		mustWrite(t, c, "bye")
		if got := readAll(t, c); got != "bye" { // fails if the close_notify is missing
			t.Errorf("read %q, want bye", got)
		}
		_ = c.Close() // close_notify, FIN
		if !wait(t, eof, "EOF") {
			t.Error("Done() = false behind both ends")
		}
		// The loop does another connection's bidding, so it has seen the FIN.
		c = tls.Client(dial(t, ln), client)
		mustWrite(t, c, "x")
		if got := readAll(t, c); got != "x" { // the end too: left unread it would become a reset
			t.Errorf("read %q, want x", got)
		}
		none(t, eof, "a second EOF")
	})
}

// TestTLSEndsOnce though a whole read of junk lies between the close_notify
// and the end of the connection.
func TestTLSEndsOnce(t *testing.T) {
	t.Parallel()
	server, client := tlsConfigs(t, tls.VersionTLS13)
	started, eof, closed := make(chan *Conn, 1), make(chan bool, 5), make(chan error, 5)
	g := group(t, 1)
	h := &script{eof: func(*Conn) { eof <- true }, closed: func(_ *Conn, err error) { closed <- err }}
	ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, func(c *Conn, _ error) {
		c.Pause()
		started <- c
	})))
	raw := dial(t, ln)
	b := &batch{Conn: raw, free: 2}
	c := tls.Client(b, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	s := wait(t, started, "the handshake")
	_ = c.CloseWrite()
	b.kept = append(b.kept, make([]byte, readSize-len(b.kept))...) // one read, full to the brim
	b.send(t)
	_ = raw.(*net.TCPConn).CloseWrite()
	eventually(t, "the kernel has it all", func() bool {
		n := 0
		s.loop.Do(func() { n, _ = unix.IoctlGetInt(s.FD(), unix.TIOCINQ); n += len(s.loop.kept[s]) })
		return n >= readSize
	})
	s.loop.Do(s.Resume)
	wait(t, eof, "EOF")
	for range 2 { // let the loop serve what there is
		s.loop.Do(func() {})
	}
	none(t, eof, "a second EOF")
	none(t, closed, "Closed")
}

// TestTLSWithoutCloseNotify: the connection's end is taken for one, too.
func TestTLSWithoutCloseNotify(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		eof := make(chan bool, 5)
		h := &script{data: func(c *Conn, p []byte) { c.Write(p) }, eof: func(*Conn) { eof <- true }}
		ln := serve(t, group(t, 1), "tcp", accepts(secure(server, NewHandshakes(1, 1), h, nil)))
		raw := dial(t, ln)
		c := tls.Client(raw, client)
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		_ = raw.(*net.TCPConn).CloseWrite()
		wait(t, eof, "EOF")
		none(t, eof, "a second EOF")
	})
}

// TestTLSBadRecord breaks the connection, and the client is told.
func TestTLSBadRecord(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		closed := make(chan error, 5)
		h := &script{data: func(c *Conn, p []byte) { c.Write(p) }, closed: func(_ *Conn, err error) { closed <- err }}
		ln := serve(t, group(t, 1), "tcp", accepts(secure(server, NewHandshakes(1, 1), h, nil)))
		raw := dial(t, ln)
		c := tls.Client(raw, client)
		mustWrite(t, c, "x")
		mustRead(t, c, "x")
		mustWrite(t, raw, "\x17\x03\x03\x00\x20"+string(make([]byte, 32)))
		if err := wait(t, closed, "Closed"); err == nil {
			t.Error("Closed(nil)")
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the client's read = %v, want the alert", err)
		}
		none(t, closed, "Closed twice")
	})
}

// TestTLSPauseAmongRecords: a pause at every Data loses and reorders nothing,
// whether Resume comes at once, in the call itself, or later.
func TestTLSPauseAmongRecords(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		for _, nested := range []bool{true, false} {
			var got bytes.Buffer
			end := make(chan bool, 1)
			g := group(t, 1)
			h := &script{
				data: func(c *Conn, p []byte) {
					got.Write(p)
					c.Pause()
					if nested {
						c.Resume()
					} else {
						c.Loop().Post(c.Resume)
					}
				},
				eof: func(*Conn) { end <- true },
			}
			started := make(chan *Conn, 1)
			ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, func(c *Conn, _ error) { started <- c })))
			c := tls.Client(dial(t, ln), client)
			handshakeFirst(t, c, started)
			sent := noise(5, 2<<20)
			rnd := rand.New(rand.NewPCG(1, 1))
			for rest := sent; len(rest) > 0; {
				n := min(len(rest), 1+rnd.IntN(1+rnd.IntN(20000)))
				if _, err := c.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			_ = c.CloseWrite()
			wait(t, end, "EOF")
			if !bytes.Equal(got.Bytes(), sent) {
				t.Errorf("nested %v: got %d bytes, want the same %d", nested, got.Len(), len(sent))
			}
		}
	})
}

// TestTLSCloseInCallback: as TestCloseInCallback, and in the result of the
// handshake. Bytes lie behind the one at which the connection is ended.
func TestTLSCloseInCallback(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"Data", "EOF", "Drained", "done"} {
		for _, how := range []string{"Close", "Reset", "Finish"} {
			t.Run(how+" in "+where, func(t *testing.T) {
				t.Parallel()
				server, client := tlsConfigs(t, tls.VersionTLS13)
				g := group(t, 1)
				ends := make(chan string, 10)
				end := func(in string, c *Conn) {
					if in == where {
						ends <- in
						ending(c, how)
					}
				}
				h := &script{
					data: func(c *Conn, _ []byte) {
						end("Data", c)
						c.Write(make([]byte, 8<<20))
						for where == "Drained" && c.FD() >= 0 && c.Pending() == 0 {
							c.Write(make([]byte, 8<<20)) // the client was as fast
						}
					},
					eof:     func(c *Conn) { end("EOF", c) },
					drained: func(c *Conn) { end("Drained", c) },
					closed:  func(_ *Conn, err error) { ends <- "Closed: " + err.Error() },
				}
				ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, func(c *Conn, _ error) { end("done", c) })))
				b := &batch{Conn: dial(t, ln), free: 1}
				c := tls.Client(b, client)
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, c, "one")
				if where != "Drained" {
					mustWrite(t, c, "two")
				}
				if where == "EOF" {
					_ = c.CloseWrite()
				}
				b.send(t)
				_, _ = io.Copy(io.Discard, c) // ends by our end or a reset
				_ = b.Close()
				eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
				if got := wait(t, ends, where); got != where {
					t.Errorf("ended in %s, want %s", got, where)
				}
				none(t, ends, "a further event")
			})
		}
	}
}

// TestTLSFinishDelivers the last record and the close_notify.
func TestTLSFinishDelivers(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, server, client *tls.Config) {
		block := noise(6, 8<<20)
		g := group(t, 1)
		h := pushOnData(block, func(c *Conn) { c.Finish() })
		ln := serve(t, g, "tcp", accepts(secure(server, NewHandshakes(1, 1), h, nil)))
		c := tls.Client(dial(t, ln), client)
		mustWrite(t, c, "go")
		if got := readAll(t, c); got != string(block) {
			t.Errorf("read %d bytes, want the same %d and the end", len(got), len(block))
		}
		_ = c.Close()
		eventually(t, "the connection is closed", func() bool { return conns(g) == 0 })
	})
}
