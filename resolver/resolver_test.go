package resolver

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a nameserver of the tests answers: by name and type.
type zone map[string]func(q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource)

// pack makes the answer to a question; truncated is what a long one is by UDP.
func (z zone) pack(t *testing.T, query []byte, truncated bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		t.Errorf("bad question: %v", err)
		return nil
	}
	q := m.Questions[0]
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true, RCode: dnsmessage.RCodeNameError, Truncated: truncated},
		Questions: m.Questions,
	}
	if f := z[strings.ToLower(q.Name.String())]; f != nil && !truncated {
		answer.RCode, answer.Answers = f(q)
	}
	b, err := answer.Pack()
	if err != nil {
		t.Error(err)
	}
	return b
}

// serve runs a nameserver on loopback; with onlyTCP its answers by UDP are cut.
func serve(t *testing.T, z zone, onlyTCP bool) (addr string) {
	t.Helper()
	udp, tcp := listen(t)
	t.Cleanup(func() { udp.Close(); tcp.Close() })
	go func() { // ends with the socket
		b := make([]byte, 2048)
		for {
			n, from, err := udp.ReadFromUDP(b)
			if err != nil {
				return
			}
			_, _ = udp.WriteToUDP(z.pack(t, b[:n], onlyTCP), from)
		}
	}()
	go func() { // ends with the listener
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var length [2]byte
			_, _ = io.ReadFull(c, length[:])
			b := make([]byte, binary.BigEndian.Uint16(length[:]))
			_, _ = io.ReadFull(c, b)
			m := z.pack(t, b, false)
			_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...))
			c.Close()
		}
	}()
	return udp.LocalAddr().String()
}

// listen opens a port that is free by UDP and by TCP.
func listen(t *testing.T) (*net.UDPConn, net.Listener) {
	t.Helper()
	for range 50 {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp4", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	t.Fatal("no port is free by both")
	return nil, nil
}

// hosts answers with addresses of both families.
func hosts(ttl uint32, addrs ...string) func(dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource) {
	return func(q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource) {
		var list []dnsmessage.Resource
		for _, a := range addrs {
			ip := netip.MustParseAddr(a)
			h := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
			switch {
			case ip.Is4() && q.Type == dnsmessage.TypeA:
				list = append(list, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: ip.As4()}})
			case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
				list = append(list, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
			}
		}
		return dnsmessage.RCodeSuccess, list
	}
}

// broken fails for IPv6 and answers for IPv4.
func broken(q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource) {
	if q.Type == dnsmessage.TypeAAAA {
		return dnsmessage.RCodeServerFailure, nil
	}
	return hosts(5, "10.0.0.1")(q)
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{10, 1, 0, byte(i)}).String())
	}
	return list
}

func TestLookup(t *testing.T) {
	t.Parallel()
	z := zone{
		"one.test.":    hosts(30, "10.0.0.2"),
		"both.test.":   hosts(7, "2001:db8::1", "10.0.0.9", "10.0.0.2"),
		"short.test.":  hosts(0, "10.0.0.2"),
		"long.test.":   hosts(86_400, "10.0.0.2"),
		"none.test.":   hosts(30),
		"broken.test.": broken,
		"many.test.":   hosts(30, many(MaxAddrs+1)...),
	}
	for name, onlyTCP := range map[string]bool{"udp": false, "tcp": true} {
		r, err := New([]string{serve(t, z, onlyTCP)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			host, want string
			ttl        time.Duration
		}{
			{"one.test.", "10.0.0.2", 30 * time.Second},
			{"both.test.", "10.0.0.2 10.0.0.9 2001:db8::1", 7 * time.Second},
			{"short.test.", "10.0.0.2", MinTTL},
			{"long.test.", "10.0.0.2", MaxTTL},
			{"none.test.", "", 0},
			{"away.test.", "", 0},
			{"broken.test.", "", 0},
			{"many.test.", strings.Join(many(MaxAddrs), " "), 30 * time.Second},
		} {
			a, err := r.Lookup(t.Context(), c.host)
			var got []string
			for _, ip := range a.Addrs {
				got = append(got, ip.String())
			}
			if strings.Join(got, " ") != c.want || a.TTL != c.ttl || (err != nil) != (c.want == "") {
				t.Errorf("%s %s: %v, TTL %v, %v; want %q, %v", name, c.host, got, a.TTL, err, c.want, c.ttl)
			}
		}
	}
}

// The hosts file counts, and what has no TTL holds for MaxTTL.
func TestLookupInTheHostsFile(t *testing.T) {
	t.Parallel()
	r, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Lookup(t.Context(), "localhost")
	if err != nil || !a.Addrs[0].IsLoopback() || a.TTL != MaxTTL {
		t.Errorf("localhost is %v, %v", a, err)
	}
}

// A nameserver that does not answer is passed over.
func TestLookupAsksTheNext(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	answer := hosts(30, "10.0.0.2")
	addr := serve(t, zone{"one.test.": func(q dnsmessage.Question) (dnsmessage.RCode, []dnsmessage.Resource) {
		asked.Add(1)
		return answer(q)
	}}, false)
	closed, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	dead := closed.LocalAddr().String()
	closed.Close()
	r, err := New([]string{dead, addr})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a, err := r.Lookup(t.Context(), "one.test."); err != nil || !slices.Equal(a.Addrs, []netip.Addr{netip.MustParseAddr("10.0.0.2")}) {
			t.Errorf("%v, %v after %d questions", a, err, asked.Load())
		}
	}
}

func TestParseNameserver(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:53", "::1": "[::1]:53", "10.0.0.1:5353": "10.0.0.1:5353", "[::1]:1": "[::1]:1",
		"": "", "ns.example.org": "", "10.0.0.1:0": "", "10.0.0.1:x": "",
	} {
		ap, err := ParseNameserver(in)
		if got := ap.String(); err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %s, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzTTL(f *testing.F) {
	name := dnsmessage.MustNewName("one.test.")
	q := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	_, answers := hosts(30, "10.0.0.2")(q)
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: true}, Questions: []dnsmessage.Question{q}, Answers: answers}
	b, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if ttl, ok := ttlOf(b); ttl < 0 || !ok && ttl != 0 {
			t.Errorf("TTL %v, %v", ttl, ok)
		}
	})
}
