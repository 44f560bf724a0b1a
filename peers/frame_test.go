package peers

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// cutFrame takes the first frame off what Next has appended, without its
// length; ok is false if b does not begin with a whole one. The frame aliases b.
func cutFrame(b []byte) (frame, rest []byte, ok bool) {
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

func TestCutFrame(t *testing.T) {
	b := appendNumbers(appendNumbers(nil, typeEcho, 1), typeEcho, 300)
	f, rest, ok := cutFrame(b)
	if !ok || !bytes.Equal(f, []byte{0x92, typeEcho, 1}) {
		t.Errorf("the first frame is % x, %t", f, ok)
	}
	for i := range rest {
		if _, left, ok := cutFrame(rest[:i]); ok || len(left) != i {
			t.Errorf("%d of %d bytes were a frame", i, len(rest))
		}
	}
}

func TestFrameThatGrewTooLong(t *testing.T) {
	dst, f := openBlob([]byte("before"), typePart, 1, 2)
	dst = append(dst, make([]byte, maxFrame)...)
	if b, ok := f.close(dst); ok || string(b) != "before" {
		t.Errorf("a frame of %d bytes was kept: %t", len(dst), ok)
	}
}
