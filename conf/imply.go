package conf

import (
	"net"
	"path/filepath"
	"slices"
	"strings"

	"imaplb/sticktable"
	"imaplb/upstream"
)

// defaultTable is the stick table that need not be declared.
const defaultTable = "users"

// imply fills in what follows from other values, so that the rest of the
// program, and a dump, see what is in force.
func (r *report) imply(c *Config) {
	dir := r.directory()
	absolute(dir, &c.Global.StateDir)
	absolute(dir, &c.Stats.Socket)
	absolute(dir, &c.Peers.KeyFile)
	for i := range c.Frontends {
		f := &c.Frontends[i]
		for j := range f.Bind {
			absoluteUnix(dir, &f.Bind[j])
		}
		for j := range f.Route {
			absoluteUnix(dir, &f.Route[j].Bind)
		}
		for j := range f.UseBackend {
			absoluteUnix(dir, &f.UseBackend[j].Bind)
		}
		for j := range f.Certs {
			absolute(dir, &f.Certs[j].Cert)
			absolute(dir, &f.Certs[j].Key)
		}
		absolute(dir, &f.ClientCA)
		r.implyTLS(f)
	}
	for i := range c.Backends {
		absolute(dir, &c.Backends[i].Hook.OnMove)
		absolute(dir, &c.Backends[i].Check.PasswordFile)
		r.implyStickTable(c, &c.Backends[i])
		for j := range c.Backends[i].Servers {
			u := &c.Backends[i].Servers[j].Upstream
			absoluteUnix(dir, &u.Addr)
			absolute(dir, &u.CAFile)
			implyServerName(u)
		}
	}
	uses := func(b Backend) bool { return b.Balancer.StickTable == defaultTable }
	if c.StickTable(defaultTable) == nil && slices.ContainsFunc(c.Backends, uses) {
		c.StickTables = append(c.StickTables, StickTable{Name: defaultTable, Config: sticktable.DefaultConfig()})
	}
}

// implyTLS decides about TLS where the frontend does not say.
func (r *report) implyTLS(f *Frontend) {
	path := keyPath("frontend", f.Name)
	if f.TLS == "" {
		f.TLS = "none"
		if len(f.Certs) > 0 {
			f.TLS = "implicit"
		}
	}
	if f.Mode == "tcp" {
		if require := keyPath(path, "require_tls"); r.set(require) && f.RequireTLS {
			r.fault(require, "there is no login in mode tcp")
		}
		f.RequireTLS = false
	}
	if f.TLS != "none" {
		return
	}
	if require := keyPath(path, "require_tls"); r.set(require) && f.RequireTLS && !r.faulty[keyPath(path, "tls")] {
		r.fault(require, "there is no TLS to require: give certs")
	}
	f.RequireTLS = false
}

// implyServerName takes the name to verify from the address.
func implyServerName(u *upstream.ServerConfig) {
	if u.TLS == "none" || u.ServerName != "" || strings.HasPrefix(u.Addr, "unix:") {
		return
	}
	if host, _, err := net.SplitHostPort(u.Addr); err == nil {
		u.ServerName = host
	}
}

// directory is where relative paths of the file start.
func (r *report) directory() string {
	dir, err := filepath.Abs(filepath.Dir(r.file))
	if err != nil {
		return filepath.Dir(r.file) // the working directory is gone: paths stay relative
	}
	return dir
}

// absolute resolves a path of the file.
func absolute(dir string, path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(dir, *path)
	}
}

// absoluteUnix resolves the path of an address that has one.
func absoluteUnix(dir string, addr *string) {
	if path, ok := strings.CutPrefix(*addr, "unix:"); ok {
		absolute(dir, &path)
		*addr = "unix:" + path
	}
}
