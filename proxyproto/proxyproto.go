// Package proxyproto reads and writes the header of the PROXY protocol, by
// which one proxy tells the next whose connection it brings
// (proxy-protocol.txt of HAProxy). It does no I/O and trusts nobody: whose
// headers are believed is for the caller to decide.
package proxyproto

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	pp "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// Bounds of a header, in bytes.
const (
	maxV1   = 107      // proxy-protocol.txt section 2.1
	maxV2   = 4 << 10  // behind the first 16 bytes; what is known of takes less than 1 KiB
	firstV2 = 16       // signature, command, family, length
	maxText = 255      // of a name within a header: more is left out
	sigV1   = "PROXY " // section 2.1
	sigV2   = "\r\n\r\n\x00\r\nQUIT\n"
)

// ErrNone says that what came is no header.
var ErrNone = errors.New("proxyproto: no PROXY header")

// Header is what a header says of a connection.
type Header struct {
	Local        bool           // LOCAL or UNKNOWN: it is the proxy's own, the addresses are the socket's
	Source, Dest netip.AddrPort // of the client, and where it connected to; zero for Local and unix sockets
	TLS          bool           // the client came by TLS
	TLSVersion   string         // such as "TLSv1.3", "" if it was not said
	ServerName   string         // the client's SNI
	ALPN         string         // agreed on with the client
	Client       Certificate    // of the client; zero without TLS
}

// Certificate is what is known of a client's certificate: pp2_tlv_ssl of section
// 2.2.5.
type Certificate struct {
	Conn    bool   // it was shown on this connection
	Session bool   // it was shown on this connection or on the one that this one resumes
	Verify  uint32 // 0 if it was shown and is good, else why not, in numbers of whoever judged
	CN      string // its common name, "" if there is none, or none that may stand in a log
}

// Good reports whether there is a certificate and it was found good.
func (c *Certificate) Good() bool { return (c.Conn || c.Session) && c.Verify == 0 }

// Size is the length of the header that b begins with: 0 if more bytes are
// wanted to tell, ErrNone if b does not begin with a header of bounded length.
func Size(b []byte) (int, error) {
	switch {
	case beginsV1(b):
		i := bytes.IndexByte(b[:min(len(b), maxV1)], '\n')
		if i < 0 && len(b) >= maxV1 {
			return 0, ErrNone
		}
		return i + 1, nil
	case !begins(b, sigV2):
		return 0, ErrNone
	case len(b) < firstV2:
		return 0, nil
	}
	n := int(binary.BigEndian.Uint16(b[firstV2-2:]))
	if n > maxV2 {
		return 0, ErrNone
	}
	if len(b) < firstV2+n {
		return 0, nil
	}
	return firstV2 + n, nil
}

// beginsV1 is begins for what the first line of version 1 may be. Its first word
// alone is nobody's sign: it may be the tag of an IMAP command.
func beginsV1(b []byte) bool {
	return begins(b, sigV1+"TCP4 ") || begins(b, sigV1+"TCP6 ") || begins(b, sigV1+"UNKNOWN")
}

// begins reports whether b begins with sig, or may once there is more of it.
func begins(b []byte, sig string) bool {
	n := min(len(b), len(sig))
	return string(b[:n]) == sig[:n]
}

// Parse reads a header; b is as long as Size says.
func Parse(b []byte) (Header, error) {
	if n, err := Size(b); err != nil || n != len(b) || n == 0 {
		return Header{}, ErrNone
	}
	if len(b) >= firstV2 && b[0] == '\r' && b[12] == 0x21 && b[13] == 0 {
		return Header{Local: true}, checkCRC(b) // PROXY UNSPEC: section 2.2 has the receiver accept it
	}
	h, err := pp.Read(bufio.NewReaderSize(bytes.NewReader(b), max(len(b), firstV2)))
	if err != nil {
		return Header{}, fmt.Errorf("proxyproto: %w", err)
	}
	if h.Command.IsLocal() {
		return Header{Local: true}, nil
	}
	out := Header{Source: addrPort(h.SourceAddr), Dest: addrPort(h.DestinationAddr)}
	if !out.Source.IsValid() && !h.TransportProtocol.IsUnix() {
		return Header{}, errors.New("proxyproto: no TCP address")
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return Header{}, fmt.Errorf("proxyproto: %w", err)
	}
	if err := out.read(tlvs); err != nil {
		return Header{}, err
	}
	return out, checkCRC(b)
}

// read takes what is known of the TLVs; others are passed over.
func (h *Header) read(tlvs []pp.TLV) error {
	for _, t := range tlvs {
		switch t.Type {
		case pp.PP2_TYPE_AUTHORITY:
			h.ServerName = Text(string(t.Value))
		case pp.PP2_TYPE_ALPN:
			h.ALPN = Text(string(t.Value))
		case pp.PP2_TYPE_SSL:
			ssl, err := tlvparse.SSL(t)
			if err != nil {
				return fmt.Errorf("proxyproto: %w", err)
			}
			h.TLS = ssl.ClientSSL()
			version, _ := ssl.SSLVersion()
			cn, _ := ssl.ClientCN()
			h.TLSVersion, h.Client = Text(version), Certificate{}
			if h.TLS && (ssl.ClientCertConn() || ssl.ClientCertSess()) {
				h.Client = Certificate{Conn: ssl.ClientCertConn(), Session: ssl.ClientCertSess(), Verify: ssl.Verify, CN: Text(cn)}
			}
		}
	}
	return nil
}

// Text is a name that may stand in a header and in a log: "" if it has more than
// 255 bytes, is not UTF-8, or has control characters.
func Text(s string) string {
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

// addrPort is a TCP address, zero for any other.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
