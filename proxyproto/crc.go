package proxyproto

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	pp "github.com/pires/go-proxyproto"
)

// errCRC says that the header was damaged on its way, or made up badly.
var errCRC = errors.New("proxyproto: the CRC32c of the header is wrong")

// castagnoli is the polynomial of RFC 4960 appendix B. Immutable.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Lengths in a header of version 2, in bytes.
const (
	tlvHead = 3 // kind and length of a TLV
	crcSize = 4
)

// addrSizes are the lengths of the addresses by the family's upper four bits:
// none, IPv4, IPv6, unix (section 2.2).
var addrSizes = [...]int{0, 12, 36, 216}

// checkCRC finds the checksum of a header of version 2, if it has one, and
// compares: "the receiver must abort the connection" if it is wrong (section
// 2.2.3). It is computed over the header with zeros in the checksum's place. What
// is no TLV ends the search.
func checkCRC(b []byte) error {
	if b[0] != sigV2[0] {
		return nil
	}
	family := int(b[13] >> 4)
	if family >= len(addrSizes) {
		return nil
	}
	for at := firstV2 + addrSizes[family]; at+tlvHead <= len(b); {
		from := at + tlvHead
		n := int(binary.BigEndian.Uint16(b[at+1:]))
		if pp.PP2Type(b[at]) == pp.PP2_TYPE_CRC32C {
			return compareCRC(b, from, n)
		}
		at = from + n
	}
	return nil
}

// compareCRC compares the checksum that stands in the n bytes from there on.
func compareCRC(b []byte, from, n int) error {
	if n != crcSize || from+n > len(b) {
		return errCRC
	}
	sum := crc32.Update(0, castagnoli, b[:from])
	sum = crc32.Update(sum, castagnoli, make([]byte, crcSize))
	sum = crc32.Update(sum, castagnoli, b[from+n:])
	if sum != binary.BigEndian.Uint32(b[from:]) {
		return errCRC
	}
	return nil
}
