package stats

import (
	"net"
	"strconv"
	"strings"
)

// The texts of look-ups that fail.
const (
	needServer  = "Require 'backend/server'."
	noBackend   = "No such backend."
	noServer    = "No such server."
	cantFindOne = "Can't find backend."
)

// A target is a server that a command names.
type target struct {
	backend *Proxy
	row     *Row
}

// target finds "backend/server", either of which may be "#" and a number. bad
// is the text of the error.
func (c *client) target(args []string) (t target, bad string) {
	if len(args) == 0 {
		return t, needServer
	}
	bk, srv, ok := strings.Cut(args[0], "/")
	if !ok {
		return t, needServer
	}
	p := findBackend(c.node.Proxies(), bk)
	if p == nil {
		return t, noBackend
	}
	for i := range p.Servers {
		if is(srv, p.Servers[i].Name, p.Servers[i].ID) {
			return target{p, &p.Servers[i]}, ""
		}
	}
	return t, noServer
}

func findBackend(proxies []Proxy, name string) *Proxy {
	for i := range proxies {
		if p := &proxies[i]; p.Kind == KindBackend && is(name, p.Name, p.ID) {
			return p
		}
	}
	return nil
}

// is reports whether a word means the thing with that name and number.
func is(word, name string, id int) bool {
	return word == name || len(word) > 1 && word[0] == '#' && word[1:] == strconv.Itoa(id)
}

// splitAddr is the address and the port of a server; a unix socket has none.
func splitAddr(addr string) (host, port string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "-", "0"
	}
	return orDash(host), port
}
