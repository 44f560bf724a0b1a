package conf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"imaplb/frontend"
	"imaplb/upstream"
)

// checkCert reads a certificate and its key and reports what keeps TLS from
// using them.
func (r *report) checkCert(path string, c frontend.Cert, now time.Time) {
	if r.faulty[path] {
		return // not even a table
	}
	certPath, privPath := keyPath(path, "cert"), keyPath(path, "key")
	cert, okCert := r.readFile(certPath, c.Cert)
	key, okKey := r.readFile(privPath, c.Key)
	if !okCert || !okKey {
		return
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		r.fault(certPath, "%q with the key %q: %s", c.Cert, c.Key, strings.TrimPrefix(err.Error(), "tls: "))
		return
	}
	if now.After(pair.Leaf.NotAfter) {
		r.warn(certPath, "%q expired on %s", c.Cert, pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if now.Before(pair.Leaf.NotBefore) {
		r.warn(certPath, "%q is not valid before %s", c.Cert, pair.Leaf.NotBefore.UTC().Format(time.DateOnly))
	}
}

// checkServerTLS judges how a server's certificate is to be verified.
func (r *report) checkServerTLS(path string, u upstream.ServerConfig) {
	caPath := keyPath(path, "ca_file")
	if u.TLS == "none" || !u.TLSVerify {
		if u.CAFile != "" {
			r.warn(caPath, "nothing is verified with it: tls = %q, tls_verify = %t", u.TLS, u.TLSVerify)
		}
		return
	}
	if u.ServerName == "" {
		r.fault(keyPath(path, "server_name"), "no name to verify the certificate of %q with", u.Addr)
	}
	if u.CAFile == "" {
		return
	}
	if pem, ok := r.readFile(caPath, u.CAFile); ok && !x509.NewCertPool().AppendCertsFromPEM(pem) {
		r.fault(caPath, "%q has no certificate in PEM form", u.CAFile)
	}
}

// checkClientCA judges how the certificates of clients are to be verified.
func (r *report) checkClientCA(path string, f *Frontend) {
	verify, ca := keyPath(path, "verify_client"), keyPath(path, "client_ca")
	switch {
	case r.faulty[verify]:
	case f.VerifyClient == frontend.VerifyNone:
		if f.ClientCA != "" {
			r.warn(ca, "nothing is verified with it: verify_client = %q", f.VerifyClient)
		}
	case f.TLS == "none":
		r.fault(verify, "%q, but there is no TLS: give certs", f.VerifyClient)
	case f.ClientCA == "":
		r.fault(verify, "%q, but no authorities: name a PEM file with them, client_ca = \"clients.pem\"", f.VerifyClient)
	default:
		if f.VerifyClient == frontend.VerifyRequired && f.TLS == "starttls" && !f.RequireTLS && f.Mode == "imap" {
			r.fault(verify, "%q, but who does not say STARTTLS needs none: leave out require_tls = false", f.VerifyClient)
		}
		if pem, ok := r.readFile(ca, f.ClientCA); ok {
			if _, err := frontend.ClientAuthorities(pem); err != nil {
				r.fault(ca, "%q %v", f.ClientCA, err)
			}
		}
	}
}

// checkSource judges the local address a server is connected from.
func (r *report) checkSource(path string, u upstream.ServerConfig) {
	if u.Source == "" {
		return
	}
	source, err := netip.ParseAddr(u.Source)
	if err != nil {
		r.fault(path, "bad address %q: write an IP address without a port", u.Source)
		return
	}
	server, err := netip.ParseAddrPort(u.Addr)
	switch {
	case strings.HasPrefix(u.Addr, "unix:"):
		r.fault(path, "a unix socket has no source address")
	case err == nil && source.Is4() != server.Addr().Unmap().Is4():
		r.fault(path, "%s cannot connect to %s: one is IPv4 and the other IPv6", source, server)
	}
}

// maxFile is the largest file, in bytes, that a configuration may name; a
// bundle of all public authorities has a quarter of it.
const maxFile = 1 << 20

// readFile reads a file that the configuration names at path.
func (r *report) readFile(path, file string) (content []byte, ok bool) {
	if file == "" {
		r.fault(path, "no file is named")
		return nil, false
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		r.fault(path, "%q is not a regular file", file)
		return nil, false
	case info.Size() > maxFile:
		r.fault(path, "%q is too large: %d bytes, at most %d are read", file, info.Size(), maxFile)
		return nil, false
	default:
		content, err = os.ReadFile(file)
	}
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		r.fault(path, "cannot read %q: %s", file, err)
		return nil, false
	}
	return content, true
}
