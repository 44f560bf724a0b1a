package conf

import (
	"slices"
	"strings"

	"imaplb/health"
)

// checkAgent judges the agent of a server.
func (r *report) checkAgent(path string, s Server) {
	a := s.Agent
	addr := keyPath(path, "addr")
	switch {
	case a.Addr != "" && a.Port != 0:
		r.fault(addr, "there is a port, too: write one of them")
	case a.Port != 0 && strings.HasPrefix(s.Upstream.Addr, "unix:"):
		r.fault(keyPath(path, "port"), "the server is a unix socket and has no host: write addr instead")
	case a.Addr == "":
	case strings.HasPrefix(a.Addr, "unix:"):
		r.fault(addr, `bad address %q: write "host:port"`, a.Addr)
	default:
		if _, err := checkServerAddr(a.Addr); err != nil {
			r.fault(addr, "%s", err)
		}
	}
}

// checkCheck judges the checks of a backend.
func (r *report) checkCheck(path string, b *Backend) {
	c := b.Check
	user, file := keyPath(path, "user"), keyPath(path, "password_file")
	switch {
	case c.Kind == "tls" && slices.ContainsFunc(b.Servers, func(s Server) bool { return s.Upstream.TLS == "none" }):
		r.fault(keyPath(path, "kind"), `"tls", but a server has tls = "none": write "imap" or "tcp"`)
	case c.Kind == "none" && c.Observe != "none":
		r.fault(keyPath(path, "observe"), `%q, but there are no checks to tell: write another kind`, c.Observe)
	case c.Kind != "login" && (c.User != "" || c.PasswordFile != ""):
		r.fault(keyPath(path, "kind"), `%q does not log in: write "login", or leave out user and password_file`, c.Kind)
	case c.Kind == "login" && c.User == "":
		r.fault(user, "no user: checks of kind \"login\" need a test user")
	case c.Kind == "login" && c.PasswordFile == "":
		r.fault(file, "no file with the password of the test user")
	case c.Kind == "login":
		if content, ok := r.readFile(file, c.PasswordFile); ok {
			if _, err := health.ParsePassword(content); err != nil {
				r.fault(file, "%q: %s", c.PasswordFile, strings.TrimPrefix(err.Error(), "health: "))
			}
		}
	}
}
