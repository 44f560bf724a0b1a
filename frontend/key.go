package frontend

// key is what the backend's stick table knows the user by.
func (l *login) key() string {
	switch t := l.be.Table(); {
	case l.raw:
		return l.tcpKey()
	case t != nil:
		return t.KeyOf(l.user)
	}
	return l.user
}

// tcpKey is what a stick table knows the client by; without one, or without a
// name, it is his address.
func (l *login) tcpKey() string {
	src := l.p.c.src.Addr()
	t := l.be.Table()
	switch {
	case t != nil && t.BySNI() && l.p.sni != "":
		return serverName(l.p.sni)
	case !src.IsValid():
		return "unix"
	case t != nil && t.BySource():
		return t.KeyOfAddr(src)
	}
	return src.Unmap().WithZone("").String()
}

// key is what the stick table knows a session by; one by a name that is not known
// any more keeps its key.
func (c *conn) key() string {
	switch t := c.place.Server.Backend.Table(); {
	case t == nil && c.user != "":
		return c.user
	case t == nil:
	case t.ByUser() && c.user != "":
		return t.KeyOf(c.user)
	case t.BySource() && c.src.IsValid():
		return t.KeyOfAddr(c.src.Addr())
	}
	return c.place.Key
}
