package conf

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"imaplb/balancer"
	"imaplb/sticktable"
)

// host is what a configuration is judged by besides its own text.
type host struct {
	now         time.Time // for the dates of certificates
	descriptors int       // RLIMIT_NOFILE
}

// check judges what one value alone cannot tell, after imply.
func (r *report) check(c *Config, h host) {
	if len(c.Frontends) == 0 {
		r.fault("frontend", "no [frontend.NAME] section: there is nothing to listen on")
	}
	r.checkStats(c)
	r.checkPeers(c)
	r.checkBinds(c)
	r.checkNameservers(c.Global.Nameservers)
	for _, t := range c.StickTables {
		r.checkKey(t)
		r.checkStore(t)
	}
	for i := range c.Frontends {
		r.checkFrontend(c, &c.Frontends[i], h)
	}
	for i := range c.Backends {
		r.checkBackend(c, &c.Backends[i])
	}
	r.checkMaxconn(c, h)
	r.checkUnused(c)
}

// checkStats judges the runtime socket.
func (r *report) checkStats(c *Config) {
	if _, err := strconv.ParseUint(c.Stats.SocketMode, 8, 9); err != nil {
		r.fault("stats.socket_mode", `bad permissions %q: write them in octal, such as "0660"`, c.Stats.SocketMode)
	}
	if c.Stats.Socket != "" {
		if err := checkUnixPath(c.Stats.Socket); err != nil {
			r.fault("stats.socket", "%s", err)
		}
	}
}

// checkKey judges what a table's entries are looked up by: a word or a template.
func (r *report) checkKey(t StickTable) {
	path := keyPath(keyPath("stick_table", t.Name), "key")
	words := []string{"user", "domain", "src", "sni"}
	if !sticktable.IsTemplate(t.Key) {
		if !slices.Contains(words, t.Key) {
			hint, _ := didYouMean(t.Key, words)
			r.fault(path, "%q is not allowed: write one of \"user\", \"domain\", \"src\", \"sni\", or a template such as \"{user|strip '*'}\"%s", t.Key, hint)
		}
		return
	}
	if _, err := sticktable.ParseTemplate(t.Key); err != nil {
		hint := ""
		if unknown := (*sticktable.UnknownFilter)(nil); errors.As(err, &unknown) {
			hint, _ = didYouMean(unknown.Name, sticktable.FilterNames)
		}
		r.fault(path, "%s%s", err, hint)
	}
}

// checkStore judges the counters of a table.
func (r *report) checkStore(t StickTable) {
	path := keyPath(keyPath("stick_table", t.Name), "store")
	for i, word := range t.Store {
		_, err := sticktable.ParseStore(t.Store[:i+1])
		if err == nil {
			continue
		}
		hint := ""
		name, _, _ := strings.Cut(word, "(")
		if _, ok := sticktable.DataNamed(name); !ok {
			hint, _ = didYouMean(name, sticktable.DataNames())
		}
		r.fault(indexPath(path, i), "%s%s", err, hint)
		return
	}
}

// taken is an address something listens on already.
type taken struct {
	bind
	path string
}

// checkBinds finds addresses that are no addresses, and those that bind(2)
// would refuse because of another.
func (r *report) checkBinds(c *Config) {
	var all []taken
	if c.Stats.Socket != "" {
		all = append(all, taken{bind{unix: c.Stats.Socket}, "stats.socket"})
	}
	if c.Stats.HTTP != "" {
		all = r.checkBind(all, "stats.http", c.Stats.HTTP)
	}
	if c.Peers.Bind != "" {
		all = r.checkBind(all, "peers.bind", c.Peers.Bind)
	}
	for _, f := range c.Frontends {
		path := keyPath(keyPath("frontend", f.Name), "bind")
		if len(f.Bind) == 0 {
			r.fault(path, `no address to listen on: write bind = ["0.0.0.0:993"] or the like`)
		}
		for i, s := range f.Bind {
			all = r.checkBind(all, indexPath(path, i), s)
		}
	}
}

// checkBind judges one address against those before it, and adds it.
func (r *report) checkBind(all []taken, path, s string) []taken {
	b, err := parseBind(s)
	if err != nil {
		r.fault(path, "%s", err)
		return all
	}
	for _, other := range all {
		if b.overlaps(other.bind) {
			r.fault(path, "%q is taken by %s already", s, other.path)
			return all
		}
	}
	return append(all, taken{b, path})
}

// checkFrontend judges a frontend but for its addresses.
func (r *report) checkFrontend(c *Config, f *Frontend, h host) {
	path := keyPath("frontend", f.Name)
	certs := keyPath(path, "certs")
	switch {
	case f.TLS == "none" && len(f.Certs) > 0:
		r.fault(keyPath(path, "tls"), `%q, but there are certs: write "implicit" or "starttls", or leave it out`, f.TLS)
	case f.TLS != "none" && len(f.Certs) == 0:
		r.fault(certs, `no certificate, but tls = %q: write certs = [{ cert = "fullchain.pem", key = "privkey.pem" }]`, f.TLS)
	}
	for i, cert := range f.Certs {
		r.checkCert(indexPath(certs, i), cert, h.now)
	}
	r.checkClientCA(path, f)
	r.checkNetworks(keyPath(path, "accept_proxy"), f.AcceptProxy, "unix")
	r.checkNetworks(keyPath(path, "trusted_networks"), f.Trusted)
	if c.Global.Maxconn > 0 && f.Maxconn > c.Global.Maxconn {
		r.fault(keyPath(path, "maxconn"), "%d is more than the %d of global.maxconn", f.Maxconn, c.Global.Maxconn)
	}
	r.checkReference(c, f.Backend, keyPath(path, "backend"))
	r.checkMode(c, f)
	r.checkTrack(c, f, path)
}

// checkReference judges the backend a frontend or a route names.
func (r *report) checkReference(c *Config, name, path string) {
	if c.Backend(name) != nil || r.faulty["backend"] {
		return
	}
	if name == "" {
		r.fault(path, "no backend: name the [backend.NAME] that has the servers")
		return
	}
	names := make([]string, len(c.Backends))
	for i, b := range c.Backends {
		names[i] = b.Name
	}
	hint, _ := didYouMean(name, names)
	r.fault(path, "no backend %q%s", name, hint)
}

// checkBackend judges a backend and its servers.
func (r *report) checkBackend(c *Config, b *Backend) {
	path := keyPath("backend", b.Name)
	if name := b.Balancer.StickTable; name != "" && c.StickTable(name) == nil && !r.faulty["stick_table"] {
		names := []string{defaultTable}
		for _, t := range c.StickTables {
			names = append(names, t.Name)
		}
		hint, _ := didYouMean(name, names)
		r.fault(keyPath(path, "stick_table"), "no stick table %q%s", name, hint)
	}
	r.checkBackendMode(c, b)
	if f := b.Balancer.BalanceFactor; f > 0 && f <= 100 {
		r.fault(keyPath(path, "balance_factor"), "%d is out of range: write 0 for no bound, or 101 to 10000", f)
	}
	r.checkProgram(keyPath(path, "on_move"), b.Hook.OnMove)
	if len(b.Servers) == 0 {
		r.fault(keyPath(path, "server"), "no server: write at least one [%s.server.NAME] with an addr", path)
	}
	r.checkCheck(keyPath(path, "check"), b)
	r.checkAllNames(keyPath(path, "server"), b.Servers)
	seen := map[string]string{}
	for _, s := range b.Servers {
		at := keyPath(keyPath(path, "server"), s.Name)
		r.checkServer(at, s, seen)
		r.checkMinconn(b, at, s.Balancer)
		r.checkTags(keyPath(at, "tags"), s.Balancer.Tags)
	}
}

// checkMinconn judges a limit that grows with the backend's sessions.
func (r *report) checkMinconn(b *Backend, path string, s balancer.ServerConfig) {
	at := keyPath(path, "minconn")
	switch {
	case s.Minconn == 0:
	case s.Maxconn == 0:
		r.fault(at, "minconn without maxconn: write the limit it grows to")
	case s.Minconn > s.Maxconn:
		r.fault(at, "%d is more than the %d of maxconn", s.Minconn, s.Maxconn)
	case b.Balancer.Fullconn == 0:
		r.fault(at, "minconn without fullconn: write in [%s] at how many sessions of the backend the limit is maxconn", keyPath("backend", b.Name))
	}
}

// checkProgram judges a program that is to be run.
func (r *report) checkProgram(path, program string) {
	if program == "" {
		return
	}
	switch info, err := os.Stat(program); {
	case err != nil:
		r.fault(path, "%s", err)
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0:
		r.fault(path, "%q is no program: write the path of a file that may be executed", program)
	}
}

// checkServer judges a server; seen has the servers of the addresses before.
func (r *report) checkServer(path string, s Server, seen map[string]string) {
	u, addr := s.Upstream, keyPath(path, "addr")
	if u.Addr == "" {
		r.fault(addr, `no address: write addr = "host:143" or "unix:/path"`)
		return
	}
	canonical, err := checkServerAddr(u.Addr)
	if err != nil {
		r.fault(addr, "%s", err)
		return
	}
	if other := seen[canonical]; other != "" {
		r.fault(addr, "%q is the address of server %q already: one user could be on both at once", u.Addr, other)
	} else {
		seen[canonical] = s.Name
	}
	r.checkResolve(keyPath(path, "resolve"), s)
	r.checkSource(keyPath(path, "source"), u)
	r.checkServerTLS(path, u)
	r.checkAgent(keyPath(path, "agent"), s)
}

// checkMaxconn compares the limits with the descriptors of the process.
func (r *report) checkMaxconn(c *Config, h host) {
	most := c.HardMaxconn(h.descriptors)
	if most < 1 {
		r.fault("global.maxconn", "RLIMIT_NOFILE of %d descriptors leaves no connection: raise it (LimitNOFILE in systemd, ulimit -n in a shell)", h.descriptors)
		return
	}
	const text = "%d connections are more than RLIMIT_NOFILE allows: %d descriptors are enough for %d (LimitNOFILE in systemd, ulimit -n in a shell)"
	if c.Global.Maxconn > most {
		r.fault("global.maxconn", text, c.Global.Maxconn, h.descriptors, most)
		return
	}
	for _, f := range c.Frontends {
		if f.Maxconn > most {
			r.fault(keyPath(keyPath("frontend", f.Name), "maxconn"), text, f.Maxconn, h.descriptors, most)
		}
	}
}

// checkUnused warns of what nothing refers to.
func (r *report) checkUnused(c *Config) {
	backends, tables := map[string]bool{}, map[string]bool{}
	for i := range c.Frontends {
		tables[c.Frontends[i].TrackSrc] = true
		for _, name := range backendsOf(&c.Frontends[i]) {
			backends[name] = true
		}
	}
	for _, b := range c.Backends {
		tables[b.Balancer.StickTable] = true
		if !backends[b.Name] {
			r.warn(keyPath("backend", b.Name), "no frontend uses this backend")
		}
	}
	for _, t := range c.StickTables {
		if !tables[t.Name] {
			r.warn(keyPath("stick_table", t.Name), "nothing uses this stick table")
		}
	}
}
