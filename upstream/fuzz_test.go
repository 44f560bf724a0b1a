package upstream

import (
	"bytes"
	"fmt"
	"testing"

	"imaplb/auth"
)

// fuzzed plays a server's bytes, clear before TLS and the rest under it, in
// chunks of the given size, and describes what came of it.
func fuzzed(t *testing.T, startTLS bool, clear, rest []byte, chunk int) string {
	req := request(credentials(auth.MechNone, "a\"b", "swordfish"))
	x := newExchange(req, true, startTLS)
	var sent, in []byte
	feed := func(b []byte) {
		for len(b) > 0 && x.step != finished && x.step != upgrading {
			n := min(chunk, len(b))
			in, b = append(in, b[:n]...), b[n:]
			used, out := x.fromServer(in)
			in, sent = in[used:], append(sent, out...)
			switch {
			case x.step == upgrading && len(b) > 0:
				// The driver gives them to TLS, which does not like them.
				x.fail(Protocol, nil, []byte("bytes behind the answer to STARTTLS"))
			case x.step != finished && len(in) > maxLine+chunk:
				t.Fatalf("%d bytes left unused", len(in))
			}
		}
		in = append(in, b...)
	}
	feed(clear)
	if x.step == upgrading {
		sent = append(sent, x.upgraded()...)
	}
	feed(rest)
	x.closed()
	if len(x.untagged) > maxUntagged+2 || len(x.text) > 512 || len(x.sent) > 64 || x.talk > maxTalk {
		t.Fatalf("kept %d untagged, %d text, %d notes; %d talk", len(x.untagged), len(x.text), len(x.sent), x.talk)
	}
	if bytes.Contains(x.text, []byte("swordfish")) && !bytes.Contains(append(clear, rest...), []byte("swordfish")) {
		t.Fatalf("password in %q", x.text)
	}
	if x.outcome != OK {
		in = nil // nobody asks for it
	}
	return fmt.Sprintf("%v sent=%q caps=%q untagged=%q code=%q text=%q rest=%q", x.outcome, sent, x.caps.Append(nil), x.untagged, x.code, x.text, in)
}

func FuzzExchange(f *testing.F) {
	for _, s := range stories {
		var clear, rest []byte
		under := false
		for _, turn := range s.turns {
			switch {
			case turn.server == handshake:
				under = true
			case under:
				rest = append(rest, turn.server...)
			default:
				clear = append(clear, turn.server...)
			}
		}
		f.Add(s.startTLS, clear, rest, uint8(1))
		f.Add(s.startTLS, clear, rest, uint8(7))
	}
	f.Add(false, []byte(hello), bytes.Repeat([]byte("* OK x\r\n"), 2000), uint8(255))
	f.Fuzz(func(t *testing.T, startTLS bool, clear, rest []byte, chunk uint8) {
		whole := fuzzed(t, startTLS, clear, rest, len(clear)+len(rest)+1)
		split := fuzzed(t, startTLS, clear, rest, int(chunk)+1)
		if whole != split {
			t.Errorf("in one piece: %s\nin pieces of %d: %s", whole, int(chunk)+1, split)
		}
	})
}
