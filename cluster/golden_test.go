package cluster

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// What goes to peers of other versions and into files keeps its bytes.
func TestBytesStay(t *testing.T) {
	m := move{
		id: "lb2-1", phase: phaseDone, by: "admin", backend: "mail", server: "s2", timeout: 1500 * time.Millisecond,
		deadline: 1767225600000, stamp: Stamp{1 << 60, "lb2"}, why: strings.Repeat("w", 40), missing: []string{"lb3", "lb4"},
	}
	saved := newOne(t, "lb1")
	if err := saved.OrderWeight(start, "admin", "mail", "s1", 7); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"facts": {encode(
			&fact{key: "vote/lb2/mail/s1", value: "down", time: 70000, writer: "lb2", expires: 1767225600000},
			&fact{key: "later/" + strings.Repeat("k", 40), value: strings.Repeat("v", 300), time: 1<<64 - 1, writer: "lb3"},
			&fact{key: "k", time: 200, writer: "lb4", expires: 300}), "0195b0766f74652f6c62322f6d61696c2f7331a4646f776ece00011170a36c6232cf0000019b76daa80095d92e6c617465722f6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6bda012c" + strings.Repeat("76", 300) +
			"cfffffffffffffffffa36c62330095a16ba0ccc8a36c6234cd012c"},
		"move":  {[]byte(m.encode()), "9ba56c62322d3102a561646d696ea46d61696ca27332cd05dccf0000019b76daa800cf1000000000000000a36c6232d9287777777777777777777777777777777777777777777777777777777777777777777777777777777792a36c6233a36c6234"},
		"order": {[]byte(orderText{"admin", "drain", ""}.encode()), "93a561646d696ea5647261696ea0"},
		"file":  {saved.Save(), "696d61706c62206f726465727320310a3c29c2190195ae7765696768742f6d61696c2f7331a992a561646d696ea137cf019ca9450a000000a36c6231cf0000019d46570000"},
	} {
		if got := hex.EncodeToString(c.got); got != c.want {
			t.Errorf("%s is\n%s, want\n%s", name, got, c.want)
		}
	}
}
