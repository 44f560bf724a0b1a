// Package resolver looks up the addresses of host names, and how long they
// hold: Go's resolver, with the hosts file and the search list, whose
// conversations with nameservers are listened to for the TTL.
//
// It keeps nothing and repeats nothing; its owner decides when to ask again.
package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of an answer.
const (
	MinTTL   = time.Second
	MaxTTL   = time.Minute // also of an answer without a TTL, as one from the hosts file
	MaxAddrs = 64          // addresses of a name; of more, the lowest count
)

// tryTimeout is how long each of the nameservers may take that the
// configuration names.
const tryTimeout = 4 * time.Second

// Resolver asks nameservers. Shared: any goroutine may call any method.
type Resolver struct {
	servers []string // "ip:port"; none are the system's
}

// New returns a Resolver that asks the nameservers, "ip" or "ip:port", one
// after another; with none, those of the system.
func New(nameservers []string) (*Resolver, error) {
	r := &Resolver{}
	for _, s := range nameservers {
		ap, err := ParseNameserver(s)
		if err != nil {
			return nil, err
		}
		r.servers = append(r.servers, ap.String())
	}
	return r, nil
}

// ParseNameserver reads "ip" or "ip:port"; the port is 53 if none is given.
// RFC 1035 section 4.2.
func ParseNameserver(s string) (netip.AddrPort, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(ip, 53), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("resolver: nameserver %q: write an IP address, or one with port, such as \"10.0.0.1:53\"", s)
	}
	return ap, nil
}

// Answer is what a name stands for.
type Answer struct {
	Addrs []netip.Addr  // at least one, sorted, IPv4 before IPv6: the order of an answer says nothing
	TTL   time.Duration // from MinTTL to MaxTTL
}

// Lookup asks for the addresses of host. If the question for one family fails
// for a time the whole look-up does: half an answer would look like a change.
// It blocks until ctx ends at most.
func (r *Resolver) Lookup(ctx context.Context, host string) (a Answer, err error) {
	if len(r.servers) == 0 {
		return lookup(ctx, host, "")
	}
	for _, server := range r.servers {
		var notFound *net.DNSError
		try, cancel := context.WithTimeout(ctx, tryTimeout)
		a, err = lookup(try, host, server)
		cancel()
		if err == nil || errors.As(err, &notFound) && notFound.IsNotFound {
			break
		}
	}
	return a, err
}

// lookup asks one nameserver, "" for the system's.
func lookup(ctx context.Context, host, server string) (Answer, error) {
	heard := &listener{ttl: MaxTTL}
	asking := net.Resolver{
		PreferGo: true, StrictErrors: true,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return heard.dial(ctx, network, cmp.Or(server, address))
		},
	}
	ips, err := asking.LookupNetIP(ctx, "ip", host)
	var failed *net.DNSError
	if errors.As(err, &failed) && server != "" {
		failed.Server = server // Go names the system's
	}
	if err != nil {
		return Answer{}, fmt.Errorf("resolver: %w", err)
	}
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	ips = slices.Compact(ips)
	if len(ips) == 0 {
		return Answer{}, errors.New("resolver: no address")
	}
	return Answer{Addrs: slices.Clip(ips[:min(len(ips), MaxAddrs)]), TTL: heard.least()}, nil
}

// listener keeps the least TTL of a look-up's answers, of which there are two
// at once.
type listener struct {
	mu  sync.Mutex
	ttl time.Duration
}

// dial connects to a nameserver and listens in.
func (l *listener) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if udp, ok := c.(*net.UDPConn); ok {
		return &packets{UDPConn: udp, heard: l}, nil
	}
	return &stream{Conn: c, heard: l}, nil
}

func (l *listener) hear(message []byte) {
	if ttl, ok := ttlOf(message); ok {
		l.mu.Lock()
		l.ttl = min(l.ttl, ttl)
		l.mu.Unlock()
	}
}

// least is the TTL within its bounds.
func (l *listener) least() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.ttl, MinTTL)
}

// packets is a conversation by UDP: each read is a message.
type packets struct {
	*net.UDPConn
	heard *listener
}

// Read reads a message.
func (p *packets) Read(b []byte) (int, error) {
	n, err := p.UDPConn.Read(b)
	if err == nil {
		p.heard.hear(b[:n])
	}
	return n, err
}

// stream is a conversation by TCP: a length of two bytes, then the message, of
// which there is one. RFC 1035 section 4.2.2.
type stream struct {
	net.Conn
	heard *listener
	got   []byte // at most 2 + 65,535 bytes
}

// Read reads a part of the message.
func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	was := s.rest()
	s.got = append(s.got, b[:min(n, was)]...)
	if was > 0 && s.rest() == 0 {
		s.heard.hear(s.got[2:])
	}
	return n, err
}

// rest is how much is missing yet.
func (s *stream) rest() int {
	if len(s.got) < 2 {
		return 2 + 65_535 - len(s.got)
	}
	return max(0, 2+int(s.got[0])<<8+int(s.got[1])-len(s.got))
}
