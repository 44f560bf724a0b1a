package peers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseKeys(t *testing.T) {
	k16, k24, k32 := make([]byte, 16), bytes.Repeat([]byte{2}, 24), key(3)
	line := base64.StdEncoding.EncodeToString
	text := "# the ring\n\n  " + line(k32) + "  # first\r\n" + line(k16) + "\n" + line(k24) + "\n" + line(k32) + "\n"
	keys, err := ParseKeys([]byte(text))
	if err != nil || !slices.EqualFunc(keys, [][]byte{k32, k16, k24}, bytes.Equal) {
		t.Errorf("ParseKeys = %x, %v", keys, err)
	}
	var many strings.Builder
	for i := range MaxKeys + 1 {
		fmt.Fprintln(&many, line(key(byte(i))))
	}
	for _, test := range []struct{ text, want string }{
		{"", "no key"},
		{"# nothing\n\n", "no key"},
		{line(k32) + "\nsecret!\n", "line 2"},
		{"\n" + line(k32[:31]) + "\n", "line 2"},
		{many.String(), "more than 16 keys"},
		{strings.Repeat("#\n", maxKeysFile), "bytes"},
	} {
		_, err := ParseKeys([]byte(test.text))
		if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("ParseKeys of %d bytes = %v, want %q", len(test.text), err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), line(k32)[:8])) {
			t.Errorf("the error shows a key: %v", err)
		}
	}
}

func TestRing(t *testing.T) {
	r, err := NewRing([][]byte{key(1), key(2)})
	if err != nil {
		t.Fatal(err)
	}
	prints := func() (list []string) {
		for i, k := range r.Keys() {
			if k.Encrypts != (i == 0) {
				t.Errorf("key %d encrypts: %t", i, k.Encrypts)
			}
			list = append(list, k.Fingerprint)
		}
		return list
	}
	one, two, three := fingerprint(key(1)), fingerprint(key(2)), fingerprint(key(3))
	if len(one) != 8 {
		t.Errorf("fingerprint %q", one)
	}
	k, err := r.Add(base64.StdEncoding.EncodeToString(key(3)))
	if err != nil || k.Fingerprint != three || k.Encrypts {
		t.Errorf("Add = %+v, %v", k, err)
	}
	if err := r.Use(three); err != nil || !slices.Equal(prints(), []string{three, one, two}) {
		t.Errorf("after Use: %v, %v", prints(), err)
	}
	if err := r.Remove(three); !errors.Is(err, ErrKey) {
		t.Errorf("removing the key that encrypts = %v", err)
	}
	if err := r.Remove(one); err != nil || !slices.Equal(prints(), []string{three, two}) {
		t.Errorf("after Remove: %v, %v", prints(), err)
	}
	if err := r.Use(one); !errors.Is(err, ErrKey) {
		t.Errorf("using a key that is gone = %v", err)
	}
	if !slices.EqualFunc(r.members.GetKeys(), r.all(), bytes.Equal) {
		t.Error("memberlist has other keys")
	}
	for i := range MaxKeys - 2 {
		if _, err := r.Add(base64.StdEncoding.EncodeToString(key(byte(100 + i)))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(base64.StdEncoding.EncodeToString(key(99))); !errors.Is(err, ErrKey) {
		t.Errorf("one key more than %d = %v", MaxKeys, err)
	}
	none, _ := NewRing(nil)
	if _, err := none.Add(base64.StdEncoding.EncodeToString(key(1))); !errors.Is(err, ErrKey) {
		t.Errorf("a key for a ring without = %v", err)
	}
}
