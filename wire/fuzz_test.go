package wire

import (
	"bytes"
	"math"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// A reading is what a reader made of the first value: v, and the bytes left.
// ok is false if it refused it.
type reading struct {
	v    any
	left int
	ok   bool
}

// FuzzReader: nothing panics or reads beyond the input, and of all that begins
// it the library and we think the same.
func FuzzReader(f *testing.F) {
	for _, v := range []any{
		nil, true, 1, 200, 70000, uint64(math.MaxUint64), -1, -200, -70000, 1.5, "text", []byte("bytes"),
		[]any{1, "a", []any{}}, map[string]any{"a": []int{1, 2}, "b": nil},
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(AppendBin(AppendString(AppendWide(AppendArray(nil, 3), 7), "s"), []byte("b")))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff, 0x91, 0x91})
	f.Add([]byte{0xc7, 1, 2, 3, 0xd8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:len(b):len(b)]
		for name, c := range map[string]struct {
			ours   func(r *Reader) any
			theirs func(d *msgpack.Decoder, in *bytes.Reader) (v any, ok bool)
		}{
			"Uint":  {func(r *Reader) any { return r.Uint() }, libraryUint},
			"Int":   {func(r *Reader) any { return r.Int() }, libraryInt},
			"Array": {func(r *Reader) any { return r.Array(0) }, libraryArray},
			"Bytes": {func(r *Reader) any { return string(r.Bytes(math.MaxInt)) }, libraryText},
			"Text":  {func(r *Reader) any { return r.Text(0, math.MaxInt) }, libraryText},
			"Skip":  {func(r *Reader) any { r.Skip(1); return nil }, librarySkip},
		} {
			r := NewReader(b, errTest)
			var ours, theirs reading
			ours.v = c.ours(&r)
			ours.left, ours.ok = r.Left(), r.Err() == nil
			in := bytes.NewReader(b)
			theirs.v, theirs.ok = c.theirs(msgpack.NewDecoder(in), in)
			theirs.left = in.Len()
			if ours.ok != theirs.ok || ours.ok && ours != theirs {
				t.Fatalf("%s of %x is %+v, of the library %+v", name, b, ours, theirs)
			}
			if ours.left < 0 || ours.left > len(b) || ours.ok && ours.left == len(b) || !ours.ok && ours.left > 0 {
				t.Fatalf("%s of %x: %d bytes left of %d, %v", name, b, ours.left, len(b), r.Err())
			}
		}
	})
}

// number reports whether an integer comes next: the library takes floats and
// nil for one.
func number(d *msgpack.Decoder) bool {
	c, err := d.PeekCode()
	return err == nil && (msgpcode.IsFixedNum(c) || c >= msgpcode.Uint8 && c <= msgpcode.Int64)
}

// libraryUint leaves out what is negative, which the library wraps around.
func libraryUint(d *msgpack.Decoder, in *bytes.Reader) (any, bool) {
	if !number(d) {
		return nil, false
	}
	c, _ := d.PeekCode()
	v, err := d.DecodeUint64()
	negative := c >= msgpcode.NegFixedNumLow || c >= msgpcode.Int8 && c <= msgpcode.Int64 && int64(v) < 0
	return v, err == nil && !negative
}

// libraryInt leaves out what is too large, which the library wraps around.
func libraryInt(d *msgpack.Decoder, in *bytes.Reader) (any, bool) {
	if !number(d) {
		return nil, false
	}
	c, _ := d.PeekCode()
	v, err := d.DecodeInt64()
	return v, err == nil && (c != msgpcode.Uint64 || v >= 0)
}

func libraryArray(d *msgpack.Decoder, in *bytes.Reader) (any, bool) {
	n, err := d.DecodeArrayLen()
	return n, err == nil && n >= 0 && n <= in.Len()
}

func libraryText(d *msgpack.Decoder, in *bytes.Reader) (any, bool) {
	n, err := d.DecodeBytesLen()
	if err != nil || n < 0 || n > in.Len() {
		return nil, false
	}
	b := make([]byte, n)
	err = d.ReadFull(b)
	return string(b), err == nil
}

func librarySkip(d *msgpack.Decoder, in *bytes.Reader) (any, bool) { return nil, d.Skip() == nil }
