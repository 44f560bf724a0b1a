package frontend

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	ticketLife = 12 * time.Hour // after which a new key encrypts
	ticketKeys = 3              // keys that decrypt: a ticket lives 24 to 36 hours
	ticketLook = time.Minute    // how often the keys are looked at
)

// tickets are the keys of TLS session tickets, one set for all frontends, so
// that a session resumes after a reload and on another listener. Peers derive
// theirs from secrets they share, so that it resumes at each of them. Shared.
type tickets struct {
	mu      sync.Mutex // guards the fields below
	keys    [][32]byte // the first encrypts
	made    time.Time  // when the first was, if they are random
	secrets func() [][32]byte
}

func newTickets(now time.Time) (*tickets, error) {
	t := new(tickets)
	_, err := t.update(now)
	return t, err
}

// share derives the keys from what secrets returns from now on; the first of
// the secrets encrypts.
func (t *tickets) share(secrets func() [][32]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets = secrets
}

// update brings the keys in line with the time, and tells whether they are
// others than before.
func (t *tickets) update(now time.Time) (changed bool, err error) {
	t.mu.Lock()
	secrets := t.secrets
	t.mu.Unlock()
	if secrets != nil {
		keys := deriveTickets(secrets(), now)
		t.mu.Lock()
		defer t.mu.Unlock()
		changed = !slices.Equal(t.keys, keys)
		t.keys = keys
		return changed, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) > 0 && now.Sub(t.made) < ticketLife {
		return false, nil
	}
	var k [32]byte
	if _, err := rand.Read(k[:]); err != nil {
		return false, fmt.Errorf("frontend: ticket key: %w", err)
	}
	t.made = now
	t.keys = append([][32]byte{k}, t.keys[:min(len(t.keys), ticketKeys-1)]...)
	return true, nil
}

// deriveTickets makes the keys of a moment: those of the present period first,
// then those before it, and the next one's, since the clock of another peer may
// be ahead. RFC 5869.
func deriveTickets(secrets [][32]byte, now time.Time) [][32]byte {
	period := now.UnixMilli() / ticketLife.Milliseconds()
	var keys [][32]byte
	for _, at := range [ticketKeys + 1]int64{period, period - 1, period - 2, period + 1} {
		for _, secret := range secrets {
			info := "imaplb TLS ticket " + strconv.FormatInt(at, 10)
			b, err := hkdf.Key(sha256.New, secret[:], nil, info, 32)
			if err == nil { // it fails for lengths of over 8160 bytes only
				keys = append(keys, [32]byte(b))
			}
		}
	}
	return keys
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
// first certificate that fits the client's SNI, else the first of all. Of
// the protocols one is agreed on by ALPN; a client that offers only others is refused
// (RFC 7301 section 3.2), which keeps browsers from being led here.
func LoadTLS(certs []Cert, protocols ...string) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		NextProtos:                  protocols,
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
