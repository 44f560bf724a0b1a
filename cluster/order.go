package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"imaplb/wire"
)

// OrderLife is how long a peer that hears of an order to kick or clear carries
// it out. Later it would hit what began after it.
const OrderLife = 60 * time.Second

// MaxWeight is the greatest weight of a server, MaxMaxconn its greatest maxconn.
const (
	MaxWeight  = 256
	MaxMaxconn = 50_000_000
)

// maxUser is the longest name of a user, or key of a table, in bytes. That of
// a move stands in the key of a fact, with the table's name.
const maxUser = 512

var adminStates = []string{"ready", "drain", "maint"}

// OrderAdmin gives a server an admin state on all peers, until another order, or
// until no peer has had the server in its file for 30 days. by is who says so,
// such as "admin uid=0".
func (c *Cluster) OrderAdmin(now time.Time, by, backend, server, state string) error {
	if !slices.Contains(adminStates, state) {
		return fmt.Errorf("cluster: order: admin state %q: expects \"ready\", \"drain\" or \"maint\"", state)
	}
	return c.orderServer(now, kindAdmin, target{backend, server}, orderText{by, state})
}

// OrderWeight gives a server a weight on all peers, until another order.
func (c *Cluster) OrderWeight(now time.Time, by, backend, server string, weight int) error {
	if weight < 0 || weight > MaxWeight {
		return fmt.Errorf("cluster: order: weight %d: expects 0 to %d", weight, MaxWeight)
	}
	return c.orderServer(now, kindWeight, target{backend, server}, orderText{by, strconv.Itoa(weight)})
}

// OrderMaxconn gives a server a maxconn, of all peers together, until another
// order; 0 is no limit.
func (c *Cluster) OrderMaxconn(now time.Time, by, backend, server string, n int) error {
	if n < 0 || n > MaxMaxconn {
		return fmt.Errorf("cluster: order: maxconn %d: expects 0 to %d", n, MaxMaxconn)
	}
	return c.orderServer(now, kindMaxconn, target{backend, server}, orderText{by, strconv.Itoa(n)})
}

// Kick says whose sessions are to be ended: those of a user, or of all users
// that a mask with * and ? stands for; those on a server; or those of clients
// from a network. One of the three is set.
type Kick struct {
	User   string
	Server string // "backend/server"
	Source string // "192.0.2.0/24"
}

// The third part of an order to kick, which tells what the second is.
const (
	kickUser   = ""
	kickServer = "server"
	kickSource = "src"
)

func (k Kick) String() string {
	switch {
	case k.Server != "":
		return "kick server " + k.Server
	case k.Source != "":
		return "kick src " + k.Source
	}
	return fmt.Sprintf("kick user %q", k.User)
}

// OrderKick ends sessions on all peers.
func (c *Cluster) OrderKick(now time.Time, by string, k Kick) error {
	text := orderText{by, k.User, kickUser}
	switch {
	case k.Server != "":
		text = orderText{by, k.Server, kickServer}
	case k.Source != "":
		text = orderText{by, k.Source, kickSource}
	}
	return c.orderOnce(now, kindKick, text)
}

// parseKick is what an order to kick says; false if a later version made it.
func parseKick(text orderText) (k Kick, ok bool) {
	switch text[2] {
	case kickUser:
		return Kick{User: text[1]}, true
	case kickServer:
		return Kick{Server: text[1]}, true
	case kickSource:
		return Kick{Source: text[1]}, true
	}
	return k, false
}

// OrderClear removes the entry of a key from a table on all peers, or all of
// the table's entries if key is empty.
func (c *Cluster) OrderClear(now time.Time, by, table, key string) error {
	return c.orderOnce(now, kindClear, orderText{by, table, key})
}

// Admin is the admin state that orders gave a server, false for none.
func (c *Cluster) Admin(backend, server string) (state string, ok bool) {
	text, ok := c.orderOf(kindAdmin, target{backend, server})
	if !ok || !slices.Contains(adminStates, text[1]) {
		return "", false
	}
	return text[1], true
}

// Weight is the weight that orders gave a server, false for none.
func (c *Cluster) Weight(backend, server string) (weight int, ok bool) {
	text, ok := c.orderOf(kindWeight, target{backend, server})
	if !ok {
		return 0, false
	}
	return parseNumber(text[1], MaxWeight)
}

// Maxconn is the maxconn that orders gave a server, false for none.
func (c *Cluster) Maxconn(backend, server string) (n int, ok bool) {
	text, ok := c.orderOf(kindMaxconn, target{backend, server})
	if !ok {
		return 0, false
	}
	return parseNumber(text[1], MaxMaxconn)
}

func parseNumber(text string, most int) (int, bool) {
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= most
}

// target names a server.
type target struct{ backend, server string }

func (t target) String() string { return t.backend + "/" + t.server }

func (t target) valid() bool { return validName(t.backend) && validName(t.server) }

// orderText is the value of an order: who gave it, and what it says.
type orderText []string

func (o orderText) encode() string {
	b := wire.AppendArray(nil, len(o))
	for _, s := range o {
		b = wire.AppendString(b, s)
	}
	return string(b)
}

// parseOrder is the inverse of encode for an order of so many parts or more.
func parseOrder(value string, parts int) (orderText, bool) {
	r := readValue(value)
	n := r.Array(parts)
	var o orderText
	for i := 0; i < parts && r.Err() == nil; i++ {
		o = append(o, r.Text(0, MaxValue))
	}
	r.Skip(n - parts)
	return o, r.Err() == nil
}

func (c *Cluster) orderServer(now time.Time, kind string, t target, text orderText) error {
	if !t.valid() || !validName(text[0]) {
		return ErrName
	}
	c.mu.Lock()
	defer c.unlock()
	return c.say(now, factKey(kind, t.backend, t.server), text.encode(), orderEnd(now))
}

func (c *Cluster) orderOnce(now time.Time, kind string, text orderText) error {
	if !validName(text[0]) || text[1] == "" || kind == kindClear && !validName(text[1]) {
		return ErrName
	}
	if len(text[1]) > maxUser || len(text[2]) > maxUser {
		return ErrKey
	}
	c.mu.Lock()
	defer c.unlock()
	id := c.newID(now)
	return c.say(now, factKey(kind, id), text.encode(), now.Add(OrderLife).UnixMilli())
}

// newID is a name that nothing had before, on any peer. mu is held.
func (c *Cluster) newID(now time.Time) string {
	return c.self + "-" + strconv.FormatUint(c.facts.clock.next(now), 36)
}

func (c *Cluster) orderOf(kind string, t target) (orderText, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.facts.byKey[factKey(kind, t.backend, t.server)]
	if f == nil {
		return nil, false
	}
	return parseOrder(f.value, 2)
}

// stateOrdered carries out a new order on a server. mu is held.
func (c *Cluster) stateOrdered(now time.Time, f *fact) {
	names, ok := splitKey(f.key, 2)
	text, ok2 := parseOrder(f.value, 2)
	if !ok || !ok2 {
		return
	}
	t := target{names[0], names[1]}
	switch kindOf(f.key) {
	case kindWeight:
		if weight, ok := parseNumber(text[1], MaxWeight); ok {
			c.carryOut(now, f, "set weight "+t.String()+" "+text[1], func() string {
				return c.effects.Weight(t.backend, t.server, weight)
			})
		}
		return
	case kindMaxconn:
		if n, ok := parseNumber(text[1], MaxMaxconn); ok {
			c.carryOut(now, f, "set maxconn server "+t.String()+" "+text[1], func() string {
				return c.effects.Maxconn(t.backend, t.server, n)
			})
		}
		return
	}
	if slices.Contains(adminStates, text[1]) {
		c.carryOut(now, f, "set server "+t.String()+" state "+text[1], func() string {
			return c.effects.Admin(t.backend, t.server, text[1])
		})
	}
}

// ordered carries out an order that is for one time. mu is held.
func (c *Cluster) ordered(now time.Time, f *fact) {
	text, ok := parseOrder(f.value, 3)
	switch {
	case !ok:
	case kindOf(f.key) == kindFlushStop:
		c.carryOut(now, f, "flush stop "+text[1]+"/"+text[2], func() string { return c.effects.StopFlush(text[1], text[2]) })
		c.endAbandoned(now, target{text[1], text[2]})
	case kindOf(f.key) == kindKick:
		if k, ok := parseKick(text); ok {
			c.carryOut(now, f, k.String(), func() string { return c.effects.Kick(k) })
		}
	default:
		what := "clear table " + text[1]
		if text[2] != "" {
			what += fmt.Sprintf(" key %q", text[2])
		}
		c.carryOut(now, f, what, func() string { return c.effects.Clear(text[1], text[2]) })
	}
}

// orderedEarlier is told of an order that was there before this process, so that
// nobody takes it for a new one. It has its effect here all the same.
const orderedEarlier = "ordered before this process started"

// carryOut queues an order and then the event that tells what came of it. mu
// is held.
func (c *Cluster) carryOut(now time.Time, f *fact, what string, run func() (outcome string)) {
	text, _ := parseOrder(f.value, 1)
	e := Event{Time: now, Kind: EventOrder, Who: text[0], Where: f.writer, When: when(f.time), What: what}
	c.later(func() {
		e.Outcome = run()
		if f.time < c.begun {
			e.Outcome = strings.TrimSuffix(orderedEarlier+": "+e.Outcome, ": ")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.note(e)
	})
}
