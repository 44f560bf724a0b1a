package cluster

import (
	"fmt"
	"strings"
	"time"
)

const (
	maxEvents = 1000 // kept; the oldest goes
	maxText   = 1024 // bytes of What, and of Outcome
)

// The kinds of events.
const (
	EventOrder    = "order"    // carried out here
	EventPeer     = "peer"     // came or went
	EventClock    = "clock"    // of a peer is wrong
	EventVoid     = "sessions" // of a peer that is gone count no more
	EventMinority = "minority" // frozen or no longer
	EventHealth   = "health"   // verdicts, and disagreement with them
	EventMove     = "move"     // of a user
	EventFlush    = "flush"    // of a server's users
	EventServer   = "server"   // has no users left
)

// Event is something the operator may want to know. It is immutable.
type Event struct {
	Time    time.Time // when it happened here
	Kind    string
	Who     string    // gave the order, "" if nobody did
	Where   string    // the peer he gave it to
	When    time.Time // he gave it
	What    string
	Outcome string
}

// String is the line of an event, without a newline.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Kind, e.What)
	if e.Who != "" {
		fmt.Fprintf(&b, ", by %s at %s %s", e.Who, e.Where, e.When.UTC().Format("15:04:05.000Z"))
	}
	if e.Outcome != "" {
		b.WriteString(": " + e.Outcome)
	}
	return strings.Map(printable, b.String())
}

// printable keeps a line one line, whatever is in its names.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}

// events is a ring of the last maxEvents. Owned by Cluster, under its mu.
type events struct {
	ring  []Event
	next  int    // where the next goes, once the ring is full
	total uint64 // that were ever added
}

func (r *events) add(e Event) {
	r.total++
	if len(r.ring) < maxEvents {
		r.ring = append(r.ring, e)
		return
	}
	r.ring[r.next] = e
	r.next = (r.next + 1) % maxEvents
}

// last returns the n newest, the newest last.
func (r *events) last(n int) []Event {
	all := append(append([]Event(nil), r.ring[r.next:]...), r.ring[:r.next]...)
	return all[len(all)-min(n, len(all)):]
}

// Events returns the newest n events, the newest last; all, which are at most
// 1000, if n is not positive.
func (c *Cluster) Events(n int) []Event {
	if n <= 0 {
		n = maxEvents
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events.last(n)
}

// note adds an event. mu is held.
func (c *Cluster) note(e Event) {
	e.What, e.Outcome = clip(e.What), clip(e.Outcome)
	c.events.add(e)
}

// noteNews is note for what was said at a time of the clock. What is older than
// this process and over, or was done by order and holds since, it learned from
// the others or from its file: they have told it. mu is held.
func (c *Cluster) noteNews(said uint64, e Event) {
	if said >= c.begun {
		c.note(e)
	}
}

func clip(s string) string { return clipTo(s, maxText) }

func clipTo(s string, limit int) string {
	if len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// EventsAfter returns the events behind the first n of this run, as far as they
// are still held, the newest last, and how many there were in all.
func (c *Cluster) EventsAfter(n uint64) (list []Event, total uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total = c.events.total
	if n >= total {
		return nil, total
	}
	return c.events.last(int(min(total-n, maxEvents))), total
}

// Note adds an order that was for this peer alone, and that its owner has
// carried out.
func (c *Cluster) Note(now time.Time, by, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(Event{Time: now, Kind: EventOrder, Who: by, Where: c.self, When: now, What: what})
}

// NoteServer adds what its owner saw of a server.
func (c *Cluster) NoteServer(now time.Time, backend, server, what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(Event{Time: now, Kind: EventServer, What: backend + "/" + server + " " + what})
}
