package peers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"
)

// What goes to peers of other versions keeps its bytes: those of the first
// frame, and of a conversation in which all kinds of them occur.
func TestFramesStay(t *testing.T) {
	const first, all = "97010101a16201cf0000018bcfe568009194a36d6170400000", "24c646272e8aceb2e4135e7344c6d4bbf0a29cb94cb5db95cc1fd7bde421bf9f"
	frames := conversation(t)
	if got := hex.EncodeToString(frames[0]); got != first {
		t.Errorf("the first frame is\n%s, want\n%s", got, first)
	}
	h := sha256.New()
	for _, f := range frames {
		h.Write(f)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != all {
		t.Errorf("%d frames have the sum\n%s, want\n%s", len(frames), got, all)
	}
}

// So do introductions, and the answers to them.
func TestIntroductionsStay(t *testing.T) {
	ring, err := NewRing([][]byte{key(1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &proof{ring: ring, cluster: "x", keying: bytes.Repeat([]byte{7}, keyingBytes)}
	type conn struct {
		io.Reader
		io.Writer
	}
	var dialed, welcome, refused bytes.Buffer
	if _, _, err := p.introduce(conn{bytes.NewReader(nil), &dialed}, intro{"a", "192.0.2.1:4300"}, "b"); err != io.EOF {
		t.Fatalf("introduced without an answer: %v", err)
	}
	for name, answer := range map[string]*bytes.Buffer{"b": &welcome, "c": &refused} {
		_, _, _ = p.receive(conn{bytes.NewReader(dialed.Bytes()), answer}, intro{name, "192.0.2.2:4300"}, anybody)
	}
	for name, c := range map[string]struct{ got, want string }{
		"introduction": {hex.EncodeToString(dialed.Bytes()), "003994a161ae3139322e302e322e313a34333030a162c600000020c78b056aba5b6ddd7a3dc57c2c4f12a515651d1299304190fef38a59a8900f87"},
		"welcome":      {hex.EncodeToString(welcome.Bytes()), "00389400a162ae3139322e302e322e323a34333030c6000000203f343e0eaf7dbbb161a0be4bfabb5932371ee6e064b40146f60c8a217a37d92d"},
		"refusal":      {hex.EncodeToString(refused.Bytes()), "00029102"},
	} {
		if c.got != c.want {
			t.Errorf("the %s is\n%s, want\n%s", name, c.got, c.want)
		}
	}
}
