package tests

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every example is valid as it stands but for the files it names, runs, and
// lets a user in by each of its frontends.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no examples")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			l := newLB(t, options{servers: serversOf(sharedDovecots(t)[0])})
			l.writeText(withFiles(t, string(text)))
			if out, err := l.check(); err != nil {
				t.Errorf("check: %v: %s", err, out)
			}
			local, addrs := withAddresses(t, l, string(text))
			l.writeText(withFiles(t, local))
			l.run()
			if len(addrs) == 0 {
				t.Fatal("the example listens nowhere")
			}
			for _, addr := range addrs {
				if err := loginAnyhow(t, addr); err != nil {
					t.Errorf("login at %s: %v", addr, err)
				}
			}
		})
	}
}

// withFiles puts files of the tests where an example names some.
func withFiles(t *testing.T, text string) string {
	t.Helper()
	p := defaultCert(t)
	for pattern, with := range map[string]string{
		`\bcert\s*=\s*"[^"]*"`: fmt.Sprintf("cert = %q", p.cert), `\bkey\s*=\s*"[^"]*\.(pem|key)"`: fmt.Sprintf("key = %q", p.key),
		`\bkey_file\s*=\s*"[^"]*"`: fmt.Sprintf("key_file = %q", peersKey(t)),
		`\bca_file\s*=\s*"[^"]*"`:  fmt.Sprintf("ca_file = %q", certs(t).file), `\bclient_ca\s*=\s*"[^"]*"`: fmt.Sprintf("client_ca = %q", certs(t).file),
		`\bstate_dir\s*=\s*"[^"]+"`: fmt.Sprintf("state_dir = %q", t.TempDir()),
	} {
		text = regexp.MustCompile(pattern).ReplaceAllLiteralString(text, with)
	}
	return text
}

// peersKey is a file with a key for peers.
func peersKey(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "peers.key")
	if err := os.WriteFile(file, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// withAddresses puts free addresses of this machine for those an example
// listens on, which it returns, and the Dovecots for its servers.
func withAddresses(t *testing.T, l *lb, text string) (local string, addrs []string) {
	t.Helper()
	pair := sharedDovecots(t)
	servers := 0
	section := ""
	var all []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") {
			section = strings.TrimSpace(line)
		}
		switch key, _, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case section == "[peers]" && key == "bind", key == "http":
			line = fmt.Sprintf("%s = %q\n", key, freeAddr(t))
		case key == "join": // there is nobody
			line = "join = []\n"
		case key == "bind":
			line = regexp.MustCompile(`"[^"]*"`).ReplaceAllStringFunc(line, func(string) string {
				addrs = append(addrs, freeAddr(t))
				return fmt.Sprintf("%q", addrs[len(addrs)-1])
			})
		case key == "addr":
			d := pair[servers%2]
			servers++
			addr := d.addr
			if strings.Contains(line, ":10143") { // the one with haproxy = yes
				addr = d.prox
			}
			if strings.Contains(line, ":993") {
				addr = d.tls
			}
			line = fmt.Sprintf("addr = %q\n", addr)
		case key == "server_name":
			line = "server_name = \"dovecot.test\"\n"
		case key == "socket":
			line = fmt.Sprintf("socket = %q\n", l.socket)
		}
		all = append(all, line)
	}
	local = strings.Join(all, "")
	if !strings.Contains(local, l.socket) {
		local += fmt.Sprintf("\n[stats]\nsocket = %q\n", l.socket)
	}
	return local, addrs
}

// loginAnyhow logs in with the TLS that a frontend turns out to want. Where it
// passes TLS on, the certificate is the Dovecot's.
func loginAnyhow(t *testing.T, addr string) error {
	t.Helper()
	c := dial(t, addr)
	if !c.hears(patience / 10) {
		c.close() // it waits for TLS
		c = dialTLS(t, addr, trustAny(t))
		c.expect("* OK")
	} else if greeting := c.expect("* OK"); strings.Contains(greeting, "STARTTLS") {
		c.startTLS(trustAny(t))
	}
	answer, _ := c.do("LOGIN %s %s", newUser(), password)
	c.close()
	if !strings.HasPrefix(answer, "OK") {
		return fmt.Errorf("tests: got %q, want OK", answer)
	}
	return nil
}

// trustAny trusts the tests' authority for whatever name.
func trustAny(t *testing.T) *tls.Config {
	t.Helper()
	roots := certs(t).pool
	return &tls.Config{ServerName: "imap.test", InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
		return err
	}}
}
