package frontend

import (
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"sync"
	"time"
)

const (
	ticketLife = 12 * time.Hour // after which a new key encrypts
	ticketKeys = 3              // keys that decrypt: a ticket lives 24 to 36 hours
)

// tickets are the keys of TLS session tickets, one set for all frontends, so
// that a session resumes after a reload and on another listener. Shared.
type tickets struct {
	mu   sync.Mutex // guards keys
	keys [][32]byte // the first encrypts
}

func newTickets() (*tickets, error) {
	t := new(tickets)
	return t, t.rotate()
}

// rotate puts a new key in front.
func (t *tickets) rotate() error {
	var k [32]byte
	if _, err := rand.Read(k[:]); err != nil {
		return fmt.Errorf("frontend: ticket key: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keys = append([][32]byte{k}, t.keys[:min(len(t.keys), ticketKeys-1)]...)
	return nil
}

// apply gives the keys to a configuration, which may be in use.
func (t *tickets) apply(cfg *tls.Config) {
	if cfg == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	cfg.SetSessionTicketKeys(t.keys)
}

// LoadTLS makes the server's TLS configuration of certificate files: the
// first certificate that fits the client's SNI, else the first of all. ALPN
// "imap" is agreed on; a client that offers only other protocols is refused
// (RFC 7301 section 3.2), which keeps browsers from being led here.
func LoadTLS(certs []Cert) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		NextProtos:                  []string{"imap"},
		DynamicRecordSizingDisabled: true,
	}
	for _, c := range certs {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("frontend: certificate %s: %w", c.Cert, err)
		}
		cfg.Certificates = append(cfg.Certificates, pair)
	}
	return cfg, nil
}
