package upstream

import (
	"net/netip"
	"strconv"

	"imaplb/auth"
	"imaplb/imap"
	"imaplb/proxyproto"
)

// firstTTL is how many proxies a login may pass, as Dovecot counts.
const firstTTL = 5

const (
	maxPairs = 30 // RFC 2971 section 3.3
	ourPairs = 8  // those that idPairs adds at most
)

// Request is a login that a client asked for.
type Request struct {
	auth.Credentials
	ID         []imap.IDPair  // of the client, without x-… keys
	TTL        int            // proxies left, from the client's x-proxy-ttl; 0 if it had none
	SessionID  string         // ours; stands in the server's log
	ClientAddr netip.AddrPort // zero for a unix socket
	LocalAddr  netip.AddrPort // where the client connected to
	ServerName string         // the client's SNI, "" if none
	TLS        bool           // the client's side is encrypted
	TLSVersion string         // such as "TLSv1.3", "" if unknown
	ALPN       string         // agreed on with the client, "" if none
	ClientCert proxyproto.Certificate
}

// idPairs is what the server is told of the client: what the client said of
// itself, as far as there is room, then what we know. Dovecot believes the x-… keys of those in its
// login_trusted_networks (src/imap-login/imap-login-cmd-id.c).
func (r *Request) idPairs(pairs []imap.IDPair) []imap.IDPair {
	pairs = append(pairs, r.ID[:min(len(r.ID), maxPairs-ourPairs)]...)
	add := func(key, value string) { pairs = append(pairs, imap.IDPair{Key: key, Value: value}) }
	add("x-session-id", r.SessionID)
	if r.ClientAddr.IsValid() {
		add("x-originating-ip", r.ClientAddr.Addr().WithZone("").String())
		add("x-originating-port", strconv.Itoa(int(r.ClientAddr.Port())))
	}
	if r.LocalAddr.IsValid() {
		add("x-connected-ip", r.LocalAddr.Addr().WithZone("").String())
		add("x-connected-port", strconv.Itoa(int(r.LocalAddr.Port())))
	}
	if r.ServerName != "" {
		add("x-connected-name", r.ServerName)
	}
	transport := "insecure"
	if r.TLS {
		transport = "TLS"
	}
	add("x-client-transport", transport)
	add("x-proxy-ttl", strconv.Itoa(r.ttl()-1))
	return pairs
}

func (r *Request) ttl() int {
	if r.TTL == 0 {
		return firstTTL
	}
	return r.TTL
}

// looping reports whether the login came through so many proxies that it must
// be going round.
func (r *Request) looping() bool { return r.ttl() <= 1 }

// proxyHeader is the PROXY header of the login.
func (r *Request) proxyHeader() proxyproto.Header {
	return proxyproto.Header{
		Source: r.ClientAddr, Dest: r.LocalAddr, TLS: r.TLS, TLSVersion: r.TLSVersion,
		ServerName: r.ServerName, ALPN: r.ALPN, Client: r.ClientCert,
	}
}
