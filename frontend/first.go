package frontend

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"time"

	"imaplb/proxyproto"
)

// first are the bytes with which a connection begins, where they decide what
// becomes of it. Owned by the loop of its connection.
type first struct {
	wait awaited
	in   []byte // at most what awaited says, and one read
}

// awaited is what the first bytes may be.
type awaited uint8

const (
	awaitHeader   awaited = iota // a PROXY header, and nothing else: 4 KiB
	awaitNoHeader                // anything but a PROXY header: 16 bytes tell
	awaitHello                   // a ClientHello, if it is TLS: 16 KiB
)

// trust are networks: those whose connections begin with a PROXY header, or
// those that rules and penalties leave alone.
type trust struct {
	networks []netip.Prefix
	unix     bool // clients of unix sockets too
}

// newTrust reads Config.AcceptProxy or Config.Trusted, which conf has checked.
func newTrust(list []string) (t trust) {
	for _, s := range list {
		if s == acceptUnix {
			t.unix = true
		} else if p, err := ParseNetwork(s); err == nil {
			t.networks = append(t.networks, p)
		}
	}
	return t
}

const acceptUnix = "unix" // of Config.AcceptProxy

// some reports whether anybody is trusted.
func (t *trust) some() bool { return t.unix || len(t.networks) > 0 }

// covers reports whether a connection comes from there.
func (t *trust) covers(src netip.AddrPort) bool {
	if !src.IsValid() {
		return t.unix
	}
	a := src.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(t.networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// begin starts with the PROXY header, if one must come.
func (p *prelogin) begin() {
	if t := &p.set.trust; t.some() && t.covers(p.c.src) {
		p.await(awaitHeader, p.set.Config.ProxyTimeout)
		return
	}
	p.known()
}

// await makes the next bytes first ones.
func (p *prelogin) await(what awaited, patience time.Duration) {
	p.first = &first{wait: what}
	p.timerAt(time.Now().Add(patience))
}

// known goes on with a connection of a client that is listed as no proxy. A
// header of his would be believed by nobody, and would go on to a server.
func (p *prelogin) known() {
	switch {
	case !p.set.trust.some():
		p.proceed(nil)
	case p.set.Config.TLS == "implicit", p.set.Config.Mode == modeTCP && p.set.readsSNI():
		p.await(awaitNoHeader, p.c.fe.e.limits.Load().HandshakeTimeout)
	default:
		p.proceed(nil)
		if p.s != nil && p.c.pre != nil && !p.closing {
			p.first = &first{wait: awaitNoHeader} // the session's deadline holds
		}
	}
}

// proceed begins with the handshake or the greeting, once it is known who the
// client is. early is what he has sent already.
func (p *prelogin) proceed(early []byte) {
	if !p.admit(time.Now()) || !p.mayWithout() {
		return
	}
	if p.set.Config.TLS == "implicit" {
		p.startTLS(early)
		return
	}
	if p.set.Config.Mode == modeTCP {
		p.tcp(early)
		return
	}
	p.greet(p.c.offload)
	p.more(early)
}

// more offers bytes that were first ones.
func (p *prelogin) more(early []byte) {
	if len(early) > 0 && p.c.pre != nil {
		p.Data(p.c.cli, early)
	}
}

// startTLS begins a TLS handshake. Its deadline runs from now.
func (p *prelogin) startTLS(early []byte) {
	p.timerAt(time.Now().Add(p.c.fe.e.limits.Load().HandshakeTimeout))
	cfg := p.c.fe.set.Load().TLS
	if cfg == nil { // a reload has switched TLS off, but it was promised
		cfg = p.set.TLS
	}
	p.c.cli.StartServerTLS(cfg, p.c.fe.e.slots, p.tlsDone)
	p.c.cli.Feed(early)
}

// firstData takes first bytes until they decide.
func (p *prelogin) firstData(b []byte) {
	f := p.first
	f.in = append(f.in, b...)
	if f.wait == awaitHello {
		p.readHello()
		return
	}
	n, err := proxyproto.Size(f.in)
	switch {
	case n == 0 && err == nil: // more is wanted
	case f.wait == awaitNoHeader && err != nil:
		p.first = nil
		if p.s == nil {
			p.proceed(f.in)
		} else {
			p.more(f.in)
		}
	case f.wait == awaitHeader && err == nil:
		p.header(f.in[:n], f.in[n:])
	default:
		p.badHeader()
	}
}

// header takes what a proxy says of its client.
func (p *prelogin) header(b, early []byte) {
	h, err := proxyproto.Parse(b)
	if err != nil {
		p.badHeader()
		return
	}
	p.first = nil
	c := p.c
	if h.Source.IsValid() {
		c.src, p.dest = h.Source, h.Dest
	}
	p.sni, p.alpn, p.cert = h.ServerName, h.ALPN, h.Client
	c.noteCert(&p.cert)
	if h.TLS {
		c.tls, c.offload = tlsVersion(h.TLSVersion), true
	}
	p.proceed(early)
}

// badHeader ends a connection that has no PROXY header where one must stand, or
// one where none may.
func (p *prelogin) badHeader() {
	for _, n := range p.counters() {
		n.Malformed.Add(1)
	}
	p.abort(time.Now(), reasonHeader, stateProxy)
}

// firstExpired is the end of the time for the first bytes.
func (p *prelogin) firstExpired(now time.Time) {
	f := p.first
	if f.wait != awaitHeader && p.set.Config.Mode == modeTCP && p.set.Config.TLS == "none" && len(f.in) == 0 {
		p.first = nil // he waits for the server to speak, so it is no TLS
		p.connect(nil)
		return
	}
	if f.wait == awaitHeader {
		for _, n := range p.counters() {
			n.Malformed.Add(1)
		}
		p.abort(now, reasonHeaderTime, stateTimeout)
		return
	}
	p.abort(now, reasonTimeout, stateTimeout)
}

// tlsUnknown is the version of a client's TLS that a proxy has ended and did not
// name.
const tlsUnknown = 1

// tlsVersion is the number of a version as OpenSSL writes it.
func tlsVersion(name string) uint16 {
	switch name {
	case "TLSv1.3":
		return tls.VersionTLS13
	case "TLSv1.2":
		return tls.VersionTLS12
	case "TLSv1.1":
		return tls.VersionTLS11
	case "TLSv1":
		return tls.VersionTLS10
	}
	return tlsUnknown
}
