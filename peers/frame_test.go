package peers

import (
	"bytes"
	"testing"
)

func TestCutFrame(t *testing.T) {
	b := appendNumbers(appendNumbers(nil, typeEcho, 1), typeEcho, 300)
	f, rest, ok := CutFrame(b)
	if !ok || !bytes.Equal(f, []byte{0x92, typeEcho, 1}) {
		t.Errorf("the first frame is % x, %t", f, ok)
	}
	for i := range rest {
		if _, left, ok := CutFrame(rest[:i]); ok || len(left) != i {
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
