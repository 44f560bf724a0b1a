package frontend

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// A ticket of before gets nobody in whom the authorities of now do not know.
func TestClientCertificateBehindReload(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	alice := first.issue("alice", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p, cfg := first.verifies(VerifyRequired)
		r := newRig(t, p)
		cfg.MaxVersion, cfg.ClientSessionCache, cfg.Certificates = version, tls.NewLRUClientSessionCache(4), []tls.Certificate{alice}
		if r.resumes(cfg) || !r.resumes(cfg) {
			t.Error("the second connection does not resume")
		}
		next := r.set
		next.TLS = r.set.TLS.Clone()
		if err := VerifyClients(next.TLS, VerifyRequired, second.file); err != nil {
			t.Fatal(err)
		}
		r.fe.Update(next)
		if err := r.attempt(cfg); err == nil {
			t.Errorf("TLS %x: a ticket got him in behind the reload", version)
		}
		r.eventually("it is counted", func() bool { return r.fe.BadCerts.Load() == 1 })
	}
}

// A ticket of a frontend that asks for no certificate opens none that requires
// one, though all have the same keys.
func TestTicketWithoutCertificate(t *testing.T) {
	ca := newAuthority(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p, cfg := ca.verifies(VerifyNone)
		r := newRig(t, p)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		if r.resumes(cfg) || !r.resumes(cfg) {
			t.Error("the second connection does not resume")
		}
		strict := r.set
		strict.TLS = r.set.TLS.Clone()
		if err := VerifyClients(strict.TLS, VerifyRequired, ca.file); err != nil {
			t.Fatal(err)
		}
		other := r.e.Add("strict", 4, strict)
		r.addr = r.listen(other, "127.0.0.1:0")
		if err := r.attempt(cfg); err == nil {
			t.Errorf("TLS %x: a ticket of the other frontend got him in", version)
		}
		r.eventually("it is counted", func() bool { return other.BadCerts.Load() == 1 })
		other.KeepListeners(nil)
	}
}
