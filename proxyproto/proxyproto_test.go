package proxyproto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// headers are headers as HAProxy writes them, with what they say.
var headers = []struct {
	name, text string
	want       Header
}{
	{"v1 of IPv4", "PROXY TCP4 192.0.2.1 192.0.2.9 56324 993\r\n", Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993")}},
	{"v1 of IPv6", "PROXY TCP6 2001:db8::1 2001:db8::9 56324 993\r\n", Header{Source: ap("[2001:db8::1]:56324"), Dest: ap("[2001:db8::9]:993")}},
	{"v1 of a check", "PROXY UNKNOWN\r\n", Header{Local: true}},
	{"v1 unknown with more", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", Header{Local: true}},
	{"v2 of IPv4", sigV2 + "\x21\x11\x00\x0c" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1", Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993")}},
	{"v2 of a check", sigV2 + "\x20\x00\x00\x00", Header{Local: true}},
	{"v2 local with addresses", sigV2 + "\x20\x11\x00\x0c" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1", Header{Local: true}},
	{"v2 of nobody", sigV2 + "\x21\x00\x00\x00", Header{Local: true}},
	{"v2 with TLS", sigV2 + "\x21\x11\x00\x30" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" +
		"\x02\x00\x0bexample.org" + "\x20\x00\x0f\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3" + "\x04\x00\x01\x00",
		Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), TLS: true, TLSVersion: "TLSv1.3", ServerName: "example.org"}},
	{"v2 with a certificate", sigV2 + "\x21\x11\x00\x2b" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" +
		"\x20\x00\x1c\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3" + "\x22\x00\x0aalice; bob",
		Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), TLS: true, TLSVersion: "TLSv1.3", Client: Certificate{Conn: true, Session: true, CN: "alice; bob"}}},
	{"v2 with a bad certificate", sigV2 + "\x21\x11\x00\x26" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" +
		"\x20\x00\x17\x05\x00\x00\x00\x13\x21\x00\x07TLSv1.2" + "\x22\x00\x05a\r\nbc",
		Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), TLS: true, TLSVersion: "TLSv1.2", Client: Certificate{Session: true, Verify: 19}}},
	{"v2 with a name but no certificate", sigV2 + "\x21\x11\x00\x26" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" +
		"\x20\x00\x17\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.2" + "\x22\x00\x05alice",
		Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), TLS: true, TLSVersion: "TLSv1.2"}},
	{"v2 with TLS twice", sigV2 + "\x21\x11\x00\x38" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" +
		"\x20\x00\x17\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.2" + "\x22\x00\x05alice" + "\x20\x00\x0f\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3",
		Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), TLS: true, TLSVersion: "TLSv1.3"}},
	{"v2 with a checksum", crcHeader, Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993"), ServerName: "example.org"}},
}

// crcHeader is a header with its checksum, which the test computes bit by bit.
var crcHeader = withCRC(sigV2 + "\x21\x11\x00\x21" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" + "\x03\x00\x04\x00\x00\x00\x00" + "\x02\x00\x0bexample.org")

// withCRC puts the checksum of RFC 4960 appendix B where a header has the first
// TLV behind addresses of IPv4.
func withCRC(header string) string {
	sum := ^uint32(0)
	for _, c := range []byte(header) {
		sum ^= uint32(c)
		for range 8 {
			sum = sum>>1 ^ 0x82f63b78*(sum&1)
		}
	}
	return header[:31] + string(binary.BigEndian.AppendUint32(nil, ^sum)) + header[35:]
}

// Each damaged bit of a header that has a checksum is found out, or makes it
// another kind of header.
func TestChecksum(t *testing.T) {
	for i := range 8 * len(crcHeader) {
		b := []byte(crcHeader)
		b[i/8] ^= 1 << (i % 8)
		if n, err := Size(b); err != nil || n != len(b) {
			continue
		}
		h, err := Parse(b)
		if err == nil && !h.Local && i/8 != 28 { // without the checksum's kind there is none
			t.Errorf("bit %d of byte %d damaged: %+v, want an error", i%8, i/8, h)
		}
	}
	for _, n := range []string{"\x03\x00\x03abc", "\x03\x00\x05abcde", "\x03\x00\x00"} {
		b := sigV2 + "\x21\x11\x00" + string(rune(12+len(n))) + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1" + n
		if h, err := Parse([]byte(b)); err == nil {
			t.Errorf("a checksum of %d bytes: %+v, want an error", len(n)-3, h)
		}
	}
}

func TestParse(t *testing.T) {
	for _, h := range headers {
		got, err := Parse([]byte(h.text))
		if err != nil || !reflect.DeepEqual(got, h.want) {
			t.Errorf("%s: %+v, %v, want %+v", h.name, got, err, h.want)
		}
	}
}

// A header is known to be whole at its last byte, whatever follows.
func TestSizeAtEverySplit(t *testing.T) {
	for _, h := range headers {
		for n := range len(h.text) {
			if size, err := Size([]byte(h.text[:n])); size != 0 || err != nil {
				t.Errorf("%s: %d bytes of it are %d, %v, want more to be wanted", h.name, n, size, err)
			}
		}
		for _, behind := range []string{"", "a1 NOOP\r\n", "\x16\x03\x01"} {
			if size, err := Size([]byte(h.text + behind)); size != len(h.text) || err != nil {
				t.Errorf("%s: %d, %v, want %d", h.name, size, err, len(h.text))
			}
		}
	}
}

func TestNoHeader(t *testing.T) {
	for _, s := range []string{
		"a1 NOOP\r\n", "PROX\r\n", "PROXY\r\n", "\x16\x03\x01", "\r\n\r\n\x01", "PROXY TCP4 " + strings.Repeat("1", maxV1),
		sigV2 + "\x21\x11\xff\xff",
	} {
		if n, err := Size([]byte(s)); err == nil {
			t.Errorf("Size(%q) = %d, want ErrNone", s, n)
		}
	}
	for _, s := range []string{
		"", "PROXY TCP4 192.0.2.1\r\n", "PROXY TCP4 ::1 ::2 1 2\r\n", "PROXY TCP4 192.0.2.1 192.0.2.9 x 993\r\n", "PROXY TCP5 a b 1 2\r\n", "PROXY UNKNOWN\n",
		"PROXY UNKNOWN\r\nmore", sigV2 + "\x21\x11\x00\x04abcd", sigV2 + "\x31\x11\x00\x00", sigV2 + "\x21\x11\x00\x0e" + "\xc0\x00\x02\x01\xc0\x00\x02\x09\xdc\x04\x03\xe1\x02\x09",
	} {
		if h, err := Parse([]byte(s)); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", s, h)
		}
	}
}

func TestAppendAndParse(t *testing.T) {
	v4 := Header{Source: ap("192.0.2.1:56324"), Dest: ap("192.0.2.9:993")}
	v6 := Header{Source: ap("[2001:db8::1]:1"), Dest: ap("[2001:db8::9]:65535")}
	all := v4
	all.TLS, all.TLSVersion, all.ServerName, all.ALPN = true, "TLSv1.3", "example.org", "imap"
	all.Client = Certificate{Conn: true, Session: true, CN: "alice"}
	resumed, bad, nameless := all, all, all
	resumed.Client.Conn = false
	bad.Client.Verify = 10
	nameless.Client.CN = ""
	for version, list := range map[string][]Header{"v1": {v4, v6, {Local: true}}, "v2": {v4, v6, all, resumed, bad, nameless, {Local: true}}} {
		for _, h := range list {
			b := Append([]byte("x"), version, &h)
			if got, err := Parse(b[1:]); err != nil || !reflect.DeepEqual(got, h) {
				t.Errorf("%s: %q is %+v, %v, want %+v", version, b, got, err, h)
			}
		}
	}
	if b := Append(nil, "", &v4); len(b) > 0 {
		t.Errorf("without a version it wrote %q", b)
	}
	mixed := Header{Source: ap("192.0.2.1:5"), Dest: ap("[2001:db8::9]:993")}
	for _, version := range []string{"v1", "v2"} {
		b := Append(nil, version, &mixed)
		if n, err := Size(b); err != nil || n != len(b) {
			t.Errorf("%s of mixed families: %q is %d, %v", version, b, n, err)
		}
	}
}

func TestAppendLocal(t *testing.T) {
	for version, want := range map[string]string{"": "", "v1": "PROXY UNKNOWN\r\n", "v2": sigV2 + "\x20\x00\x00\x00"} {
		if got := AppendLocal(nil, version); string(got) != want {
			t.Errorf("AppendLocal(%q) = %q, want %q", version, got, want)
		}
	}
}

// Whatever comes, a size is within bounds and no byte behind the header counts.
func FuzzParse(f *testing.F) {
	for _, h := range headers {
		f.Add([]byte(h.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Size(b)
		if n < 0 || n > len(b) || n > firstV2+maxV2 || err != nil && n != 0 {
			t.Fatalf("Size = %d, %v of %d bytes", n, err, len(b))
		}
		if n == 0 {
			return
		}
		h, err := Parse(b[:n])
		if err != nil {
			return
		}
		if more, err := Size(append(bytes.Clone(b[:n]), "more"...)); more != n || err != nil {
			t.Fatalf("with more behind it Size = %d, %v, want %d", more, err, n)
		}
		for _, s := range []string{h.ServerName, h.ALPN, h.TLSVersion, h.Client.CN} {
			if strings.ContainsAny(s, "\r\n\x00") || len(s) > maxText {
				t.Fatalf("a name of %q", s)
			}
		}
	})
}
