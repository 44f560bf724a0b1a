package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"imaplb/loop"
)

// Target is a server ready to be dialled. Immutable.
type Target struct {
	Addr           loop.Addr
	source         netip.Addr
	socket         *loop.SocketConfig
	tlsMode        string
	tls            *tls.Config
	trusted        bool
	sendProxy      string
	connectTimeout time.Duration
	loginTimeout   time.Duration
}

// NewTarget makes a target of a server's address, and loads its authorities. A
// server without one has a name that stands for nothing yet: it cannot be
// dialled. A name is looked up. It blocks.
func NewTarget(ctx context.Context, cfg *Config, sc *ServerConfig, socket *loop.SocketConfig) (*Target, error) {
	var addr loop.Addr
	var err error
	if sc.Addr != "" {
		if addr, err = loop.Resolve(ctx, sc.Addr); err != nil {
			return nil, fmt.Errorf("upstream: addr: %w", err)
		}
	}
	t := &Target{
		Addr: addr, socket: socket, tlsMode: sc.TLS, trusted: sc.Trusted, sendProxy: sc.SendProxy,
		connectTimeout: cfg.TimeoutConnect, loginTimeout: cfg.TimeoutLogin,
	}
	if sc.Source != "" {
		if t.source, err = netip.ParseAddr(sc.Source); err != nil {
			return nil, fmt.Errorf("upstream: source: %w", err)
		}
	}
	if sc.TLS != "none" {
		if t.tls, err = clientTLS(sc); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// At is the target at another address.
func (t *Target) At(addr loop.Addr) *Target {
	at := *t
	at.Addr = addr
	return &at
}

// clientTLS is the TLS of our side towards a server.
func clientTLS(sc *ServerConfig) (*tls.Config, error) {
	name := sc.ServerName
	if name == "" && !strings.HasPrefix(sc.Addr, "unix:") {
		// A unix socket has no host; then server_name has to be given, or the
		// handshake says so.
		name, _, _ = net.SplitHostPort(sc.Addr)
	}
	cfg := &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		ServerName:                  name,
		InsecureSkipVerify:          !sc.TLSVerify,
		ClientSessionCache:          tls.NewLRUClientSessionCache(64),
		DynamicRecordSizingDisabled: true,
	}
	if sc.CAFile != "" {
		pem, err := os.ReadFile(sc.CAFile)
		if err != nil {
			return nil, fmt.Errorf("upstream: ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("upstream: ca_file %s: no certificate in it", sc.CAFile)
		}
	}
	return cfg, nil
}

// Source is the local address to connect from, zero for the kernel's choice.
func (t *Target) Source() netip.Addr { return t.source }

// TLS is the TLS of our side, nil for none. It must not be changed.
func (t *Target) TLS() *tls.Config { return t.tls }

// SendProxy is the version of the PROXY header the server wants: "", "v1" or
// "v2".
func (t *Target) SendProxy() string { return t.sendProxy }

// TLSMode is "none", "starttls" or "implicit".
func (t *Target) TLSMode() string { return t.tlsMode }
