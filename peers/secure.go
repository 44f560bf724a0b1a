package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// A stream is TLS 1.3 between certificates that nobody checks; who the other is
// and that nobody sits in between is shown by the proof of proof.go, which is
// bound to the keys of this very connection.

// protocol is announced by ALPN, so that a stream of another kind ends early.
const protocol = "imaplb-peers"

// newTLS makes a certificate that lives as long as the process. Immutable.
func newTLS(now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("peers: making a certificate: %w", err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: protocol},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("peers: making a certificate: %w", err)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:             []string{protocol},
		InsecureSkipVerify:     true, // the proof comes after the handshake
		SessionTicketsDisabled: true,
	}, nil
}
