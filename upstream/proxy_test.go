package upstream

import (
	"io"
	"net/netip"
	"testing"

	"imaplb/auth"
	"imaplb/proxyproto"
)

// The PROXY header comes before the server has said anything.
func TestSendProxy(t *testing.T) {
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			req := request(credentials(auth.MechNone, "alice", secretWord))
			req.ClientAddr = netip.MustParseAddrPort("192.0.2.1:4711")
			req.LocalAddr = netip.MustParseAddrPort("192.0.2.9:993")
			req.TLS, req.TLSVersion, req.ServerName, req.ALPN = true, "TLSv1.3", "imap.example.org", "imap"
			got := make(chan proxyproto.Header, 1)
			r.scripted(func(p *peer) {
				h, err := readHeader(p.Conn)
				if err != nil {
					t.Errorf("header: %v", err)
				}
				got <- h
				p.say(hello)
				p.line() // ID
				p.want(aliceLogin)
				p.say("I OK\r\nL OK in\r\n")
				p.gone()
			})
			r.server.SendProxy = version
			_, results := r.startAt(r.target(), req)
			if res := r.wait(results); res.Outcome != OK {
				t.Fatalf("outcome %v, err %v", res.Outcome, res.Err)
			}
			want := proxyproto.Header{Source: req.ClientAddr, Dest: req.LocalAddr}
			if version == "v2" {
				want.TLS, want.TLSVersion, want.ServerName, want.ALPN = true, req.TLSVersion, req.ServerName, req.ALPN
			}
			if h := <-got; h != want {
				t.Errorf("server was told %+v, want %+v", h, want)
			}
		})
	}
}

// readHeader reads a header and not a byte more.
func readHeader(r io.Reader) (proxyproto.Header, error) {
	var b []byte
	for {
		var c [1]byte
		if _, err := io.ReadFull(r, c[:]); err != nil {
			return proxyproto.Header{}, err
		}
		b = append(b, c[0])
		if n, err := proxyproto.Size(b); n > 0 || err != nil {
			return proxyproto.Parse(b)
		}
	}
}
