package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lets is a server that lets alice in under TLS.
func lets(mode string, cert tls.Certificate) func(*peer) {
	return func(p *peer) {
		if mode == "starttls" {
			p.say("* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] x\r\n")
			p.want("S STARTTLS\r\n")
			p.say("S OK\r\n")
		}
		if p.secure(cert) != nil {
			return
		}
		if mode == "starttls" {
			p.want("C CAPABILITY\r\n")
			p.say("* CAPABILITY IMAP4rev1\r\nC OK\r\n")
		} else {
			p.say("* OK [CAPABILITY IMAP4rev1] x\r\n")
		}
		p.want(aliceLogin)
		p.say("L OK [CAPABILITY IMAP4rev1 IDLE] in\r\n")
		p.gone()
	}
}

func TestTLS(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(time.Hour)
	good := ours.issue(t, "mail1.test", soon)
	for _, c := range []struct {
		name    string
		cert    tls.Certificate
		server  string
		lax     bool // tls_verify = false
		outcome Outcome
	}{
		{"good", good, "mail1.test", false, OK},
		{"wrong name", good, "mail2.test", false, TLSFailed},
		{"no name for an address", good, "", false, TLSFailed},
		{"expired", ours.issue(t, "mail1.test", time.Now().Add(-time.Minute)), "mail1.test", false, TLSFailed},
		{"another authority", other.issue(t, "mail1.test", soon), "mail1.test", false, TLSFailed},
		{"not verified", other.issue(t, "other.test", time.Now().Add(-time.Minute)), "mail1.test", true, OK},
	} {
		for _, mode := range []string{"implicit", "starttls"} {
			t.Run(mode+" "+c.name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.scripted(lets(mode, c.cert))
				r.server.TLS, r.server.TLSVerify, r.server.CAFile, r.server.ServerName = mode, !c.lax, ours.file, c.server
				res := r.login()
				if res.Outcome != c.outcome || (res.Err != nil) != (c.outcome != OK) {
					t.Fatalf("outcome %v, err %v, want %v", res.Outcome, res.Err, c.outcome)
				}
				var invalid *tls.CertificateVerificationError
				if c.outcome == TLSFailed && !errors.As(res.Err, &invalid) {
					t.Errorf("err %v, want what is wrong with the certificate", res.Err)
				}
			})
		}
	}
}

func TestTLSRefused(t *testing.T) {
	for name, script := range map[string]func(*peer){
		"starttls": func(p *peer) { p.say("* OK\r\n"); p.want("S STARTTLS\r\n"); p.say("S NO\r\n"); p.gone() },
		"implicit": func(p *peer) { p.say("* OK in clear\r\n"); p.gone() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.scripted(script)
			r.server.TLS, r.server.ServerName = name, "mail1.test"
			if res := r.login(); res.Outcome != TLSFailed {
				t.Errorf("outcome %v, err %v", res.Outcome, res.Err)
			}
		})
	}
}

// Bytes that an attacker put behind the answer to STARTTLS never count as the
// server's, in one read with it or later.
func TestInjectionBehindSTARTTLSOnTheWire(t *testing.T) {
	for name, late := range map[string]bool{"one read": false, "next read": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.server.TLS, r.server.TLSVerify = "starttls", false
			r.scripted(func(p *peer) {
				p.say("* OK\r\n")
				p.want("S STARTTLS\r\n")
				if late {
					p.say("S OK\r\n")
					_, _ = p.in.ReadByte() // the ClientHello has begun
					p.say("C OK\r\n")
				} else {
					p.say("S OK\r\nC OK\r\n")
				}
				if strings.Contains(p.gone(), secretWord) {
					t.Error("the password was sent")
				}
			})
			want := Protocol
			if late {
				want = TLSFailed
			}
			if res := r.login(); res.Outcome != want {
				t.Errorf("outcome %v, err %v, want %v", res.Outcome, res.Err, want)
			}
		})
	}
}

// The second login resumes the TLS session of the first.
func TestResumption(t *testing.T) {
	t.Parallel()
	ca, r := newAuthority(t), newRig(t)
	cfg := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "mail1.test", time.Now().Add(time.Hour))}}
	resumed := make(chan bool, 2)
	r.scripted(func(p *peer) {
		c := tls.Server(p.Conn, cfg)
		p.Conn = c
		p.in.Reset(c)
		p.say("* OK [CAPABILITY IMAP4rev1] x\r\n")
		p.want(aliceLogin)
		resumed <- c.ConnectionState().DidResume
		p.say("L OK in\r\n")
		p.gone()
	})
	r.server.TLS, r.server.CAFile, r.server.ServerName = "implicit", ca.file, "mail1.test"
	target := r.target()
	for i := range 2 {
		_, results := r.startAt(target, request(credentials(0, "alice", secretWord)))
		res := r.wait(results)
		if res.Outcome != OK {
			t.Fatalf("outcome %v, err %v", res.Outcome, res.Err)
		}
		if got := <-resumed; got != (i == 1) {
			t.Errorf("login %d: resumed %v", i+1, got)
		}
		r.loop.Do(res.Conn.Close)
	}
}

func TestNewTarget(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		server ServerConfig
		wrong  string // in the error; "" is none
	}{
		{"plain", ServerConfig{Addr: "127.0.0.1:143", TLS: "none"}, ""},
		{"unix", ServerConfig{Addr: "unix:/run/imap", TLS: "none"}, ""},
		{"authority", ServerConfig{Addr: "[::1]:993", TLS: "implicit", CAFile: ca.file}, ""},
		{"no port", ServerConfig{Addr: "127.0.0.1", TLS: "none"}, "upstream: addr:"},
		{"bad port", ServerConfig{Addr: "127.0.0.1:imap4", TLS: "none"}, "upstream: addr:"},
		{"empty path", ServerConfig{Addr: "unix:", TLS: "none"}, "upstream: addr:"},
		{"bad source", ServerConfig{Addr: "127.0.0.1:143", TLS: "none", Source: "eth0"}, "upstream: source:"},
		{"no file", ServerConfig{Addr: "127.0.0.1:993", TLS: "implicit", CAFile: filepath.Join(dir, "none")}, "upstream: ca_file:"},
		{"no certificate", ServerConfig{Addr: "127.0.0.1:993", TLS: "starttls", CAFile: empty}, "no certificate in it"},
	} {
		cfg := DefaultConfig()
		target, err := NewTarget(t.Context(), &cfg, &c.server, nil)
		switch {
		case c.wrong == "" && err != nil, c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: err %v, want %q in it", c.name, err, c.wrong)
		case err == nil && (target.Addr.String() != c.server.Addr || target.TLSMode() != c.server.TLS || target.Source().IsValid()):
			t.Errorf("%s: target %v, %s, %v", c.name, target.Addr, target.TLSMode(), target.Source())
		}
	}
}

// The name that the certificate has to have is the host's unless one is given.
func TestServerName(t *testing.T) {
	for _, c := range []struct{ addr, name, want string }{
		{"mail1.test:993", "", "mail1.test"}, {"[::1]:993", "", "::1"}, {"127.0.0.1:993", "mail1.test", "mail1.test"}, {"unix:/run/imap", "", ""},
	} {
		cfg, err := clientTLS(&ServerConfig{Addr: c.addr, ServerName: c.name, TLSVerify: true})
		if err != nil || cfg.ServerName != c.want || cfg.InsecureSkipVerify || cfg.MinVersion != tls.VersionTLS12 || cfg.RootCAs != (*x509.CertPool)(nil) {
			t.Errorf("%s, %q: name %q, err %v, want %q", c.addr, c.name, cfg.ServerName, err, c.want)
		}
	}
}
