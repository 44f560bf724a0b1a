package cluster

// Renewal is a set of what Renew says again.
type Renewal uint8

// What the peers decide of a server.
const (
	RenewAdmin Renewal = 1 << iota
	RenewWeight
	RenewMaxconn
	RenewHealth
)

// Renew has the effects say again what the peers have decided of a server to
// which it is new: a reload brought it, or it leaves maintenance, where a
// verdict waits. They come in their place among the others, so that what was
// decided meanwhile cannot be undone by what was found before it.
func (c *Cluster) Renew(backend, server string, what Renewal) {
	c.mu.Lock()
	defer c.unlock()
	c.later(func() { c.renew(backend, server, what) })
}

// renew is an effect: what it says is as it is when its turn comes.
func (c *Cluster) renew(backend, server string, what Renewal) {
	if state, ok := c.Admin(backend, server); ok && what&RenewAdmin != 0 {
		c.effects.Admin(backend, server, state)
	}
	if weight, ok := c.Weight(backend, server); ok && what&RenewWeight != 0 {
		c.effects.Weight(backend, server, weight)
	}
	if n, ok := c.Maxconn(backend, server); ok && what&RenewMaxconn != 0 {
		c.effects.Maxconn(backend, server, n)
	}
	if v := c.Votes(backend, server); v.Told && what&RenewHealth != 0 {
		c.effects.Health(backend, server, v.Up)
	}
}
