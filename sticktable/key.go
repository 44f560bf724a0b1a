package sticktable

import (
	"net/netip"
	"strings"
)

// KeyOf is what a table of that kind (Config.Key) knows a user by: "user" the
// name as it is, "domain" what follows its last @, or the name if it has none.
// The result aliases user.
func KeyOf(kind, user string) string {
	if kind == "domain" {
		if i := strings.LastIndexByte(user, '@'); i >= 0 && i+1 < len(user) {
			return user[i+1:]
		}
	}
	return user
}

// KeyOf is the key of a user in this table.
func (t *Table) KeyOf(user string) string {
	if t.template != nil {
		return t.template.Key(user)
	}
	return KeyOf(t.key, user)
}

// BySource reports whether entries are looked up by the client's address.
func (t *Table) BySource() bool { return t.key == "src" }

// ByUser reports whether entries are users, their domains, or what a template
// makes of them.
func (t *Table) ByUser() bool { return !t.BySource() && !t.BySNI() }

// BySNI reports whether entries are looked up by the name the client asked for
// with TLS.
func (t *Table) BySNI() bool { return t.key == "sni" }

// KeyOfAddr is the key of a source: the first address of its network, as text,
// "" for no address. See AppendKeyOfAddr.
func (t *Table) KeyOfAddr(a netip.Addr) string { return string(t.AppendKeyOfAddr(nil, a)) }

// AppendKeyOfAddr appends the key of a source to dst. An IPv4 address within
// IPv6 is the IPv4 address; a zone does not count.
func (t *Table) AppendKeyOfAddr(dst []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return dst
	}
	a = a.Unmap().WithZone("")
	bits := t.prefix6
	if a.Is4() {
		bits = t.prefix4
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return dst // not reached: New keeps the bits within the address
	}
	return p.Addr().AppendTo(dst)
}

// prefixBits is the bits of a Config, the default where it has none that fit.
func prefixBits(n, most, def int) int {
	if n < 1 || n > most {
		return def
	}
	return n
}
