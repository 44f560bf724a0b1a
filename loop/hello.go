package loop

// Feed hands over bytes that were taken from the connection before
// StartServerTLS, as if they came now.
func (c *Conn) Feed(p []byte) {
	if c.fd >= 0 && len(p) > 0 {
		c.received(p)
	}
}
