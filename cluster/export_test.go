package cluster

import (
	"fmt"
	"time"
)

// FactsUntil has the facts that live until a time at least, as text by key:
// what the tests outside this package compare.
func (c *Cluster) FactsUntil(until time.Time) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	facts := map[string]string{}
	for key, f := range c.facts.byKey {
		if !f.expired(until) {
			facts[key] = fmt.Sprintf("%q at %#x by %s until %d", f.value, f.time, f.writer, f.expires)
		}
	}
	return facts
}
