package frontend

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"imaplb/proxyproto"
	"imaplb/sticktable"
)

// authority signs the certificates of clients.
type authority struct {
	t    *testing.T
	file string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	own := a.sign(a.cert)
	a.key = own.PrivateKey.(*ecdsa.PrivateKey)
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a certificate and its key; the authority's own signs itself.
func (a *authority) sign(c *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	parent, with := a.cert, a.key
	if with == nil {
		with = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, with)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// issue makes the certificate of a client, which ends then.
func (a *authority) issue(name string, end time.Time, use x509.ExtKeyUsage) tls.Certificate {
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: end.Add(-48 * time.Hour), NotAfter: end, ExtKeyUsage: []x509.ExtKeyUsage{use},
	})
}

// verifies is a plan of a frontend that asks for certificates, and the side of a
// client without one.
func (a *authority) verifies(verify string) (plan, *tls.Config) {
	a.t.Helper()
	server, cfg := certificate(a.t, "imap.test")
	if err := VerifyClients(server, verify, a.file); err != nil {
		a.t.Fatal(err)
	}
	return plan{config: Config{TLS: "implicit"}, tls: server}, cfg
}

// attempt does a handshake and reads on until the other side has judged it.
func (r *rig) attempt(cfg *tls.Config) error {
	r.t.Helper()
	c := r.dial()
	defer c.Close()
	s := tls.Client(c.Conn, cfg)
	if err := s.Handshake(); err != nil {
		return err
	}
	_, err := s.Read(make([]byte, 1)) // TLS 1.3: the client is done before the server
	return err
}

// A certificate that is missing where one is required, or bad, ends the
// handshake with an alert and is counted; who has a good one gets in, and where
// it is optional who has none.
func TestClientCertificates(t *testing.T) {
	ours, others := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	certs := map[string]*tls.Certificate{"none": nil}
	add := func(name string, c tls.Certificate) { certs[name] = &c }
	add("good", ours.issue("alice", soon, x509.ExtKeyUsageClientAuth))
	add("expired", ours.issue("alice", soon.Add(-2*time.Hour), x509.ExtKeyUsageClientAuth))
	add("of another authority", others.issue("alice", soon, x509.ExtKeyUsageClientAuth))
	add("for servers", ours.issue("alice", soon, x509.ExtKeyUsageServerAuth))
	stolen := ours.issue("alice", soon, x509.ExtKeyUsageClientAuth)
	stolen.PrivateKey = others.key
	add("without its key", stolen)
	good := map[string][]string{
		VerifyNone: {"none", "good", "expired", "of another authority", "for servers", "without its key"}, VerifyOptional: {"none", "good"}, VerifyRequired: {"good"},
	}
	for verify, may := range good {
		for name, cert := range certs {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				t.Run(fmt.Sprint(verify, " ", name, " ", version), func(t *testing.T) {
					t.Parallel()
					ours := *ours
					ours.t = t
					p, cfg := ours.verifies(verify)
					cfg.MaxVersion = version
					if cert != nil { // sent though it is of no authority that was named
						cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
					}
					r := newRig(t, p)
					err := r.attempt(cfg)
					if strings.Contains(strings.Join(may, ","), name) {
						if err != nil || r.fe.BadCerts.Load() != 0 {
							t.Errorf("refused: %v", err)
						}
						return
					}
					if err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
						t.Errorf("the client got %v, want an alert", err)
					}
					r.eventually("its end is logged", func() bool {
						for _, l := range r.logs.lines(t) {
							if l["msg"] == "session end" && strings.HasPrefix(fmt.Sprint(l["reason"]), reasonClientCert+": tls: ") && l["state"] == "PL" {
								return true
							}
						}
						return false
					})
					if r.fe.BadCerts.Load() != 1 || r.e.BadCerts.Load() != 1 || r.fe.TLSFailed.Load() != 1 {
						t.Errorf("counted %d bad certificates, %d failed handshakes", r.fe.BadCerts.Load(), r.fe.TLSFailed.Load())
					}
				})
			}
		}
	}
}

// Other faults of a handshake are none of the certificate.
func TestHandshakeWithoutCertificateToBlame(t *testing.T) {
	p, cfg := newAuthority(t).verifies(VerifyRequired)
	r := newRig(t, p)
	cfg.NextProtos = []string{"http/1.1"}
	if err := r.attempt(cfg); err == nil {
		t.Error("a browser got in")
	}
	r.eventually("the handshake failed", func() bool { return r.fe.TLSFailed.Load() == 1 })
	if n := r.fe.BadCerts.Load(); n != 0 {
		t.Errorf("%d bad certificates counted", n)
	}
}

// headers is a server that reads a PROXY header from each connection, tells it,
// and says a word.
func headers(t *testing.T) (addr string, got chan proxyproto.Header) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got = make(chan proxyproto.Header, 16)
	return serveEach(t, ln, func(c net.Conn) {
		in := bufio.NewReader(c)
		for n := 1; ; n++ {
			b, err := in.Peek(n)
			if err != nil {
				return
			}
			if size, err := proxyproto.Size(b); err != nil || size > 0 {
				h, _ := proxyproto.Parse(b)
				got <- h
				_, _ = io.WriteString(c, "ready\r\n")
				_, _ = io.Copy(io.Discard, in)
				return
			}
		}
	}), got
}

// told connects and returns what the server is told of the client's certificate.
func (r *rig) told(cfg *tls.Config, got chan proxyproto.Header) (h proxyproto.Header, resumed bool) {
	r.t.Helper()
	c := r.dial()
	s := c.secure(cfg)
	c.want("ready")
	_ = c.Close()
	return <-got, s.ConnectionState().DidResume
}

// The server behind is told the name, also where the TLS session is resumed, at
// this process or at a peer, which has never seen the certificate itself.
func TestClientCertificateIsTold(t *testing.T) {
	addr, got := headers(t)
	ca := newAuthority(t)
	alice := ca.issue("alice; drop=1", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	odd := ca.issue("bad\r\nname", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p, cfg := ca.verifies(VerifyOptional)
		p.addrs, p.config.Mode, p.key, p.sendProxy = []string{addr}, modeTCP, "src", "v2"
		here, there := newRig(t, p), newRig(t, p)
		secret := func() [][32]byte { return [][32]byte{{1, 2, 3}} }
		here.e.ShareTickets(time.Now(), secret)
		there.e.ShareTickets(time.Now(), secret)
		cfg.MaxVersion = version
		none, _ := here.told(cfg, got)
		if none.Client != (proxyproto.Certificate{}) || !none.TLS {
			t.Errorf("without a certificate: %+v", none)
		}
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		cfg.Certificates = []tls.Certificate{alice}
		want := proxyproto.Certificate{Conn: true, Session: true, CN: "alice; drop=1"}
		for i, r := range []*rig{here, here, there} {
			h, resumed := r.told(cfg, got)
			want.Conn = !resumed
			if resumed != (i > 0) || !reflect.DeepEqual(h.Client, want) {
				t.Errorf("TLS %x, connection %d: resumed %v, told %+v, want %+v", version, i, resumed, h.Client, want)
			}
		}
		if end := there.ended("closed"); end["client_cn"] != want.CN {
			t.Errorf("logged %v", end)
		}
		cfg.ClientSessionCache, cfg.Certificates = nil, []tls.Certificate{odd}
		if h, _ := here.told(cfg, got); h.Client != (proxyproto.Certificate{Conn: true, Session: true}) {
			t.Errorf("of an odd name it was told %+v", h.Client)
		}
	}
}

// What a proxy says of its client's certificate is passed on as it was said; a
// certificate on the connection itself is then the proxy's.
func TestClientCertificateOfAProxysClient(t *testing.T) {
	addr, got := headers(t)
	ca := newAuthority(t)
	for _, c := range []struct {
		name string
		said proxyproto.Header
		want proxyproto.Certificate
		log  any
	}{
		{"good", proxyproto.Header{TLS: true, Client: proxyproto.Certificate{Conn: true, Session: true, CN: "bob"}}, proxyproto.Certificate{Conn: true, Session: true, CN: "bob"}, "bob"},
		{"resumed", proxyproto.Header{TLS: true, Client: proxyproto.Certificate{Session: true, CN: "bob"}}, proxyproto.Certificate{Session: true, CN: "bob"}, "bob"},
		{"not verified", proxyproto.Header{TLS: true, Client: proxyproto.Certificate{Conn: true, Session: true, Verify: 18, CN: "bob"}}, proxyproto.Certificate{Conn: true, Session: true, Verify: 18, CN: "bob"}, nil},
		{"none", proxyproto.Header{TLS: true}, proxyproto.Certificate{}, nil},
		{"TLS passed through", proxyproto.Header{}, proxyproto.Certificate{Conn: true, Session: true, CN: "proxy"}, "proxy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, cfg := ca.verifies(VerifyRequired)
			p.addrs, p.key, p.sendProxy = []string{addr}, "src", "v2"
			p.config = proxied("implicit")
			p.config.Mode = modeTCP
			cfg.Certificates = []tls.Certificate{ca.issue("proxy", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)}
			r := newRig(t, p)
			client := r.dial()
			client.Conn = &prefixed{Conn: client.Conn, size: 1 << 20, first: fromClient("v2", func(h *proxyproto.Header) {
				h.TLS, h.Client, h.ServerName = c.said.TLS, c.said.Client, "asked.test"
			})}
			client.secure(cfg)
			client.want("ready")
			_ = client.Close()
			name := "asked.test" // of him, not what the proxy asks us for
			if !c.said.TLS {
				name = cfg.ServerName
			}
			if h := <-got; h.Client != c.want || h.ServerName != name {
				t.Errorf("told %+v and the name %q, want %+v and %q", h.Client, h.ServerName, c.want, name)
			}
			if end := r.ended("closed"); end["client_cn"] != c.log {
				t.Errorf("logged %v", end)
			}
		})
	}
}

// Where a certificate is required, STARTTLS comes before the login, and who comes
// through a proxy that has ended his TLS must have shown a good one there.
func TestClientCertificateRequiredOfAProxysClient(t *testing.T) {
	ca := newAuthority(t)
	d := newServer(t, "127.0.0.1:0")
	p, cfg := ca.verifies(VerifyRequired)
	p.addrs, p.config = []string{d.addr()}, proxied("starttls")
	p.config.VerifyClient = VerifyRequired
	r, table := tracked(t, p)
	for i, bad := range []proxyproto.Certificate{{}, {Conn: true, Session: true, Verify: 18, CN: "mallory"}, {CN: "mallory"}} {
		c := r.dial()
		c.send(fromClient("v2", func(h *proxyproto.Header) { h.TLS, h.Client = true, bad }))
		if said := c.gone(); said != "" {
			t.Errorf("with %+v he heard %q", bad, said)
		}
		r.eventually("he is counted", func() bool { return r.fe.BadCerts.Load() == int64(i+1) })
	}
	r.ended(reasonClientCert)
	if v, _ := table.Values(time.Now(), "192.0.2.1"); v[sticktable.ConnCnt] != 3 {
		t.Errorf("%d connections are counted, want 3: the rules look at them", v[sticktable.ConnCnt])
	}
	c := r.dial()
	c.send(fromClient("v2", func(h *proxyproto.Header) { h.TLS, h.Client = true, proxyproto.Certificate{Session: true, CN: "alice"} }))
	c.want("* OK ")
	c.login("alice")
	_ = c.Close()

	plain := r.dial()
	plain.send(fromClient("v2", nil))
	if greeting := plain.want("* OK "); !strings.Contains(greeting, "LOGINDISABLED") {
		t.Errorf("greeting %q", greeting)
	}
	plain.send("s STARTTLS\r\n")
	plain.want("s OK")
	cfg.Certificates = []tls.Certificate{ca.issue("bob", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)}
	plain.secure(cfg)
	plain.login("bob")
	_ = plain.Close()
	r.eventually("both names are logged", func() bool {
		names := ""
		for _, l := range r.logs.lines(t) {
			if l["msg"] == "session end" && l["client_cn"] != nil {
				names += l["client_cn"].(string) + " "
			}
		}
		return names == "alice bob " || names == "bob alice "
	})
}

// A certificate may come with a chain of more bytes than are read at once, but
// not without end.
func TestClientCertificatesAreBounded(t *testing.T) {
	ca := newAuthority(t)
	p, cfg := ca.verifies(VerifyRequired)
	r := newRig(t, p)
	card := ca.issue("alice", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	more := ca.issue(strings.Repeat("x", 60), time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth).Certificate[0]
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &card, nil }
	for _, size := range []int{40 << 10, 300 << 10} {
		for len(card.Certificate)*len(more) < size {
			card.Certificate = append(card.Certificate, more)
		}
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			cfg.MaxVersion = version
			if err := r.attempt(cfg); (err == nil) != (size < 256<<10) {
				t.Errorf("TLS %x, %d bytes of certificates: %v", version, size, err)
			}
		}
	}
}

func TestVerifyClientsRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "junk.pem")
	if err := os.WriteFile(file, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ca := range []string{file, file + ".missing"} {
		if err := VerifyClients(new(tls.Config), VerifyRequired, ca); err == nil {
			t.Errorf("%s was taken", ca)
		}
	}
}
