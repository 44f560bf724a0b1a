package loop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// sealer writes the records of a TLS 1.3 client by hand, since crypto/tls
// never asks for new keys. RFC 8446 sections 5.2 and 7.
type sealer struct {
	t      *testing.T
	secret []byte
	seq    uint64
}

// sealerOf goes on where the handshake of a client has ended. keys is the log
// of the client's configuration.
func sealerOf(t *testing.T, keys string) *sealer {
	t.Helper()
	for line := range strings.Lines(keys) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return &sealer{t: t, secret: secret}
		}
	}
	t.Fatalf("no secret in %q", keys)
	return nil
}

// expand is HKDF-Expand-Label with an empty context.
func (s *sealer) expand(label string, n int) []byte {
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len("tls13 "+label)))
	b, err := hkdf.Expand(sha256.New, s.secret, string(info)+"tls13 "+label+"\x00", n)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// record seals b as a record of that type.
func (s *sealer) record(b string, typ byte) []byte {
	block, err := aes.NewCipher(s.expand("key", 16))
	if err != nil {
		s.t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		s.t.Fatal(err)
	}
	nonce := s.expand("iv", 12)
	for i := range 8 {
		nonce[4+i] ^= byte(s.seq >> (56 - 8*i))
	}
	s.seq++
	head := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(b)+1+aead.Overhead()))
	return aead.Seal(head, nonce, append([]byte(b), typ), head)
}

// keyUpdate asks the other side for new keys and takes new ones. RFC 8446
// section 4.6.3.
func (s *sealer) keyUpdate() []byte {
	r := s.record("\x18\x00\x00\x01\x01", 22)
	s.secret, s.seq = s.expand("traffic upd", 32), 0
	return r
}

// TestTLSKeyUpdate in one segment with data that is passed on to another TLS
// connection in the same call: the answer to the one must not get among the
// records of the other.
func TestTLSKeyUpdate(t *testing.T) {
	t.Parallel()
	server, config := tlsConfigs(t, tls.VersionTLS13)
	started := make(chan *Conn, 1)
	var other *Conn
	h := &script{data: func(c *Conn, p []byte) {
		if other == nil {
			other = c
			c.Write([]byte("first"))
			return
		}
		other.Write(p)
		c.Write([]byte("passed on"))
	}}
	slots := NewHandshakes(1, 1)
	ln := serve(t, group(t, 1), "tcp", accepts(secure(server, slots, h, func(c *Conn, _ error) { started <- c })))
	to := tls.Client(dial(t, ln), config)
	mustWrite(t, to, "I listen")
	mustRead(t, to, "first")
	<-started

	var keys bytes.Buffer
	config = config.Clone()
	config.KeyLogWriter = &keys
	raw := dial(t, ln)
	from := tls.Client(raw, config)
	handshakeFirst(t, from, started)
	if suite := from.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("the sealer knows no %s", tls.CipherSuiteName(suite))
	}
	s := sealerOf(t, keys.String())
	mustWrite(t, raw, string(s.keyUpdate())+string(s.record("hello", 23)))
	mustRead(t, to, "hello")
	mustRead(t, from, "passed on")
	mustWrite(t, raw, string(s.keyUpdate())+string(s.keyUpdate())+string(s.record("again", 23)))
	mustRead(t, to, "again")
	mustRead(t, from, "passed on")
}
