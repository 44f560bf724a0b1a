package sticktable

import (
	"net/netip"
	"testing"
	"time"
)

func TestKeyOfAddr(t *testing.T) {
	for _, c := range []struct {
		four, six  int
		addr, want string
	}{
		{0, 0, "192.0.2.17", "192.0.2.17"},
		{0, 0, "::ffff:192.0.2.17", "192.0.2.17"},
		{0, 0, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{0, 0, "fe80::1%eth0", "fe80::"},
		{24, 48, "192.0.2.17", "192.0.2.0"},
		{24, 48, "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
		{1, 128, "192.0.2.17", "128.0.0.0"},
		{1, 128, "2001:db8::1", "2001:db8::1"},
		{33, 129, "192.0.2.17", "192.0.2.17"}, // no prefix of that length: the default
	} {
		tb := New("t", Config{Key: "src", IPv4Prefix: c.four, IPv6Prefix: c.six, Size: 1, Expire: time.Hour}, "lb1")
		if got := tb.KeyOfAddr(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("KeyOfAddr(%s) by /%d and /%d = %q, want %q", c.addr, c.four, c.six, got, c.want)
		}
	}
	if got := New("t", Config{Key: "src"}, "lb1").KeyOfAddr(netip.Addr{}); got != "" {
		t.Errorf("KeyOfAddr of no address = %q", got)
	}
}
