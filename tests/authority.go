package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// authority signs the certificates of the tests. Shared: any goroutine may
// call any method.
type authority struct {
	dir    string
	file   string // its own certificate, PEM
	pool   *x509.CertPool
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial atomic.Int64
}

// pair names the files of a certificate and its key.
type pair struct{ cert, key string }

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "imaplb tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{dir: dir, file: filepath.Join(dir, "ca.pem"), pool: x509.NewCertPool(), cert: cert, key: key}
	a.serial.Store(1)
	a.pool.AddCert(cert)
	return a, writePEM(a.file, "CERTIFICATE", der)
}

// issue makes a certificate for the names and this machine.
func (a *authority) issue(names ...string) (pair, error) {
	return a.sign(x509.ExtKeyUsageServerAuth, names...)
}

// issueClient makes the certificate of a client.
func (a *authority) issueClient(name string) (pair, error) {
	return a.sign(x509.ExtKeyUsageClientAuth, name)
}

func (a *authority) sign(use x509.ExtKeyUsage, names ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	serial := a.serial.Add(1)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(23 * time.Hour),
		DNSNames: append(names, "localhost"), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return pair{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, err
	}
	p := pair{
		cert: filepath.Join(a.dir, fmt.Sprintf("cert%d.pem", serial)),
		key:  filepath.Join(a.dir, fmt.Sprintf("key%d.pem", serial)),
	}
	if err := writePEM(p.key, "PRIVATE KEY", keyDER); err != nil {
		return pair{}, err
	}
	return p, writePEM(p.cert, "CERTIFICATE", der)
}

// newCert is issue for a test.
func newCert(t testing.TB, names ...string) pair {
	t.Helper()
	p, err := certs(t).issue(names...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newClientCert is issueClient for a test.
func newClientCert(t testing.TB, name string) pair {
	t.Helper()
	p, err := certs(t).issueClient(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// certs is the authority of all tests.
func certs(t testing.TB) *authority {
	t.Helper()
	a, err := shared.certs()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// trust is a TLS client that believes the tests' certificates alone.
func trust(t testing.TB, name string) *tls.Config {
	t.Helper()
	return &tls.Config{RootCAs: certs(t).pool, ServerName: name}
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
