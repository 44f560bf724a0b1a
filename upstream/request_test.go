package upstream

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"imaplb/auth"
	"imaplb/imap"
)

// pairs writes the pairs as AppendID does, for comparing.
func pairs(r *Request) string { return string(imap.AppendID(nil, r.idPairs(nil))) }

func TestIDPairs(t *testing.T) {
	full := request(credentials(auth.MechNone, "alice", "swordfish"))
	full.ID = []imap.IDPair{{Key: "name", Value: "Mutt"}, {Key: "version", Nil: true}}
	full.TLS, full.ServerName, full.TTL = true, "imap.example.org", 3
	local := *full
	local.ID, local.ClientAddr, local.LocalAddr, local.ServerName = nil, netip.AddrPort{}, netip.AddrPort{}, ""
	v6 := local
	v6.ClientAddr = netip.MustParseAddrPort("[fe80::1%eth0]:1")
	v6.LocalAddr = netip.MustParseAddrPort("[2001:db8::1]:993")
	for _, c := range []struct {
		name string
		req  *Request
		want string
	}{
		{"everything", full, `("name" "Mutt" "version" NIL "x-session-id" "lb1-1" ` +
			`"x-originating-ip" "198.51.100.7" "x-originating-port" "51034" "x-connected-ip" "203.0.113.1" "x-connected-port" "993" ` +
			`"x-connected-name" "imap.example.org" "x-client-transport" "TLS" "x-proxy-ttl" "2")`},
		{"unix socket", &local, `("x-session-id" "lb1-1" "x-client-transport" "TLS" "x-proxy-ttl" "2")`},
		{"IPv6 without zone", &v6, `("x-session-id" "lb1-1" "x-originating-ip" "fe80::1" "x-originating-port" "1" ` +
			`"x-connected-ip" "2001:db8::1" "x-connected-port" "993" "x-client-transport" "TLS" "x-proxy-ttl" "2")`},
	} {
		if got := pairs(c.req); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// RFC 2971 section 3.3: at most 30 pairs, keys of 30 bytes, values of 1024.
// The client's may fill the list; ours must be in it all the same.
func TestIDPairsAreBounded(t *testing.T) {
	r := request(credentials(auth.MechNone, "alice", "swordfish"))
	r.ServerName = strings.Repeat("a.", 126) + "b"
	for i := range 30 {
		r.ID = append(r.ID, imap.IDPair{Key: fmt.Sprintf("key%027d", i), Value: strings.Repeat("v", 1024)})
	}
	got := r.idPairs(nil)
	if len(got) > 30 {
		t.Errorf("%d pairs, at most 30", len(got))
	}
	ours := map[string]bool{}
	for _, p := range got {
		if len(p.Key) > 30 || len(p.Value) > 1024 {
			t.Errorf("pair of %d and %d bytes", len(p.Key), len(p.Value))
		}
		ours[p.Key] = true
	}
	for _, key := range []string{"x-session-id", "x-originating-ip", "x-originating-port", "x-connected-ip", "x-connected-port", "x-connected-name", "x-client-transport", "x-proxy-ttl"} {
		if !ours[key] {
			t.Errorf("%s is missing", key)
		}
	}
}

func TestTTL(t *testing.T) {
	for _, c := range []struct {
		ttl     int
		looping bool
	}{{0, false}, {5, false}, {2, false}, {1, true}, {-1, true}} {
		if r := (&Request{TTL: c.ttl}); r.looping() != c.looping {
			t.Errorf("TTL %d: looping() = %v, want %v", c.ttl, r.looping(), c.looping)
		}
	}
}
