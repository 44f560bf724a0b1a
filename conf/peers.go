package conf

import (
	"net"
	"net/netip"
	"os"
	"strings"

	"imaplb/peers"
)

// checkPeers judges the [peers] section.
func (r *report) checkPeers(c *Config) {
	p := &c.Peers
	if !r.set("peers") {
		return
	}
	if p.Bind == "" {
		r.fault("peers.bind", `no address for the other peers: write bind = "10.0.0.1:7946", or leave [peers] out`)
	}
	if strings.HasPrefix(p.Bind, "unix:") {
		r.fault("peers.bind", "%q: peers need an IP address", p.Bind)
	}
	if p.Name != "" {
		r.checkName(place{"peers.name", "peers.name"}, p.Name)
	}
	if p.Cluster == "" || len(p.Cluster) > maxName {
		r.fault("peers.cluster", "the label has 1 to %d bytes", maxName)
	}
	if p.Advertise != "" {
		if ap, err := netip.ParseAddrPort(p.Advertise); err != nil || ap.Addr().IsUnspecified() || ap.Port() == 0 {
			r.fault("peers.advertise", `bad address %q: write the one that the other peers reach, such as "10.0.0.1:7946"`, p.Advertise)
		}
	}
	if len(p.Join) > peers.MaxJoin {
		r.fault("peers.join", "%d addresses, at most %d", len(p.Join), peers.MaxJoin)
	}
	if n := c.sharedTables(); n >= peers.MaxStates {
		r.fault("stick_table", "%d tables are shared with the peers, at most %d can be: write peers = false for some", n, peers.MaxStates-1)
	}
	if p.TieBreaker != p.Name && strings.EqualFold(p.TieBreaker, p.Name) {
		r.warn("peers.tie_breaker", "%q differs from the name of this peer, %q, in case alone: it means another peer", p.TieBreaker, p.Name)
	}
	for i, addr := range p.Join {
		if _, err := checkServerAddr(addr); err != nil || strings.HasPrefix(addr, "unix:") {
			r.fault(indexPath("peers.join", i), `bad address %q: write "host:port"`, addr)
		}
	}
	r.checkPeersKey(p)
}

// sharedTables counts the stick tables that the peers share.
func (c *Config) sharedTables() (n int) {
	for _, t := range c.StickTables {
		if t.Peers {
			n++
		}
	}
	return n
}

// checkPeersKey wants a key where others could listen or speak.
func (r *report) checkPeersKey(p *peers.Config) {
	const path = "peers.key_file"
	if p.KeyFile == "" {
		if host, _, err := net.SplitHostPort(p.Bind); err == nil && !p.Insecure && !isLoopback(host) {
			r.fault(path, "no key, and %q is on a network: whoever reaches it could move users; "+
				`write key_file = "/etc/imaplb/peers.key" (make one with: openssl rand -base64 32), or insecure = true`, p.Bind)
		}
		return
	}
	if p.Insecure {
		r.warn("peers.insecure", "there is a key_file, so it means nothing")
	}
	b, ok := r.readFile(path, p.KeyFile)
	if !ok {
		return
	}
	if info, err := os.Stat(p.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		r.warn(path, "%q can be read by everybody on this host: chmod 640", p.KeyFile)
	}
	if _, err := peers.ParseKeys(b); err != nil {
		r.fault(path, "%q: %s", p.KeyFile, strings.TrimPrefix(err.Error(), peers.ErrKey.Error()+": "))
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
