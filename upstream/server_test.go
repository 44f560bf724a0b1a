package upstream

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"imaplb/auth"
	"imaplb/loop"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// secretWord is the password of every login in these tests.
const secretWord = "swordfish"

// rig is one event loop with a server to log in to. The server's side of each
// connection runs script, on its own goroutine, and is closed behind it.
type rig struct {
	t      *testing.T
	group  *loop.Group
	loop   *loop.Loop
	slots  *loop.Handshakes
	config Config
	server ServerConfig
	socket loop.SocketConfig
}

func newRig(t *testing.T) *rig {
	t.Helper()
	g, err := loop.NewGroup(1, loop.Auto, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	r := &rig{
		t: t, group: g, loop: g.Loops[0], slots: loop.NewHandshakes(8, 2),
		config: Config{TimeoutConnect: patience, TimeoutLogin: patience}, server: DefaultServerConfig(),
	}
	t.Cleanup(func() {
		r.eventually("all descriptors are closed", func() bool { return r.loop.Conns() == 0 })
		r.eventually("no handshake runs", func() bool { return r.slots.Running() == 0 })
		r.loop.Do(func() {}) // what the handshakes posted last
		g.Stop()
	})
	return r
}

// eventually asks until the answer is yes.
func (r *rig) eventually(what string, yes func() bool) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !yes(); <-tick.C {
		if time.Now().After(end) {
			r.t.Errorf("not true in time: %s", what)
			return
		}
	}
}

// serve listens and plays script for each connection.
func (r *rig) serve(network, addr string, script func(*peer)) net.Listener {
	r.t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.server.Addr = ln.Addr().String()
	if network == "unix" {
		r.server.Addr = "unix:" + addr
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			script(&peer{t: r.t, Conn: c, in: bufio.NewReader(c)})
			_ = c.Close()
		}
	}()
	r.t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln
}

// scripted serves over TCP.
func (r *rig) scripted(script func(*peer)) { r.serve("tcp", "127.0.0.1:0", script) }

// peer is the server's side of a connection.
type peer struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (p *peer) say(s string) { _, _ = io.WriteString(p.Conn, s) }

// want reads a line; whether it is the wanted one is the test's verdict.
func (p *peer) want(line string) {
	p.t.Helper()
	if got, err := p.in.ReadString('\n'); got != line {
		p.t.Errorf("server got %q (%v), want %q", got, err, line)
	}
}

// line reads a line.
func (p *peer) line() string {
	s, _ := p.in.ReadString('\n')
	return s
}

// gone waits until the other side has closed, and returns what it said before.
func (p *peer) gone() string {
	b, _ := io.ReadAll(p.in)
	return string(b)
}

// reset closes so that the other side gets a reset.
func (p *peer) reset() {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	_ = p.Conn.Close()
}

// secure goes on under TLS.
func (p *peer) secure(cert tls.Certificate) error {
	c := tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
	p.Conn, p.in = c, bufio.NewReader(c)
	return c.Handshake()
}

// waiter is a Done that hands the result to the test.
type waiter struct{ results chan *Result }

func (w waiter) LoginDone(_ *Attempt, r *Result) { w.results <- r }

// start begins a login and does not wait for it.
func (r *rig) start() (*Attempt, chan *Result) {
	r.t.Helper()
	t, err := NewTarget(r.t.Context(), &r.config, &r.server, &r.socket)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.startAt(t, request(credentials(auth.MechNone, "alice", secretWord)))
}

func (r *rig) startAt(t *Target, req *Request) (a *Attempt, results chan *Result) {
	results = make(chan *Result, 2)
	r.loop.Do(func() {
		a = Start(r.loop, t, req, r.slots, waiter{results})
		if len(results) > 0 {
			r.t.Error("the result came before Start returned")
		}
	})
	return a, results
}

// login is a login from beginning to end. Its connection is closed at the end
// of the test.
func (r *rig) login() *Result {
	r.t.Helper()
	_, results := r.start()
	return r.wait(results)
}

func (r *rig) wait(results chan *Result) *Result {
	r.t.Helper()
	select {
	case res := <-results:
		if res.Conn != nil {
			r.t.Cleanup(func() { r.loop.Do(res.Conn.Close) })
		}
		return res
	case <-time.After(patience):
		r.t.Fatal("no result in time")
		return nil
	}
}

// authority signs certificates.
type authority struct {
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{file: filepath.Join(t.TempDir(), "ca.pem"), key: key, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a server's certificate.
func (a *authority) issue(t *testing.T, name string, ends time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: ends.Add(-2 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
