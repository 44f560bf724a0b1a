package sticktable

import "strings"

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
func (t *Table) KeyOf(user string) string { return KeyOf(t.key, user) }
