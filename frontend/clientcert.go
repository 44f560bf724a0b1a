package frontend

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"imaplb/loop"
	"imaplb/proxyproto"
)

// The words of Config.VerifyClient. They are HAProxy's "verify".
const (
	VerifyNone     = "none"     // no certificate is asked for
	VerifyOptional = "optional" // none is needed, a bad one ends the handshake
	VerifyRequired = "required" // a good one is needed
)

// VerifyClients has a server's TLS configuration ask clients for certificates
// that one of the authorities in caFile has signed, PEM, for the use clientAuth.
// What the certificate says is told to the servers behind; it gives no rights here.
//
// A resumed session has the certificate of the one it resumes, also with the
// ticket of a peer. crypto/tls judges its dates and authorities again then, so
// that what was good under another configuration is not good under this one.
func VerifyClients(cfg *tls.Config, verify, caFile string) error {
	switch verify {
	case VerifyOptional:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	case VerifyRequired:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return fmt.Errorf("frontend: client_ca: %w", err)
	}
	if cfg.ClientCAs, err = ClientAuthorities(pem); err != nil {
		return fmt.Errorf("frontend: client_ca: %s %w", caFile, err)
	}
	return nil
}

// maxAuthorityNames bounds the names of authorities that a client is shown, with
// two bytes each for its length. TLS counts all of them in 16 bits (RFC 8446,
// section 4.2.4), in TLS 1.3 with other things, for which this leaves room.
// crypto/tls ends each handshake above, or in TLS 1.2 sends what nobody can read.
const maxAuthorityNames = 64_000

// ClientAuthorities are those of a PEM file. An error reads on behind the file's
// name.
func ClientAuthorities(pem []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("has no certificate in PEM form")
	}
	size := 0
	//lint:ignore SA1019 it is not the system's pool, and these are what crypto/tls sends
	for _, name := range pool.Subjects() {
		size += 2 + len(name)
	}
	if size > maxAuthorityNames {
		return nil, fmt.Errorf("has too many authorities: their names take %d bytes, and TLS shows a client at most %d: leave in only those that sign certificates of clients",
			size, maxAuthorityNames)
	}
	return pool, nil
}

// reasonClientCert is a TLS handshake that ended because of the client's
// certificate.
const reasonClientCert = "client_cert"

// isClientCert reports whether it was the client's certificate that ended a
// server's handshake: a bad one, one whose key he has not, or none where one is
// required. crypto/tls has error values for the first alone; the words are guarded
// by a test.
func isClientCert(err error) bool {
	bad, text := (*tls.CertificateVerificationError)(nil), err.Error()
	return errors.As(err, &bad) || strings.Contains(text, "client didn't provide a certificate") ||
		strings.Contains(text, "client certificate")
}

// whyNoTLS counts a failed handshake and gives its reason.
func (p *prelogin) whyNoTLS(err error) (reason string) {
	cert := isClientCert(err)
	for _, n := range p.counters() {
		n.TLSFailed.Add(1)
		if cert {
			n.BadCerts.Add(1)
		}
	}
	if cert {
		return reasonClientCert
	}
	return reasonHandshake
}

// took notes what came with the client's TLS: names, and his certificate, which
// has been verified. What a proxy before us told of its client's TLS stands: what
// came on this connection is then of the proxy itself.
func (p *prelogin) took(info *loop.TLSInfo) {
	if p.c.offload {
		p.sni, p.alpn = cmp.Or(p.sni, info.ServerName), cmp.Or(p.alpn, info.ALPN)
		return
	}
	p.sni, p.alpn = cmp.Or(info.ServerName, p.sni), cmp.Or(info.ALPN, p.alpn)
	if info.PeerCert != nil {
		p.cert = proxyproto.Certificate{Conn: !info.Resumed, Session: true, CN: proxyproto.Text(info.PeerCert.Subject.CommonName)}
		p.c.noteCert(&p.cert)
	}
}

// mayWithout judges the certificate of a client whose TLS a proxy has ended, where
// no handshake of ours comes behind it. False: one is required and he has no
// good one, so the connection has been ended.
func (p *prelogin) mayWithout() bool {
	if !p.c.offload || p.set.Config.VerifyClient != VerifyRequired || p.set.Config.TLS == "implicit" || p.cert.Good() {
		return true
	}
	for _, n := range p.counters() {
		n.BadCerts.Add(1)
	}
	p.abort(time.Now(), reasonClientCert, stateProxy)
	return false
}

// noteCert keeps the name in a good certificate for the log.
func (c *conn) noteCert(cert *proxyproto.Certificate) {
	if c.cn = nil; cert.Good() && cert.CN != "" {
		name := cert.CN // of its own: what it stands in goes at the login
		c.cn = &name
	}
}

// appendCN adds that name to a line of the log, which quotes it.
func (c *conn) appendCN(attrs []slog.Attr) []slog.Attr {
	if c.cn == nil {
		return attrs
	}
	return append(attrs, slog.String("client_cn", *c.cn))
}
