package frontend

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// nameFile is a PEM file of authorities whose names have these lengths in bytes,
// as TLS counts them.
func (a *authority) nameFile(lengths ...int) string {
	a.t.Helper()
	var b bytes.Buffer
	for i, length := range lengths {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: a.cert.NotAfter, IsCA: true, BasicConstraintsValid: true}
		for fill := length; ; fill-- { // what DER adds depends on the length
			c.Subject = pkix.Name{CommonName: fmt.Sprintf("%0*d", fill, i)}
			name, err := asn1.Marshal(c.Subject.ToRDNSequence())
			if err != nil {
				a.t.Fatal(err)
			}
			if len(name)+2 == length {
				break
			}
		}
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: a.sign(c).Certificate[0]}) // a buffer takes all
	}
	path := filepath.Join(a.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// Authorities whose names TLS cannot show to a client are refused at loading;
// clients of either version take those that are not.
func TestAuthorityNamesAreBounded(t *testing.T) {
	full := make([]int, maxAuthorityNames/1000)
	for i := range full {
		full[i] = 1000
	}
	for _, c := range []struct {
		name string
		size []int
		bad  bool
	}{
		{"one", []int{60}, false},
		{"as many as there may be", full, false},
		{"one more", append(slices.Clone(full), 60), true},
		{"one byte more", append(slices.Clone(full[1:]), 1001), true},
		{"one great one", []int{70_000}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAuthority(t)
			a.file = a.nameFile(c.size...)
			if c.bad {
				if err := VerifyClients(new(tls.Config), VerifyOptional, a.file); err == nil || !strings.Contains(err.Error(), "too many authorities") {
					t.Errorf("error %v, want too many authorities", err)
				}
				return
			}
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				p, cfg := a.verifies(VerifyOptional)
				cfg.MaxVersion = version
				shown := 0
				cfg.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					shown = len(info.AcceptableCAs)
					return new(tls.Certificate), nil
				}
				if err := newRig(t, p).attempt(cfg); err != nil || shown != len(c.size) {
					t.Errorf("version %x: %d authorities shown, want %d: %v", version, shown, len(c.size), err)
				}
			}
		})
	}
}
