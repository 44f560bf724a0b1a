// Package wire writes and reads the few forms of msgpack that peers talk to
// each other in, and that orders are saved in. It is arithmetic on bytes: it
// knows nothing of what they mean, keeps nothing, and takes no memory but for
// the error of a fault. A library would take longer to read an entry of a table
// than the table to store it. What is written here any library of msgpack
// reads, and the other way round.
package wire

import (
	"encoding/binary"
	"math"
)

// The bytes that values begin with. Of those with sizes, the ones for 2, 4 and
// 8 bytes follow the one for 1 byte.
const (
	codeFixMap   = 0x80
	codeFixArray = 0x90
	codeFixStr   = 0xa0
	codeNil      = 0xc0
	codeNever    = 0xc1 // no value begins with it
	codeTrue     = 0xc3
	codeBin8     = 0xc4
	codeBin32    = 0xc6
	codeExt8     = 0xc7
	codeFloat32  = 0xca
	codeUint8    = 0xcc
	codeUint64   = 0xcf
	codeInt8     = 0xd0
	codeFixExt1  = 0xd4
	codeStr8     = 0xd9
	codeStr16    = 0xda
	codeStr32    = 0xdb
	codeArray16  = 0xdc
	codeArray32  = 0xdd
	codeMap16    = 0xde
	codeNegative = 0xe0
)

// AppendArray appends the head of an array; its n elements, at most
// math.MaxUint32, are to follow.
func AppendArray(dst []byte, n int) []byte {
	switch {
	case n < 16:
		return append(dst, codeFixArray|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, codeArray16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, codeArray32), uint32(n))
}

// AppendUint appends a number in the shortest form.
func AppendUint(dst []byte, v uint64) []byte {
	switch {
	case v < codeFixMap:
		return append(dst, byte(v))
	case v <= math.MaxUint8:
		return append(dst, codeUint8, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, codeUint8+1), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, codeUint8+2), uint32(v))
	}
	return AppendWide(dst, v)
}

// AppendWide appends a number with all its bytes, the last 8, big endian: it
// can be replaced in place by any other.
func AppendWide(dst []byte, v uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, codeUint64), v)
}

// AppendInt appends a number in the shortest form, that of AppendUint if it is
// not negative.
func AppendInt(dst []byte, v int64) []byte {
	switch {
	case v >= 0:
		return AppendUint(dst, uint64(v))
	case v >= codeNegative-0x100:
		return append(dst, byte(v))
	case v >= math.MinInt8:
		return append(dst, codeInt8, byte(v))
	case v >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, codeInt8+1), uint16(v))
	case v >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, codeInt8+2), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeInt8+3), uint64(v))
}

// AppendBool appends the number 1 for true and 0 for false, so that the field
// may become one of more than two values.
func AppendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// AppendString appends a string of at most math.MaxUint32 bytes, its length in
// the shortest form.
func AppendString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, codeFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, codeStr8, byte(n))
	case n <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, codeStr16), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint32(append(dst, codeStr32), uint32(n))
	}
	return append(dst, s...)
}

// AppendBin appends bytes, at most math.MaxUint32, behind a length that always
// has 4 bytes, big endian: a caller that appends more of them sets it
// afterwards.
func AppendBin(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, codeBin32), uint32(len(b)))
	return append(dst, b...)
}
