package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// Every form the library writes is passed over whole, and none of it cut short.
func TestSkip(t *testing.T) {
	long := strings.Repeat("x", 70000)
	for _, v := range []any{
		nil, true, false, 5, -5, -500, int64(-1 << 40), uint64(1 << 60), float32(1), 2.5, "s", long[:40], long[:300], long,
		[]byte{1}, []byte(long[:300]), []byte(long), []int{1, 2}, make([]int, 20), make([]string, 70000),
		map[string]int{"a": 1}, map[string]any{"a": []any{map[string]any{"b": nil}}}, time.Unix(1, 0), time.Unix(1<<35, 5),
		bigMap(20), bigMap(70000),
	} {
		b, err := msgpack.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		skipWhole(t, b)
	}
}

func bigMap(n int) map[int]int {
	m := map[int]int{}
	for i := range n {
		m[i] = i
	}
	return m
}

func skipWhole(t *testing.T, b []byte) {
	t.Helper()
	r := NewReader(append(bytes.Clone(b), 7, 8), errTest)
	if r.Skip(1); r.Err() != nil || r.Left() != 2 {
		t.Errorf("%.20x of %d bytes: %v, %d left", b, len(b), r.Err(), r.Left()-2)
	}
	for n := range min(len(b), 64) {
		r := NewReader(b[:n], errTest)
		if r.Skip(1); r.Err() == nil {
			t.Errorf("%d bytes of %.20x were enough", n, b)
		}
	}
}

// All 256 codes, each with what has to follow it by the tables of msgpack.
func TestSkipEveryCode(t *testing.T) {
	const lengths = "\xc4\xc5\xc6\xc7\xc8\xc9\xd9\xda\xdb\xdc\xdd\xde\xdf" // of 1, 2 and 4 bytes, or 2 and 4
	fixed := map[byte]int{
		0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8,
		0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17,
	}
	sizes := map[byte]int{0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4}
	for c := range 256 {
		code, follow := byte(c), 0
		b := []byte{code}
		switch {
		case code == codeNever:
			r := NewReader(b, errTest)
			if r.Skip(1); r.Err() == nil {
				t.Error("the code that is never used was passed over")
			}
			continue
		case strings.IndexByte(lengths, code) >= 0:
			const n = 5
			b = append(b, binary.BigEndian.AppendUint32(nil, n)[4-sizes[code]:]...)
			switch follow = n; {
			case code >= 0xc7 && code <= 0xc9:
				follow++ // the type
			case code >= 0xde:
				follow *= 2 // keys and values
			}
		case code >= 0x80 && code < 0x90:
			follow = 2 * int(code-0x80)
		case code >= 0x90 && code < 0xa0:
			follow = int(code - 0x90)
		case code >= 0xa0 && code < 0xc0:
			follow = int(code - 0xa0)
		default:
			follow = fixed[code]
		}
		skipWhole(t, append(b, make([]byte, follow)...)) // a zero is a byte and a value
	}
}

// No depth makes it recurse, no length makes it loop.
func TestSkipBombs(t *testing.T) {
	for name, bomb := range map[string][]byte{
		"arrays":        {0x91},
		"wide arrays":   {0xdd, 0, 0, 0, 1},
		"maps":          {0x81, 0},
		"longest array": {0xdd, 0xff, 0xff, 0xff, 0xff},
		"longest map":   {0xdf, 0xff, 0xff, 0xff, 0xff},
	} {
		b := bytes.Repeat(bomb, 1<<20)
		r := NewReader(b, errTest)
		if r.Skip(1); r.Err() == nil {
			t.Errorf("%s without an end were passed over", name)
		}
		if name[0] == 'l' {
			continue
		}
		r = NewReader(append(b, 0), errTest)
		if r.Skip(1); r.Err() != nil || r.Left() != 0 {
			t.Errorf("%s with an end: %v, %d left", name, r.Err(), r.Left())
		}
	}
	r := NewReader([]byte{1, 2}, errTest)
	if r.Skip(-3); r.Err() != nil || r.Left() != 2 {
		t.Errorf("less than nothing: %v, %d left", r.Err(), r.Left())
	}
}
