package conf

import (
	"slices"
	"strings"

	"imaplb/health"
)

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
