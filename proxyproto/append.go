package proxyproto

import (
	"net"
	"net/netip"
	"strconv"

	pp "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// AppendLocal appends the header of a connection that a proxy makes for
// itself, such as a check. version is "v1", "v2", or "" for none.
func AppendLocal(dst []byte, version string) []byte {
	switch version {
	case "v1":
		return append(dst, "PROXY UNKNOWN\r\n"...)
	case "v2":
		return append(append(dst, sigV2...), 0x20, 0, 0, 0)
	}
	return dst
}

// Append appends a header of version "v1" or "v2", nothing for "". v1 has the
// addresses only. Without two addresses it is that of AppendLocal.
func Append(dst []byte, version string, h *Header) []byte {
	if version == "" || h.Local || !h.Source.IsValid() || !h.Dest.IsValid() {
		return AppendLocal(dst, version)
	}
	source, dest := h.Source.Addr().Unmap(), h.Dest.Addr().Unmap()
	if source.Is4() != dest.Is4() { // both are written in the greater form
		source, dest = netip.AddrFrom16(source.As16()), netip.AddrFrom16(dest.As16())
	}
	out := &pp.Header{
		Version: 2, Command: pp.PROXY, TransportProtocol: pp.TCPv6,
		SourceAddr:      &net.TCPAddr{IP: source.AsSlice(), Port: int(h.Source.Port())},
		DestinationAddr: &net.TCPAddr{IP: dest.AsSlice(), Port: int(h.Dest.Port())},
	}
	if source.Is4() {
		out.TransportProtocol = pp.TCPv4
	}
	if version == "v1" {
		return appendV1(dst, netip.AddrPortFrom(source, h.Source.Port()), netip.AddrPortFrom(dest, h.Dest.Port()))
	}
	// The lengths are bounded by those who made the header, so neither fails.
	if err := out.SetTLVs(h.tlvs()); err != nil {
		return AppendLocal(dst, version)
	}
	b, err := out.Format()
	if err != nil {
		return AppendLocal(dst, version)
	}
	return append(dst, b...)
}

// appendV1 writes the line of section 2.1. IPv4 within IPv6 is "::ffff:…", as
// inet_ntop writes it.
func appendV1(dst []byte, source, dest netip.AddrPort) []byte {
	family := "TCP6"
	if source.Addr().Is4() {
		family = "TCP4"
	}
	dst = append(append(append(dst, sigV1...), family...), ' ')
	dst = append(source.Addr().WithZone("").AppendTo(dst), ' ')
	dst = append(dest.Addr().WithZone("").AppendTo(dst), ' ')
	dst = append(appendPort(dst, source.Port()), ' ')
	return append(appendPort(dst, dest.Port()), "\r\n"...)
}

// tlvs are those of what is known.
func (h *Header) tlvs() (list []pp.TLV) {
	add := func(kind pp.PP2Type, s string) {
		if s != "" && len(s) <= maxText {
			list = append(list, pp.TLV{Type: kind, Value: []byte(s)})
		}
	}
	add(pp.PP2_TYPE_ALPN, h.ALPN)
	add(pp.PP2_TYPE_AUTHORITY, h.ServerName)
	if !h.TLS {
		return list
	}
	rest := list
	list = nil
	version := h.TLSVersion
	if version == "" {
		version = "TLS" // there has to be one
	}
	add(pp.PP2_SUBTYPE_SSL_VERSION, version)
	ssl := tlvparse.PP2SSL{Client: tlvparse.PP2_BITFIELD_CLIENT_SSL, Verify: 1}
	if c := &h.Client; c.Conn || c.Session {
		ssl.Verify = c.Verify
		if c.Conn {
			ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_CONN
		}
		if c.Session {
			ssl.Client |= tlvparse.PP2_BITFIELD_CLIENT_CERT_SESS
		}
		add(pp.PP2_SUBTYPE_SSL_CN, c.CN)
	}
	ssl.TLV = list
	if t, err := ssl.Marshal(); err == nil {
		rest = append(rest, t)
	}
	return rest
}

func appendPort(dst []byte, port uint16) []byte { return strconv.AppendUint(dst, uint64(port), 10) }
