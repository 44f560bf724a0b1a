package loop

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// firstWrite keeps what is written and has nothing to read.
type firstWrite struct {
	net.Conn
	b []byte
}

func (f *firstWrite) Write(b []byte) (int, error) { f.b = append(f.b, b...); return len(b), nil }
func (f *firstWrite) Read([]byte) (int, error)    { return 0, io.EOF }
func (f *firstWrite) Close() error                { return nil }

// clientHello is what crypto/tls says first: one record.
func clientHello(t testing.TB) []byte {
	t.Helper()
	var f firstWrite
	_ = tls.Client(&f, &tls.Config{ServerName: "imap.test"}).Handshake() // fails for want of an answer
	if i := bytes.IndexByte(f.b, 21); len(f.b) < 100 || f.b[0] != 22 || i == 0 {
		t.Fatalf("no ClientHello: % x", f.b)
	}
	return f.b[:5+int(f.b[3])<<8+int(f.b[4])]
}

// inRecords puts the message of a record into records of n bytes.
func inRecords(record []byte, n int) (out []byte) {
	for msg := record[5:]; len(msg) > 0; msg = msg[min(n, len(msg)):] {
		part := msg[:min(n, len(msg))]
		out = append(out, 22, 3, 1, byte(len(part)>>8), byte(len(part)))
		out = append(out, part...)
	}
	return out
}

func TestHelloCompleteAtEveryCut(t *testing.T) {
	t.Parallel()
	hello := clientHello(t)
	for _, n := range []int{1, 2, 3, 4, 5, 7, 100, len(hello)} {
		b := inRecords(hello, n)
		for cut := range len(b) {
			if HelloComplete(b[:cut]) {
				t.Fatalf("records of %d bytes, cut at %d of %d: complete, want incomplete", n, cut, len(b))
			}
		}
		if !HelloComplete(b) {
			t.Errorf("records of %d bytes: incomplete, want complete", n)
		}
		if !HelloComplete(append(b, "more"...)) {
			t.Errorf("records of %d bytes and more behind: incomplete, want complete", n)
		}
	}
}

func TestHelloComplete(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		in   string
		want bool
	}{
		{"nothing", "", false},
		{"IMAP in plain text", "a1 LOGIN x y\r\n", true},
		{"an alert", "\x15\x03\x01\x00\x02\x01\x00", true},
		{"SSL 2", "\x80\x2e\x01\x03\x01", true},
		{"a first byte", "\x16", false},
		{"an empty record", "\x16\x03\x01\x00\x00", true},
		{"a record that is too long", "\x16\x03\x01\x40\x01", true},
		{"the longest record's header", "\x16\x03\x01\x40\x00", false},
		{"a message that is no ClientHello, header cut", "\x16\x03\x01\x00\x08\x02\x00\x00", false},
		{"a message that is no ClientHello", "\x16\x03\x01\x00\x08\x02\x00\x00\x04", true},
		{"an empty ClientHello", "\x16\x03\x01\x00\x04\x01\x00\x00\x00", true},
		{"another type in the second record", "\x16\x03\x01\x00\x04\x01\x00\x00\x04\x17", true},
		{"a ClientHello of 16 MB", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", false}, // the limit is feed's
	} {
		if got := HelloComplete([]byte(tc.in)); got != tc.want {
			t.Errorf("%s: HelloComplete(%q) = %v, want %v", tc.name, tc.in, got, tc.want)
		}
	}
}

// FuzzHelloComplete: what is complete stays so, whatever comes behind; and a
// client can be kept waiting only within the limit of feed.
func FuzzHelloComplete(f *testing.F) {
	hello := clientHello(f)
	f.Add(hello, 10)
	f.Add(inRecords(hello, 3), 77)
	f.Add([]byte("a1 CAPABILITY\r\n"), 3)
	f.Add([]byte("\x16\x03\x01\x00\x04\x01\xff\xff\xff"), 8)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		if HelloComplete(b[:cut]) && !HelloComplete(b) {
			t.Errorf("complete with %d bytes, incomplete with %d", cut, len(b))
		}
		if !HelloComplete(b) && len(b) > 0 && b[0] != 22 {
			t.Errorf("% x is waited for", b[:1])
		}
	})
}
