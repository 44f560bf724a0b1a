package tests

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// headers are servers that read the PROXY header before each login.
func headers(t testing.TB) (d *imapd, got chan *proxyproto.Header) {
	got = make(chan *proxyproto.Header, 16)
	return runIMAPd(t, func(v *visit) {
		h, err := proxyproto.Read(v.r)
		if err != nil {
			return
		}
		if h.Command.IsProxy() { // no check
			got <- h
		}
		acceptAll(v)
	}), got
}

// sslOf is what a header tells of the client's TLS.
func sslOf(t testing.TB, h *proxyproto.Header) tlvparse.PP2SSL {
	t.Helper()
	list, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	ssl, ok := tlvparse.FindSSL(list)
	if !ok {
		t.Fatalf("no TLS in %v", list)
	}
	return ssl
}

// authorityOf is the name that the client asked for.
func authorityOf(t testing.TB, h *proxyproto.Header) string {
	t.Helper()
	list, err := h.TLVs()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		if v.Type == proxyproto.PP2_TYPE_AUTHORITY {
			return string(v.Value)
		}
	}
	return ""
}

// asks is a frontend that asks for certificates by these authorities.
func asks(t testing.TB, addr, verify, ca string) string {
	t.Helper()
	p := defaultCert(t)
	return fmt.Sprintf("[frontend.certs]\nbind = [%q]\nbackend = \"mail\"\ncerts = [{ cert = %q, key = %q }]\nverify_client = %q\nclient_ca = %q\n",
		addr, p.cert, p.key, verify, ca)
}

// A server is told of the client's certificate by the PROXY header, also when
// openssl resumes; the name is in the log.
func TestClientCertificateIsTold(t *testing.T) {
	t.Parallel()
	need(t, "openssl")
	d, got := headers(t)
	addr := freeAddr(t)
	l := runLB(t, options{
		servers: []server{{"s1", d.addr, "trusted = false\nsend_proxy = \"v2\""}},
		more:    asks(t, addr, "optional", certs(t).file),
	})
	card := newClientCert(t, `alice of "tests"`)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		user, ticket := newUser(), filepath.Join(t.TempDir(), "ticket")
		say := []string{"a LOGIN " + user + " " + password, "b LOGOUT"}
		for i, way := range []string{"-sess_out", "-sess_in"} {
			out := sClient(t, addr, say, version, "-cert", card.cert, "-key", card.key, way, ticket)
			if !strings.Contains(out, "a OK") || strings.Contains(out, "Reused") != (i == 1) {
				t.Errorf("openssl %s %s printed %s", version, way, out)
			}
			if end := l.sessionEnd("user="+user, "resumed="+fmt.Sprint(i == 1)); end["client_cn"] != `alice of \"tests\` {
				t.Errorf("logged %v", end)
			}
			ssl := sslOf(t, <-got)
			if cn, _ := ssl.ClientCN(); cn != `alice of "tests"` || !ssl.Verified() || !ssl.ClientCertSess() || ssl.ClientCertConn() != (i == 0) {
				t.Errorf("openssl %s %s: the server is told %+v", version, way, ssl)
			}
		}
		if out := sClient(t, addr, say, version); !strings.Contains(out, "a OK") {
			t.Errorf("without a certificate openssl %s printed %s", version, out)
		}
		if ssl := sslOf(t, <-got); ssl.ClientCertSess() || ssl.Verified() {
			t.Errorf("openssl %s without a certificate: the server is told %+v", version, ssl)
		}
	}
}

// Where a certificate is required nobody gets in without a good one, and a
// reload takes other authorities; a ticket of before helps nobody.
func TestClientCertificateRequired(t *testing.T) {
	t.Parallel()
	other, err := newAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	o := options{servers: serversOf(sharedDovecots(t)[0]), more: asks(t, addr, "required", certs(t).file)}
	l := runLB(t, o)
	with := func(p pair) *tls.Config {
		c := trust(t, "imap.test")
		card, err := tls.LoadX509KeyPair(p.cert, p.key)
		if err != nil {
			t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &card, nil }
		c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		return c
	}
	ours, theirs := newClientCert(t, "alice"), pair{}
	if theirs, err = other.issueClient("bob"); err != nil {
		t.Fatal(err)
	}
	refused, alice, bob := 0, with(ours), with(theirs)
	try := func(who string, c *tls.Config, want bool) {
		t.Helper()
		conn, err := tls.Dial("tcp", addr, c)
		if err == nil {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			_, err = conn.Read(make([]byte, 1))
		}
		switch {
		case want != (err == nil):
			t.Errorf("%s: %v, want to get in: %v", who, err, want)
		case err != nil:
			refused++
			if !strings.Contains(err.Error(), "remote error: tls:") {
				t.Errorf("%s got %v, want an alert", who, err)
			}
		}
	}
	try("nobody", trust(t, "imap.test"), false)
	try("alice", alice, true)
	try("alice again", alice, true)
	try("bob", bob, false)
	o.more = asks(t, addr, "required", other.file)
	l.write(o)
	l.ask("reload")
	try("alice behind the reload", alice, false)
	try("bob behind the reload", bob, true)
	within(t, patience, "the refused are counted", func() bool { return l.stat("certs", "FRONTEND", "cert_fail") == fmt.Sprint(refused) })
	within(t, patience, "and logged with the reason", func() bool {
		n := 0
		for _, r := range l.records("session end") {
			if strings.HasPrefix(r["reason"], "client_cert: ") {
				n++
			}
		}
		return n == refused
	})
}

// HAProxy ends the TLS of clients that have certificates, and sends a checksum:
// what it says goes on to the server as it was said, good or not.
func TestClientCertificateFromHAProxy(t *testing.T) {
	t.Parallel()
	d, got := headers(t)
	l := runLB(t, options{
		servers:  []server{{"s1", d.addr, "trusted = false\nsend_proxy = \"v2\""}},
		frontend: "accept_proxy = [\"127.0.0.1\"]\n",
	})
	addr := runHAProxyWith(t, l.starttls, "send-proxy-v2-ssl-cn proxy-v2-options authority,crc32c", "verify optional crt-ignore-err all ca-file "+certs(t).file)
	other, err := newAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := other.issueClient("mallory")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, logged string
		card         pair
	}{{"", "", pair{}}, {"carol", "carol", newClientCert(t, "carol")}, {"mallory", "", mallory}} {
		config, user := trust(t, "imap.test"), newUser()
		if c.name != "" {
			card, err := tls.LoadX509KeyPair(c.card.cert, c.card.key)
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &card, nil }
		}
		conn := dialTLS(t, addr, config)
		conn.expect("* OK")
		conn.ok("LOGIN %s %s", user, password)
		conn.logout()
		if end := l.sessionEnd("user=" + user); end["client_cn"] != c.logged || end["tls"] != "TLSv1.3" {
			t.Errorf("%q: logged %v", c.name, end)
		}
		h := <-got
		if name := authorityOf(t, h); name != "imap.test" {
			t.Errorf("%q: the server is told of the name %q", c.name, name)
		}
		ssl := sslOf(t, h)
		cn, _ := ssl.ClientCN()
		if cn != c.name || ssl.ClientCertConn() != (c.name != "") || ssl.Verified() != (c.logged != "") {
			t.Errorf("%q: the server is told %+v", c.name, ssl)
		}
	}
}
