package loop

import (
	"crypto/tls"
	"io"
	"testing"
)

// hello is the first flight of crypto/tls for a name.
func hello(t *testing.T, name string) []byte {
	t.Helper()
	c := &caught{}
	_ = tls.Client(c, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake() // there is no server
	return c.out
}

// caught keeps what is written and has nothing to read.
type caught struct {
	pipe
	out []byte
}

func (c *caught) Write(b []byte) (int, error) { c.out = append(c.out, b...); return len(b), nil }
func (c *caught) Read([]byte) (int, error)    { return 0, io.EOF }

func TestServerName(t *testing.T) {
	for _, name := range []string{"mail.example.org", "a.test", ""} {
		b := hello(t, name)
		for n := range b {
			if HelloComplete(b[:n]) {
				t.Fatalf("%q: %d bytes of %d count as whole", name, n, len(b))
			}
		}
		if got := ServerName(b); !HelloComplete(b) || got != name {
			t.Errorf("the name is %q, want %q", got, name)
		}
		if name == "" {
			continue
		}
		// The same message in two records.
		two := append([]byte{22, 3, 1, 0, 10}, b[5:15]...)
		rest := b[15:]
		two = append(append(two, 22, 3, 1, byte(len(rest)>>8), byte(len(rest))), rest...)
		if got := ServerName(two); !HelloComplete(two) || got != name {
			t.Errorf("in two records the name is %q, want %q", got, name)
		}
	}
	for _, b := range []string{"", "EHLO me\r\n", "\x16\x03\x01\x00\x00", "\x16\x03\x01\x00\x04\x01\x00\x00\x00"} {
		if got := ServerName([]byte(b)); got != "" {
			t.Errorf("%q has the name %q", b, got)
		}
	}
}

func FuzzServerName(f *testing.F) {
	f.Add([]byte("EHLO me\r\n"))
	c := &caught{}
	_ = tls.Client(c, &tls.Config{ServerName: "a.test", InsecureSkipVerify: true}).Handshake() // there is no server
	f.Add(c.out)
	f.Fuzz(func(t *testing.T, b []byte) {
		if name := ServerName(b); len(name) > 0xffff {
			t.Fatalf("a name of %d bytes", len(name))
		}
	})
}
