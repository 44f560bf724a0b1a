package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"
)

// Reader reads values one behind the other. The first fault sticks: after it
// nothing is left, and every value reads as its zero, so that a caller may
// look at Err once, before it uses what it read. No length is believed: none
// promises more than the bytes that are there.
//
// What it returns lies in the input, which must not change meanwhile. It is
// owned by the function that made it.
type Reader struct {
	b    []byte
	at   int
	base error
	err  error // wraps base
}

// NewReader reads b from its beginning. Faults wrap base, which is not nil.
func NewReader(b []byte, base error) Reader { return Reader{b: b, base: base} }

// Err is the first fault, nil if there was none.
func (r *Reader) Err() error { return r.err }

// Left is the number of bytes not read, 0 after a fault.
func (r *Reader) Left() int { return len(r.b) - r.at }

// Fail is a fault that the caller found in what it read. Of several the first
// counts.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", r.base, fmt.Sprintf(format, args...))
		r.at = len(r.b)
	}
}

// Uint reads a whole number that is not negative, in whatever form.
func (r *Reader) Uint() uint64 {
	c := r.code()
	switch {
	case c < codeFixMap:
		return uint64(c)
	case c >= codeUint8 && c < codeInt8:
		return r.size(c - codeUint8)
	case c >= codeInt8 && c < codeFixExt1:
		v, bits := r.size(c-codeInt8), 8<<(c-codeInt8)
		if v>>(bits-1) == 0 {
			return v
		}
	}
	r.Fail("code %#x is no number from 0 on", c)
	return 0
}

// Int reads a whole number up to math.MaxInt64, in whatever form.
func (r *Reader) Int() int64 {
	c := r.code()
	switch {
	case c < codeFixMap || c >= codeNegative:
		return int64(int8(c))
	case c >= codeUint8 && c < codeInt8:
		if v := r.size(c - codeUint8); v <= math.MaxInt64 {
			return int64(v)
		}
	case c >= codeInt8 && c < codeFixExt1:
		unused := 64 - 8<<(c-codeInt8)
		return int64(r.size(c-codeInt8)) << unused >> unused // the sign goes up to the first bit
	}
	r.Fail("code %#x is no number below 1<<63", c)
	return 0
}

// Array reads the length of an array of at least so many elements. Each takes
// a byte or more, so it cannot promise more than is there.
func (r *Reader) Array(least int) int {
	c := r.code()
	n := uint64(0)
	switch {
	case c >= codeFixArray && c < codeFixStr:
		n = uint64(c & 15)
	case c == codeArray16 || c == codeArray32:
		n = r.size(c - codeArray16 + 1)
	default:
		r.Fail("code %#x is no array", c)
	}
	if n < uint64(least) || n > uint64(r.Left()) {
		r.Fail("array of %d elements, at least %d", n, least)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// Bytes reads a string or a blob of at most limit bytes. It aliases the input.
func (r *Reader) Bytes(limit int) []byte { return r.span(0, limit) }

// Text reads a string or a blob of least to limit bytes. It is the bytes of
// the input, without a copy: it is valid only as long as these do not change,
// so a caller clones what it keeps.
func (r *Reader) Text(least, limit int) string {
	b := r.span(least, limit)
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// span returns the bytes of a string or a blob, nil after a fault.
func (r *Reader) span(least, limit int) []byte {
	c := r.code()
	n := uint64(0)
	switch {
	case c >= codeFixStr && c < codeNil:
		n = uint64(c & 31)
	case c >= codeStr8 && c <= codeStr32:
		n = r.size(c - codeStr8)
	case c >= codeBin8 && c <= codeBin32:
		n = r.size(c - codeBin8)
	default:
		r.Fail("code %#x is no string", c)
	}
	if n < uint64(least) || n > uint64(limit) || n > uint64(r.Left()) {
		r.Fail("string of %d bytes, want %d to %d", n, least, limit)
	}
	if r.err != nil {
		return nil
	}
	from := r.at
	r.at += int(n)
	return r.b[from:r.at:r.at]
}

// Skip passes over n values of any form, none if n is negative. What they hold
// is counted, not descended into: no depth makes it recurse.
func (r *Reader) Skip(n int) {
	for todo := uint64(max(n, 0)); todo > 0 && r.err == nil; todo-- {
		values, bytes := r.inside(r.code())
		if bytes > uint64(r.Left()) || todo+values > uint64(r.Left())+1 {
			r.Fail("it is cut short")
			return
		}
		r.at += int(bytes)
		todo += values
	}
}

// inside tells how many values and how many bytes follow a code.
func (r *Reader) inside(c byte) (values, bytes uint64) {
	switch {
	case c < codeFixMap, c >= codeNegative, c == codeNil, c > codeNever && c <= codeTrue:
		return 0, 0
	case c < codeFixArray:
		return 2 * uint64(c&15), 0
	case c < codeFixStr:
		return uint64(c & 15), 0
	case c < codeNil:
		return 0, uint64(c & 31)
	case c >= codeBin8 && c <= codeBin32:
		return 0, r.size(c - codeBin8)
	case c >= codeExt8 && c < codeFloat32:
		return 0, r.size(c-codeExt8) + 1
	case c >= codeFloat32 && c < codeUint8:
		return 0, 4 << (c - codeFloat32)
	case c >= codeUint8 && c < codeInt8:
		return 0, 1 << (c - codeUint8)
	case c >= codeInt8 && c < codeFixExt1:
		return 0, 1 << (c - codeInt8)
	case c >= codeFixExt1 && c < codeStr8:
		return 0, 1<<(c-codeFixExt1) + 1
	case c >= codeStr8 && c <= codeStr32:
		return 0, r.size(c - codeStr8)
	case c == codeArray16 || c == codeArray32:
		return r.size(c - codeArray16 + 1), 0
	case c > codeArray32:
		return 2 * r.size(c-codeMap16+1), 0
	}
	r.Fail("code %#x is never used", c)
	return 0, 0
}

// code reads the byte a value begins with.
func (r *Reader) code() byte {
	if r.at >= len(r.b) {
		r.Fail("it is cut short")
		return codeNever
	}
	r.at++
	return r.b[r.at-1]
}

// size reads a number of 1<<log bytes, 0 after a fault.
func (r *Reader) size(log byte) uint64 {
	n := 1 << log
	if r.Left() < n {
		r.Fail("it is cut short")
		return 0
	}
	b := r.b[r.at:]
	r.at += n
	switch log {
	case 0:
		return uint64(b[0])
	case 1:
		return uint64(binary.BigEndian.Uint16(b))
	case 2:
		return uint64(binary.BigEndian.Uint32(b))
	}
	return binary.BigEndian.Uint64(b)
}
