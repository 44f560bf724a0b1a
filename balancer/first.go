package balancer

// first chooses the first server of the file that has room: the servers are
// filled one after the other up to their maxconn, and the last ones can be
// switched off. A server without maxconn is never full.
func (c *choice) first() *Server {
	for _, s := range c.servers {
		if c.share(s) > 0 {
			return s
		}
	}
	return nil
}
