package peers

import (
	"encoding/binary"

	"imaplb/wire"
)

// A frame is a msgpack array [type, field…] behind its length, 4 bytes big
// endian. Fields are only ever added at the end of an array; a reader passes
// over those it does not know, and over frames of a type it does not know.
// State numbers are those of the hello of whoever sends the frame.
const (
	typeHello   = 1 + iota // min, max, name, incarnation, wallMs, [[state, buckets, incarnation held, position held(, shape)]…]
	typeStart              // state, position, resumed, head: updates come from there on
	typeUpdate             // state, position behind it, blob
	typeAck                // state, position, entries merged of updates, entries merged of parts
	typeDigests            // state, round, kind, numbers: 8 bytes each, big endian
	typeWant               // state, round, [[part, mask]…], numbers of these buckets; none after a look
	typePart               // state, round, blob
	typeDone               // state, round
	typeEcho               // id
	typeEchoed             // id, wallMs
	typeMessage            // topic, blob
	typeBye                //
	typeShape              // state, shape
	numTypes
)

// Versions of the protocol spoken by this process.
const (
	versionMin = 1
	versionMax = 1
)

// Kinds of rounds: what the side that is asked does with the difference.
const (
	kindRepair  = iota // exchange all of it
	kindLook           // remember and tell it
	kindConfirm        // exchange what differed at the look before, too
)

// CutFrame takes the first frame off what Next has appended, without its
// length; ok is false if b does not begin with a whole one. The frame aliases b.
func CutFrame(b []byte) (frame, rest []byte, ok bool) {
	if len(b) < lengthSize {
		return nil, b, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-lengthSize) {
		return nil, b, false
	}
	b = b[lengthSize:]
	return b[:n:n], b[n:], true
}

// openFrame appends the room of a length and the head of a frame.
func openFrame(dst []byte, kind, fields int) []byte {
	dst = append(dst, 0, 0, 0, 0)
	return wire.AppendUint(wire.AppendArray(dst, 1+fields), uint64(kind))
}

// closeFrame writes the length of the frame that begins at start.
func closeFrame(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthSize))
	return dst
}

// appendNumbers appends a frame whose fields are numbers.
func appendNumbers(dst []byte, kind int, fields ...uint64) []byte {
	start := len(dst)
	dst = openFrame(dst, kind, len(fields))
	for _, v := range fields {
		dst = wire.AppendUint(dst, v)
	}
	return closeFrame(dst, start)
}

// A blobFrame is a frame under construction that ends with a blob, which is
// appended in place. It is owned by whoever builds it.
type blobFrame struct {
	start int // of the frame
	blob  int // of the blob
}

// wideSize is what wire.AppendWide takes, binSize the head of a blob.
const (
	wideSize = 9
	binSize  = 5
)

// openBlob appends the head of [kind, state, number, blob].
func openBlob(dst []byte, kind int, state, number uint64) ([]byte, blobFrame) {
	f := blobFrame{start: len(dst)}
	dst = wire.AppendUint(openFrame(dst, kind, 3), state)
	dst = wire.AppendBin(wire.AppendWide(dst, number), nil)
	f.blob = len(dst)
	return dst, f
}

// setNumber replaces the number before the blob.
func (f blobFrame) setNumber(dst []byte, number uint64) {
	binary.BigEndian.PutUint64(dst[f.blob-binSize-wideSize+1:], number)
}

// close writes the lengths. A frame that has grown too long is taken back, and
// ok is false.
func (f blobFrame) close(dst []byte) (b []byte, ok bool) {
	if len(dst)-f.start-lengthSize > maxFrame {
		return dst[:f.start], false
	}
	binary.BigEndian.PutUint32(dst[f.blob-binSize+1:], uint32(len(dst)-f.blob))
	return closeFrame(dst, f.start), true
}
