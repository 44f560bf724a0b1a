package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

var errTest = errors.New("no good")

// edges are the numbers around which a form ends.
func edges() (list []int64) {
	for _, bits := range []int{0, 5, 7, 8, 15, 16, 31, 32, 62} {
		v := int64(1) << bits
		list = append(list, v-1, v, v+1, -v-1, -v, -v+1)
	}
	return append(list, math.MaxInt64, math.MinInt64)
}

// The library writes a number as we do, and reads what we write.
func TestNumbersAgreeWithTheLibrary(t *testing.T) {
	for _, v := range edges() {
		var theirs bytes.Buffer
		if err := msgpack.NewEncoder(&theirs).EncodeInt(v); err != nil {
			t.Fatal(err)
		}
		if ours := AppendInt(nil, v); !bytes.Equal(ours, theirs.Bytes()) {
			t.Errorf("%d is %x, of the library %x", v, ours, theirs.Bytes())
		}
		theirs.Reset()
		if err := msgpack.NewEncoder(&theirs).EncodeUint(uint64(v)); err != nil {
			t.Fatal(err)
		}
		if ours := AppendUint(nil, uint64(v)); !bytes.Equal(ours, theirs.Bytes()) {
			t.Errorf("%d is %x, of the library %x", uint64(v), ours, theirs.Bytes())
		}
		var back uint64
		if err := msgpack.Unmarshal(AppendWide(nil, uint64(v)), &back); err != nil || back != uint64(v) {
			t.Errorf("the library reads %d with all its bytes as %d, %v", uint64(v), back, err)
		}
	}
}

// Numbers are read in every form the library has for them.
func TestNumbersOfAllForms(t *testing.T) {
	for _, v := range edges() {
		for _, form := range []any{v, int32(v), int16(v), int8(v), uint64(v), uint32(v), uint16(v), uint8(v)} {
			b, err := msgpack.Marshal(form)
			if err != nil {
				t.Fatal(err)
			}
			text := fmt.Sprint(form)
			r := NewReader(b, errTest)
			if got := r.Uint(); (r.Err() == nil) == strings.HasPrefix(text, "-") || r.Left() != 0 || r.Err() == nil && fmt.Sprint(got) != text {
				t.Errorf("Uint of %x = %d, %v, want %s", b, got, r.Err(), text)
			}
			big := form == uint64(v) && v < 0
			r = NewReader(b, errTest)
			if got := r.Int(); (r.Err() == nil) == big || r.Left() != 0 || r.Err() == nil && fmt.Sprint(got) != text {
				t.Errorf("Int of %x = %d, %v, want %s", b, got, r.Err(), text)
			}
		}
	}
	for v, want := range map[bool]uint64{true: 1, false: 0} {
		r := NewReader(AppendBool(nil, v), errTest)
		if got := r.Uint(); got != want || r.Err() != nil || r.Left() != 0 {
			t.Errorf("%t is read as %d, %v", v, got, r.Err())
		}
	}
	for _, b := range [][]byte{{0xc0}, {0xc1}, {0xc2}, {0xca, 0, 0, 0, 0}, {0xa1, '1'}, {0x91, 1}, {}, {0xcf, 1, 2}, {0xd1, 1}} {
		u, i := NewReader(b, errTest), NewReader(b, errTest)
		if v, w := u.Uint(), i.Int(); v != 0 || w != 0 || !errors.Is(u.Err(), errTest) || !errors.Is(i.Err(), errTest) {
			t.Errorf("%x was taken for a number", b)
		}
	}
}

func TestStringsAgreeWithTheLibrary(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536, 70000} {
		text := strings.Repeat("x", n)
		theirs, _ := msgpack.Marshal(text)
		if ours := AppendString(nil, text); !bytes.Equal(ours, theirs) {
			t.Errorf("a string of %d bytes begins with %.6x, of the library with %.6x", n, ours, theirs)
		}
		var back []byte
		if err := msgpack.Unmarshal(AppendBin(nil, []byte(text)), &back); err != nil || string(back) != text {
			t.Errorf("the library reads %d bytes as %d, %v", n, len(back), err)
		}
		blob, _ := msgpack.Marshal([]byte(text))
		for _, b := range [][]byte{theirs, blob, AppendBin(nil, []byte(text))} {
			r := NewReader(b, errTest)
			if got := r.Text(n, n); got != text || r.Err() != nil || r.Left() != 0 {
				t.Errorf("%.6x is a string of %d bytes, %v, want %d", b, len(got), r.Err(), n)
			}
			r = NewReader(b, errTest)
			if got := r.Bytes(n); string(got) != text || r.Err() != nil || r.Left() != 0 || cap(got) != n {
				t.Errorf("%.6x are %d bytes, %v, want %d", b, len(got), r.Err(), n)
			}
		}
	}
}

func TestArraysAgreeWithTheLibrary(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 65535, 65536} {
		theirs, _ := msgpack.Marshal(make([]bool, n))
		if ours := AppendArray(nil, n); !bytes.Equal(ours, theirs[:len(theirs)-n]) {
			t.Errorf("an array of %d is %x, of the library %x", n, ours, theirs[:len(theirs)-n])
		}
		r := NewReader(theirs, errTest)
		if got := r.Array(n); got != n || r.Err() != nil || r.Left() != n {
			t.Errorf("an array of %d of the library is one of %d, %v", n, got, r.Err())
		}
	}
}

// What is too short, too long or not there is a fault, and the first one stays.
func TestBounds(t *testing.T) {
	list, text := []byte{0x92, 0xcd, 1, 44, 5}, []byte{0xa3, 'a', 'b', 'c', 5}
	for name, c := range map[string]struct {
		in   []byte
		read func(r *Reader)
	}{
		"array too short":    {list, func(r *Reader) { r.Array(3) }},
		"array beyond input": {list[:2], func(r *Reader) { r.Array(0) }},
		"no array":           {text, func(r *Reader) { r.Array(0) }},
		"text too short":     {text, func(r *Reader) { r.Text(4, 9) }},
		"text too long":      {text, func(r *Reader) { r.Text(0, 2) }},
		"text beyond input":  {text[:3], func(r *Reader) { r.Text(0, 9) }},
		"bytes too long":     {text, func(r *Reader) { r.Bytes(2) }},
		"no text":            {list, func(r *Reader) { r.Text(0, 9) }},
		"no number":          {text, func(r *Reader) { r.Uint() }},
		"behind the end":     {text, func(r *Reader) { r.Skip(2); r.Uint() }},
		"of the caller":      {text, func(r *Reader) { r.Fail("fault %d", 7) }},
	} {
		r := NewReader(c.in, errTest)
		c.read(&r)
		first := r.Err()
		if !errors.Is(first, errTest) || r.Left() != 0 {
			t.Errorf("%s: %v, %d bytes left", name, first, r.Left())
		}
		r.Fail("again")
		if r.Uint() != 0 || r.Int() != 0 || r.Array(0) != 0 || r.Bytes(9) != nil || r.Text(0, 9) != "" || r.Err() != first {
			t.Errorf("%s: behind the fault there is something, %v", name, r.Err())
		}
		r.Skip(1)
	}
}

// A length that is promised takes no memory, and reading takes none at all.
func TestNoAllocations(t *testing.T) {
	for _, b := range [][]byte{{0xdd, 0xff, 0xff, 0xff, 0xff}, {0xdb, 0xff, 0xff, 0xff, 0xff}, {0xc6, 0xff, 0xff, 0xff, 0xff, 1}, {0xdf, 0xff, 0xff, 0xff, 0xff}} {
		for _, read := range []func(r *Reader){
			func(r *Reader) { r.Array(0) }, func(r *Reader) { r.Bytes(math.MaxInt) },
			func(r *Reader) { r.Text(0, math.MaxInt) }, func(r *Reader) { r.Skip(1) },
		} {
			r := NewReader(b, errTest)
			if read(&r); r.Err() == nil {
				t.Errorf("%x was believed", b)
			}
		}
	}
	buf := make([]byte, 0, 1000)
	if n := testing.AllocsPerRun(100, func() {
		b := AppendString(AppendUint(AppendArray(buf, 4), 1<<40), "text")
		b = AppendBin(AppendInt(b, -1000), []byte("bytes"))
		r := NewReader(b, errTest)
		if r.Array(4) != 4 || r.Uint() != 1<<40 || r.Text(1, 9) != "text" || r.Int() != -1000 {
			t.Fatal(r.Err())
		}
		if r.Skip(1); r.Err() != nil || r.Left() != 0 {
			t.Fatal(r.Err())
		}
	}); n != 0 {
		t.Errorf("writing and reading takes %v allocations, want 0", n)
	}
}
