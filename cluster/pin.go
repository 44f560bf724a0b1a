package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxPins is the most users that are pinned at once. Whoever needs more wants
// a route, which is a line of the configuration.
const MaxPins = 5000

// unpinnedLife is how long it is kept that a user is pinned no more: a peer
// that was away longer brings his pin back, from its saved orders.
const unpinnedLife = 30 * 24 * time.Hour

// Errors of pins.
var (
	ErrPins     = errors.New("cluster: too many users are pinned")
	ErrNotFound = errors.New("cluster: user is not pinned")
)

// Pin is where a user goes by order, whenever he may.
type Pin struct {
	Table, Key      string
	Backend, Server string
	By, Peer        string // who ordered it, and at which peer
	When            time.Time
}

func pinKey(k moveKey) string { return factKey(kindPin, k.table) + "/" + k.key }

// parsePinKey is the inverse of pinKey.
func parsePinKey(key string) (moveKey, bool) {
	rest, ok := strings.CutPrefix(key, kindPin+"/")
	k, ok2 := parseMoveKey(kindMove + "/" + rest)
	return k, ok && ok2 && k.table != "" && k.key != ""
}

// OrderPin gives a user, by his key of a table, a server that he goes to on all
// peers, until OrderUnpin. It moves nobody. Where and when it was ordered need
// not be said.
func (c *Cluster) OrderPin(now time.Time, p Pin) error {
	if !validName(p.Table) || p.Key == "" || !validName(p.By) || !(target{p.Backend, p.Server}).valid() {
		return ErrName
	}
	if len(p.Key) > maxUser {
		return ErrKey
	}
	c.mu.Lock()
	defer c.unlock()
	k := moveKey{p.Table, p.Key}
	if c.pins[k] == nil && len(c.pins) >= MaxPins {
		return fmt.Errorf("%w: %d", ErrPins, MaxPins)
	}
	return c.say(now, pinKey(k), orderText{p.By, p.Backend, p.Server}.encode(), 0)
}

// OrderUnpin ends a pin on all peers; ErrNotFound if there is none.
func (c *Cluster) OrderUnpin(now time.Time, by, table, key string) error {
	if !validName(by) {
		return ErrName
	}
	c.mu.Lock()
	defer c.unlock()
	k := moveKey{table, key}
	if c.pins[k] == nil {
		return ErrNotFound
	}
	return c.say(now, pinKey(k), orderText{by, "", ""}.encode(), now.Add(unpinnedLife).UnixMilli())
}

// Pinned is the server that a key of a table is pinned to, "" for none. It
// takes no lock and no memory.
func (c *Cluster) Pinned(table, key string) (server string) {
	pins := c.pinMap.Load()
	if pins == nil {
		return ""
	}
	return (*pins)[moveKey{table, key}]
}

// PinOf is the pin of a key of a table, false for none.
func (c *Cluster) PinOf(table, key string) (p Pin, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := moveKey{table, key}
	f := c.pins[k]
	if f == nil {
		return p, false
	}
	return pinOf(k, f)
}

// Pins are all pins, by table and key.
func (c *Cluster) Pins() (list []Pin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(c.pins), compareMoves) {
		if p, ok := pinOf(k, c.pins[k]); ok {
			list = append(list, p)
		}
	}
	return list
}

func pinOf(k moveKey, f *fact) (p Pin, ok bool) {
	text, ok := parseOrder(f.value, 3)
	if !ok || text[2] == "" {
		return p, false
	}
	return Pin{
		Table: k.table, Key: k.key, Backend: text[1], Server: text[2],
		By: text[0], Peer: f.writer, When: when(f.time),
	}, true
}

// pinned sees to a pin, or the end of one, that is new here. mu is held.
func (c *Cluster) pinned(now time.Time, f *fact) {
	k, ok := parsePinKey(f.key)
	if !ok {
		return
	}
	e := Event{Time: now, Kind: EventOrder, Where: f.writer, When: when(f.time)}
	p, pinned := pinOf(k, f)
	switch {
	case pinned && c.pins[k] == nil && len(c.pins) >= MaxPins:
		c.counters.Dropped++ // two peers pinned the last ones at once
		return
	case pinned:
		c.pins[k] = f
		e.What, e.Who = fmt.Sprintf("pin %s to %s/%s", k, p.Backend, p.Server), p.By
	default:
		text, _ := parseOrder(f.value, 1)
		if text == nil || c.pins[k] == nil {
			return
		}
		delete(c.pins, k)
		e.What, e.Who = "unpin "+k.String(), text[0]
	}
	c.pinsOld = true
	c.noteNews(f.time, e)
}

// publishPins makes the pins known to Pinned. mu is held.
func (c *Cluster) publishPins() {
	c.pinsOld = false
	if len(c.pins) == 0 {
		c.pinMap.Store(nil)
		return
	}
	servers := make(map[moveKey]string, len(c.pins))
	for k, f := range c.pins {
		if p, ok := pinOf(k, f); ok {
			servers[k] = p.Server
		}
	}
	c.pinMap.Store(&servers)
}
